"""Oracles: the posterior before it was written, bit by bit, and the errors the docstrings promise."""

import errno
import json
import os
import stat
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from uec_retriever.atomic import write_atomically
from uec_retriever.errors import CorruptFileError, FormatVersionError, InvalidInputError, StorageError
from uec_retriever.laplace.files import (
    FORMAT_VERSION,
    PosteriorHeader,
    load_posterior,
    posterior_bytes,
    save_posterior,
)
from uec_retriever.laplace.posterior import DiagonalPosterior, KroneckerPosterior

D, INPUTS = 4, 6


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_posterior(kind):
    numbers = {"count": 37, "prior_precision": 0.1 + 0.2, "tau": 0.05, "scale": 1 / 3}
    if kind == "diag":
        return DiagonalPosterior(**numbers, fisher=random(INPUTS, D).abs())
    tensors = {"feature_values": random(INPUTS).abs(), "output_factor": random(D, D) @ random(D, D).T}
    vectors = torch.linalg.qr(random(INPUTS, INPUTS)).Q.contiguous() if kind == "kron" else None
    return KroneckerPosterior(**numbers, **tensors, feature_vectors=vectors)


def make_header(structure="diag", **changes):
    fields = {
        "model": "mödel/ä",
        "fingerprint": "f" * 64,
        "layer": "encoder.layer.5.output.dense",
        "structure": structure,
        "dimension": D,
        "pairs": 512,
        "heldout_pairs": 128,
        "heldout_log_likelihood": -1.2345678901234567,
        "source": "first sentence + title",
        "pairs_hash": "a" * 64,
        "versions": {"torch": "2.4.0"},
    }
    return PosteriorHeader(**{**fields, **changes})


def saved(tmp_path, kind="diag", **changes):
    path = tmp_path / "posterior.safetensors"
    posterior = make_posterior(kind)
    save_posterior(path, posterior, make_header(posterior.structure, **changes))
    return path, posterior


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("kind", ["diag", "kron", "tokens"])
def test_round_trip_is_bit_identical_also_for_variances_of_new_features(tmp_path, kind, calibrated):
    path = tmp_path / "posterior.safetensors"
    posterior = make_posterior(kind)
    if calibrated:
        posterior = replace(posterior, scale=2 / 7, basis=random(2, D))
    features = random(9, INPUTS, seed=5)
    expected = posterior.output_variance(features)  # also fills the caches, which must not be stored
    save_posterior(path, posterior, make_header(posterior.structure))
    loaded, _ = load_posterior(path)
    assert type(loaded) is type(posterior)
    for name in type(posterior).__dataclass_fields__:
        before, after = getattr(posterior, name), getattr(loaded, name)
        if isinstance(before, torch.Tensor):
            assert torch.equal(before, after) and before.dtype == after.dtype, name
        else:
            assert before == after and type(before) is type(after), name
    assert torch.equal(loaded.output_variance(features), expected)
    sparse = features.to_sparse()
    if kind != "kron":
        assert torch.equal(loaded.output_variance(sparse), posterior.output_variance(sparse))


def test_header_round_trips_every_field_and_takes_numbers_from_the_posterior(tmp_path):
    path, posterior = saved(tmp_path)
    _, header = load_posterior(path)
    given = make_header()
    for name in type(header).__dataclass_fields__:
        if name != "numbers":
            assert getattr(header, name) == getattr(given, name), name
    assert header.numbers == {
        "count": posterior.count,
        "prior_precision": posterior.prior_precision,
        "tau": posterior.tau,
        "scale": posterior.scale,
    }
    assert header.format_version == FORMAT_VERSION


def test_structure_in_the_header_is_that_of_the_posterior():
    posterior = make_posterior("kron")
    assert posterior_bytes(posterior, make_header("diag")) == posterior_bytes(posterior, make_header("kron"))


def test_same_posterior_gives_the_same_bytes():
    assert posterior_bytes(make_posterior("diag"), make_header()) == posterior_bytes(
        make_posterior("diag"), make_header()
    )


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_off_file_is_corrupt(tmp_path, keep):
    path, _ = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFileError, match="uec fit"):
        load_posterior(path)


def test_file_of_something_else_is_corrupt(tmp_path):
    path = tmp_path / "posterior.safetensors"
    path.write_bytes(b"not a posterior at all, but long enough to hold a length")
    with pytest.raises(CorruptFileError):
        load_posterior(path)


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path, _ = saved(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("uec_retriever.laplace.files.safe_open", refuse)  # root may read anything
    with pytest.raises(StorageError, match="Permission denied"):
        load_posterior(path)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, None])
def test_other_format_version_is_named(tmp_path, version):
    path, _ = saved(tmp_path, format_version=version)
    with pytest.raises(FormatVersionError, match=f"format {version}, this version reads {FORMAT_VERSION}"):
        load_posterior(path)


def test_other_format_version_may_have_other_fields(tmp_path):
    path = tmp_path / "posterior.safetensors"
    header = json.dumps({"format_version": 99, "unheard_of": True})
    save_file({"fisher": torch.ones(2, 2)}, path, metadata={"uec_posterior": header})
    with pytest.raises(FormatVersionError):
        load_posterior(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_file_without_posterior_is_refused(tmp_path, metadata):
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.ones(2, 2)}, path, metadata=metadata)
    with pytest.raises(InvalidInputError, match="not a posterior"):
        load_posterior(path)


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(InvalidInputError, match="no posterior file"):
            load_posterior(path)


def test_folders_are_made_and_existing_files_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_target_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Nothing was changed"):
        save_posterior(tmp_path / "file" / "posterior", make_posterior("diag"), make_header())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_cannot_be_written(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StorageError):
        save_posterior(tmp_path / "posterior", make_posterior("diag"), make_header())


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path, posterior = saved(tmp_path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match="No space left on device"):
        save_posterior(path, replace(posterior, scale=5.0, basis=random(1, D)), make_header())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "header",
    ["{broken", "[]", "null", "[" * 100_000, '{"format_version": 1}', '{"format_version": 1, "nonsense": 2}'],
    ids=lambda header: header[:30],
)
def test_damaged_header_is_corrupt(tmp_path, header):
    path = tmp_path / "p.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"uec_posterior": header})
    with pytest.raises(CorruptFileError, match="header of .* is damaged"):
        load_posterior(path)


def rewritten(tmp_path, tensors=None, **changes):
    """A posterior file whose header or tensors somebody changed; None takes a field away."""
    path, posterior = saved(tmp_path, "kron")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["uec_posterior"])
    header = {name: value for name, value in {**header, **changes}.items() if value is not None}
    there = {n: getattr(posterior, n) for n in ("feature_values", "feature_vectors", "output_factor")}
    save_file({**there, **(tensors or {})}, path, metadata={"uec_posterior": json.dumps(header)})
    return path


NUMBERS = {"count": 37, "prior_precision": 0.3, "tau": 0.05, "scale": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"structure": "full"},
        {"structure": "diag"},
        {"structure": None},
        {"dimension": "4"},
        {"pairs": -1},
        {"heldout_log_likelihood": float("nan")},
        {"numbers": {}},
        {"numbers": []},
        {"numbers": {**NUMBERS, "tau": 0}},
        {"numbers": {**NUMBERS, "count": 1.5}},
        {"numbers": {**NUMBERS, "count": 10**400}},
        {"numbers": {**NUMBERS, "more": 1}},
        {"tensors": {"more": torch.ones(1)}},
        {"tensors": {"basis": torch.ones(2, D + 1)}},
        {"tensors": {"output_factor": torch.ones(D, D + 1)}},
        {"tensors": {"output_factor": torch.ones(D)}},
        {"tensors": {"feature_values": torch.ones(INPUTS + 1)}},
        {"tensors": {"feature_values": torch.full((INPUTS,), torch.nan)}},
        {"tensors": {"feature_values": torch.ones(INPUTS, dtype=torch.int64)}},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_fields_that_cannot_be_are_corrupt(tmp_path, changes):
    load_posterior(rewritten(tmp_path, numbers=NUMBERS))
    with pytest.raises(CorruptFileError, match="is damaged .*uec fit"):
        load_posterior(rewritten(tmp_path, **changes))


def test_a_field_of_a_later_version_asks_for_an_upgrade(tmp_path):
    with pytest.raises(FormatVersionError, match=r"\['novelty'\].*pip install --upgrade"):
        load_posterior(rewritten(tmp_path, novelty=1))
