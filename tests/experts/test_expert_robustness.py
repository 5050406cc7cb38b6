"""Threads, truncation, bad weights, bad texts, loading, half precision."""

import json
import random
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from devtools.tiny import ARCHITECTURES
from uec_retriever.errors import InvalidInputError, ModelNotFoundError, NumericalError
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.last_layer import Recorder
from uec_retriever.experts.loading import load_cross_encoder, load_model


def in_threads(expert, groups, rounds):
    """Encode every group of texts at once in a thread of its own; `rounds` results of each."""
    barrier = Barrier(len(groups))

    def work(group):
        barrier.wait()
        return [expert.encode(group, "document", batch_size=4) for _ in range(rounds)]

    with ThreadPoolExecutor(len(groups)) as pool:
        return list(pool.map(work, groups))


def assert_threads_equal_sequence(expert, groups, rounds):
    expected = [expert.encode(group, "document", batch_size=4) for group in groups]
    for one, results in zip(expected, in_threads(expert, groups, rounds), strict=True):
        for result in results:
            assert result.truncated == one.truncated
            np.testing.assert_allclose(result.gaussian.mean, one.gaussian.mean, atol=1e-6)
            np.testing.assert_allclose(result.gaussian.variance, one.gaussian.variance, rtol=1e-4)


def groups_of(texts, size):
    generator = random.Random(0)
    return [[" ".join(generator.sample(texts, 3)) for _ in range(size)] for _ in range(8)]


@pytest.mark.parametrize("structure", ["diag", "kron"])
@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
def test_eight_threads_equal_the_sequence(tiny, expert, texts, pooling, structure):
    made = expert(tiny("modernbert", pooling=pooling), structure)
    made.model.max_seq_length = 30
    assert_threads_equal_sequence(made, groups_of(texts, 6), rounds=3)


def test_eight_threads_equal_the_sequence_for_static_embeddings(static, expert, texts):
    assert_threads_equal_sequence(expert(static()), groups_of(texts, 6), rounds=20)


@pytest.mark.models
def test_eight_threads_equal_the_sequence_on_minilm(minilm, posterior, texts):
    made = Expert.load(minilm, device="cpu")
    made = made.with_posterior(posterior(made, "diag"))
    assert_threads_equal_sequence(made, groups_of(texts, 5), rounds=1)


def test_capture_ends_with_its_block(tiny, expert, texts):
    made = expert(tiny("bert"))
    before = made.encode(texts, "document").gaussian
    recorder = Recorder(made.last_layer)
    with recorder.capture() as capture:
        pass
    made.model.encode(texts)
    assert capture.embedding is None
    assert np.array_equal(made.encode(texts, "document").gaussian.variance, before.variance)


@pytest.mark.parametrize("architecture", ["bert", "qwen3"])
@pytest.mark.parametrize(
    ("prompts", "room"), [({}, 46), ({"query": "what query "}, 44)], ids=["bare", "prompt"]
)
def test_truncation_is_counted_exactly(tiny, expert, architecture, prompts, room):
    """48 tokens fit, two of them special."""
    made = expert(tiny(architecture, prompts=prompts))
    exact, longer, short = "cat " * room, "cat " * (room + 1), "dog"
    encoding = made.encode([longer, exact, short, longer, exact], "query")
    assert encoding.truncated == [True, False, False, True, False]
    assert made.encode([exact], "query").truncated == [False]
    gaussian = encoding.gaussian
    np.testing.assert_allclose(gaussian.mean[0], gaussian.mean[1], atol=1e-6)


def test_text_of_megabytes_is_cut_and_said_to_be(tiny, static, expert):
    text = "supersonic boundary layer " * 40_000
    assert expert(tiny("bert")).encode([text, "cat"], "document").truncated == [True, False]
    assert expert(static()).encode([text], "document").truncated == [False]


@pytest.mark.models
def test_truncation_on_minilm(minilm, posterior):
    made = Expert.load(minilm, device="cpu")
    made = made.with_posterior(posterior(made, "diag"))
    limit = made.model.max_seq_length
    texts = ["word " * (limit - 2), "word " * (limit - 1), "a" * 1_000_000]
    assert made.encode(texts, "document").truncated == [False, True, False]  # the last is one [UNK]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_text_that_a_broken_weight_reaches_is_named(tiny, expert, texts, bad):
    made = expert(tiny("bert"))
    token = made.model.tokenizer.get_vocab()["wing"]
    with torch.no_grad():
        made.model[0].auto_model.embeddings.word_embeddings.weight[token, 3] = bad
    made.encode(texts, "document", batch_size=2)
    with pytest.raises(NumericalError, match=r"expert tiny: text 8 .* float32"):
        made.encode([*texts, "wing", "cat"], "document", batch_size=2)


def test_broken_text_beyond_a_chunk_is_counted_from_the_start(static, expert):
    made = expert(static())
    with torch.no_grad():
        made.model[0].embedding.weight[made.model[0].tokenizer.token_to_id("wing")] = 0
    with pytest.raises(NumericalError, match="text 700 has a zero"):
        made.encode([*["cat dog"] * 700, "wing", "cat"], "document", batch_size=256)


def test_broken_last_layer_names_the_first_text(tiny, expert, texts):
    made = expert(tiny("bert"))
    with torch.no_grad():
        made.last_layer.linear.weight[0, 0] = float("nan")
    with pytest.raises(NumericalError, match="text 0"):
        made.encode(texts, "query")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("a lone \ud800 surrogate", r"query 600 has a lone surrogate at 7"),
        ("a NUL \0", r"query 600 has a NUL character at 6"),
        ("", "query 600 is empty"),
        (" \n\t", "query 600 is empty"),
        (None, "query 600 is NoneType"),
        (b"bytes", "query 600 is bytes"),
        (3, "query 600 is int"),
    ],
    ids=repr,
)
def test_bad_text_is_refused_by_position_before_any_work(static, expert, bad, message):
    made = expert(static())
    done = []
    with pytest.raises(InvalidInputError, match=message):
        made.encode([*["cat"] * 600, bad], "query", progress=done.append)
    assert done == []


def test_single_string_instead_of_a_list_is_refused(static, expert):
    with pytest.raises(InvalidInputError, match="expected a list of queries"):
        expert(static()).encode("cat", "query")


def test_no_texts_are_refused(static, expert):
    for method in (expert(static()).encode, expert(static()).linearise):
        with pytest.raises(InvalidInputError, match="no texts to encode as query"):
            method([], "query")


@pytest.mark.parametrize(
    "text", ["日本語の文章", "🦜🦜🦜", "ﬁ\u0301\u200b x", "\u202ertl", "<script>{}%s", "[PAD] [CLS]"]
)
def test_strange_but_valid_texts_have_finite_gaussians(tiny, expert, text):
    gaussian = expert(tiny("bert")).encode([text, "cat"], "query").gaussian
    assert (gaussian.variance > 0).all()


def test_encoding_without_a_posterior_says_what_to_do(static):
    with pytest.raises(ValueError, match="fit one first"):
        Expert(static(), "a/b").encode(["cat"], "query")


@pytest.mark.parametrize("name", ["no/such-model-here", "/no/such/folder", "~/no-such-folder"])
def test_missing_model_is_named(name):
    with pytest.raises(ModelNotFoundError, match=re.escape(repr(name))):
        Expert.load(name, device="cpu")


@pytest.mark.parametrize("name", ["/no/such/folder", "~/no-such-folder", "./folder", "../folder", "a/b/c"])
def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(name, caplog):
    for load in (load_model, load_cross_encoder):
        with pytest.raises(ModelNotFoundError, match=f"{re.escape(repr(name))}: there is no such folder"):
            load(name, device="cpu")
    assert caplog.text == ""


@pytest.mark.parametrize(
    "damage", ["empty folder", "cut weights", "no weights", "broken config", "list config"]
)
def test_damaged_model_folder_is_named(tiny, tmp_path, damage):
    folder = tmp_path / "saved"
    tiny("bert").save(str(folder))
    if damage == "empty folder":
        shutil.rmtree(folder)
        folder.mkdir()
    elif damage == "cut weights":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "no weights":
        (folder / "model.safetensors").unlink()
    else:
        (folder / "config.json").write_text("{" if damage == "broken config" else "[]")
    with pytest.raises(ModelNotFoundError, match="saved"):
        Expert.load(str(folder), device="cpu")


def test_code_of_a_model_does_not_run_unless_allowed(tiny, tmp_path):
    folder = tmp_path / "saved"
    tiny("bert").save(str(folder))
    (folder / "custom.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Head: ...\n")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": len(modules), "name": "9", "path": "", "type": "custom.Head"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelNotFoundError):
        Expert.load(str(folder), device="cpu")
    assert not (tmp_path / "ran").exists()


def test_loading_keeps_options_and_makes_a_label(tiny, tmp_path, monkeypatch):
    folder = tmp_path / "my-model"
    tiny("bert").save(str(folder))
    monkeypatch.chdir(tmp_path)
    made = Expert.load("my-model", device="cpu", truncate_dim=8)
    assert (made.name, made.label, made.dimension) == (str(folder), "my-model", 8)
    assert made.options == {"truncate_dim": 8}
    assert Expert.load(str(Path("my-model")), device="cpu", label="x").label == "x"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_half_precision_stays_close_to_single(tiny, tmp_path, posterior, texts, architecture, dtype):
    """bfloat16 has 8 bits, float16 11: the tolerances are about 4 of the last ones."""
    tiny(architecture).save(str(tmp_path / "saved"))
    gaussians = {}
    for name in (torch.float32, dtype):
        made = Expert.load(str(tmp_path / "saved"), device="cpu", model_kwargs={"dtype": name})
        assert made.last_layer.weight.dtype == name
        made = made.with_posterior(posterior(made, "kron"))
        gaussians[name] = made.encode(texts, "document").gaussian
    half, single = gaussians[dtype], gaussians[torch.float32]
    tolerance = 2**-6 if dtype == torch.bfloat16 else 2**-9
    assert half.mean.dtype == half.variance.dtype == np.float32
    np.testing.assert_allclose((half.mean * single.mean).sum(1), 1, atol=tolerance)
    np.testing.assert_allclose(half.trace, single.trace, rtol=4 * tolerance)
