import dataclasses
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tests.engine.small import answers, contents, load, numbered, pairs, sentences
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import (
    CorruptFileError,
    FormatVersionError,
    InvalidInputError,
    ModelMismatchError,
    ModelNotFoundError,
    NotAnIndexError,
    StorageError,
)
from uec_retriever.experts.fitting import fit_posterior
from uec_retriever.store.connection import connect

TEXTS = sorted(set(sentences(60, 1)))
QUERIES = sentences(6, 2, 5)


@pytest.fixture
def make(create):
    """Here every index is made, none is a copy."""
    return create


@pytest.mark.parametrize(
    "options",
    [{}, {"structure": "diag"}, {"layout": "sum", "temperature": 0.3}, {"temperature": float("inf")}],
    ids=str,
)
def test_an_opened_index_answers_as_the_made_one(make, reopen, tmp_path, options):
    labels = ("static", "other") if "layout" in options else ("static", "bert")
    engine = make(*labels, **options)
    engine.add(TEXTS, metadatas=[{"n": i} for i in range(len(TEXTS))])
    opened = reopen(tmp_path / "index")
    assert opened.manifest == engine.manifest
    assert [e.label for e in opened.experts] == list(labels)
    assert contents(opened) == contents(engine)
    assert answers(opened, QUERIES) == answers(engine, QUERIES)
    assert opened.search("cat").coefficients == pytest.approx(engine.search("cat").coefficients, abs=1e-6)
    assert opened.add(TEXTS[:2], metadatas=[{"n": 0}, {"n": 1}]).unchanged == 2


def test_experts_may_be_given_loaded_or_as_paths(make, experts, models, tmp_path):
    engine = make("static", "bert")
    engine.add(TEXTS)
    given = {"static": models["static"], "bert": experts("bert")[0]}
    assert answers(Engine.open(tmp_path / "index", experts=given), QUERIES) == answers(engine, QUERIES)
    with pytest.raises(InvalidInputError, match="no expert.*'third'.*static.*bert"):
        Engine.open(tmp_path / "index", experts={"third": models["other"]})


def test_another_model_of_equal_dimension_is_refused(make, experts, models, tmp_path):
    make("static")
    for other in (models["other"], experts("other")[0]):
        with pytest.raises(ModelMismatchError, match="'static'.*load the model it was made with"):
            Engine.open(tmp_path / "index", experts={"static": other})


def test_a_model_whose_folder_has_new_contents_is_refused(models, tmp_path):
    shutil.copytree(models["static"], tmp_path / "model")
    Engine.create(tmp_path / "index", load({"a": str(tmp_path / "model")}), pairs())
    shutil.rmtree(tmp_path / "model")
    shutil.copytree(models["other"], tmp_path / "model")
    with pytest.raises(ModelMismatchError, match="'a'"):
        Engine.open(tmp_path / "index", device="cpu")


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_moved_model(models, tmp_path, kind):
    shutil.copytree(models["static"], tmp_path / "model")
    engine = Engine.create(tmp_path / "index", load({"mine": str(tmp_path / "model")}), pairs())
    engine.add(TEXTS)
    (tmp_path / "model").rename(tmp_path / "moved")
    with pytest.raises(ModelNotFoundError, match="experts={'mine'") as caught:
        Engine.open(tmp_path / "index", device="cpu")
    assert str(tmp_path / "model") in str(caught.value)
    opened = Engine.open(tmp_path / "index", experts={"mine": kind(tmp_path / "moved")}, device="cpu")
    assert answers(opened, QUERIES) == answers(engine, QUERIES)


def test_a_moved_index(make, reopen, tmp_path):
    engine = make()
    engine.add(TEXTS)
    found = answers(engine, QUERIES)
    shutil.copytree(tmp_path / "index", tmp_path / "elsewhere")
    assert answers(reopen(tmp_path / "elsewhere"), QUERIES) == found


def test_a_lost_posterior(make, tmp_path):
    make("static")
    (file,) = (tmp_path / "index" / "posteriors").iterdir()
    file.unlink()
    with pytest.raises(CorruptFileError, match="lost its posterior.*copy it back"):
        Engine.open(tmp_path / "index", device="cpu")


def damage_half(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def damage_bit(file):
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)


def damage_values(file):
    """A valid posterior of the right model, but not the one that the index was made with."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    save_file({name: 2 * value for name, value in tensors.items()}, file, metadata)


@pytest.mark.parametrize("damage", [damage_half, damage_bit, damage_values, lambda f: f.write_bytes(b"")])
def test_a_damaged_posterior(make, tmp_path, damage):
    make("static")
    (file,) = (tmp_path / "index" / "posteriors").iterdir()
    damage(file)
    with pytest.raises(CorruptFileError, match="damaged.*copy it back"):
        Engine.open(tmp_path / "index", device="cpu")


def test_another_format_version(make, tmp_path):
    engine = make("static")
    metadata = {**engine.manifest.to_metadata(), "uec:format": 7}
    connect(tmp_path / "index" / "chroma").get_collection("uec", embedding_function=None).modify(
        metadata=metadata
    )
    with pytest.raises(FormatVersionError, match="format 7"):
        Engine.open(tmp_path / "index", device="cpu")


def test_a_foreign_collection(make, tmp_path):
    connect(tmp_path / "index" / "chroma").create_collection("uec", embedding_function=None)
    with pytest.raises(NotAnIndexError, match="'uec' was not made by uec-retriever"):
        Engine.open(tmp_path / "index")
    with pytest.raises(StorageError, match="collection 'uec'.*already"):
        make("static")
    beside = make("static", collection="mine")
    beside.add(TEXTS[:3])
    assert Engine.open(Location(tmp_path / "index", collection="mine"), device="cpu").count() == 3


def test_no_index(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "absent"):
        with pytest.raises(NotAnIndexError, match="no index in .*make one with"):
            Engine.open(tmp_path / folder)
    assert not (tmp_path / "absent").exists()
    assert not list((tmp_path / "empty").iterdir())


def test_a_file_where_the_folder_should_be(make, tmp_path):
    (tmp_path / "index").write_text("something else")
    with pytest.raises(StorageError, match="cannot write to .*index"):
        make("static")
    assert (tmp_path / "index").read_text() == "something else"


def test_creating_twice_is_refused_and_harms_nothing(make, encoded):
    engine = make("static")
    engine.add(TEXTS)
    with pytest.raises(StorageError, match="already: open it, delete it, or choose"):
        make("bert")
    assert engine.count() == len(TEXTS)


REFUSED = {
    "no experts": ((), {}, "at least one expert"),
    "one label twice": (("static", "static"), {}, "two experts are called 'static'"),
    "sum of two dimensions": (
        ("static", "bert"),
        {"layout": "sum"},
        r"one dimension, got \[24, 32\].*layout='block'",
    ),
    "layout": (("static",), {"layout": "ring"}, "layout must be one of.*'ring'"),
    "structure": (("static",), {"structure": "full"}, "structure must be one of.*'full'"),
    "temperature": (("static",), {"temperature": -0.1}, "temperature must be >= 0"),
    "nan": (("static",), {"temperature": float("nan")}, "temperature must be >= 0"),
    "posteriors": (("static",), {"posteriors": {"bert": "x"}}, r"posteriors for \['bert'\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_before_anything_is_fitted_or_written(experts, monkeypatch, tmp_path, case):
    labels, options, message = REFUSED[case]
    monkeypatch.setattr(
        "uec_retriever.engine.create.fit_posterior", lambda *a, **k: pytest.fail("it was fitted")
    )
    with pytest.raises(InvalidInputError, match=message):
        Engine.create(tmp_path / "index", experts(*labels), Recipe(pairs(), **options))
    assert not (tmp_path / "index").exists()


@pytest.fixture
def fits(monkeypatch):
    """Labels of the experts that are fitted from now on."""
    labels = []

    def counted(expert, *args, **options):
        labels.append(expert.label)
        return fit_posterior(expert, *args, **options)

    monkeypatch.setattr("uec_retriever.engine.create.fit_posterior", counted)
    return labels


def test_given_posteriors_are_used(make, fitted, fits):
    fitted_here = make(folder="a")
    assert fits == ["static", "bert"]
    given = make(folder="b", posteriors={"bert": fitted["bert"]})
    assert fits == ["static", "bert", "static"]
    for engine in (fitted_here, given):
        engine.add(TEXTS)
    assert given.manifest.experts[1].posterior == fitted_here.manifest.experts[1].posterior
    assert answers(given, QUERIES) == answers(fitted_here, QUERIES)


def test_given_posteriors_of_other_models_are_refused(make, fitted, tmp_path):
    with pytest.raises(ModelMismatchError, match="fitted for .*other"):
        make("static", posteriors={"static": fitted["other"]})
    with pytest.raises(InvalidInputError, match="no posterior file"):
        make("static", posteriors={"static": tmp_path / "absent"})


def test_an_interrupted_build_uses_the_fits_that_are_there(make, fits, monkeypatch):
    calls = []

    def fail_at_bert(expert, *args, **options):
        calls.append(expert.label)
        if expert.label == "bert":
            raise KeyboardInterrupt
        return fit_posterior(expert, *args, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("uec_retriever.engine.create.fit_posterior", fail_at_bert)
        make("static", "bert")
    assert calls == ["static", "bert"]
    resumed = make("static", "bert")
    assert fits == ["bert"]
    anew = make("static", "bert", folder="anew")
    for engine in (resumed, anew):
        engine.add(TEXTS)
    close = dataclasses.replace
    for one, two in zip(resumed.manifest.experts, anew.manifest.experts, strict=True):
        numbers = ("query_zero", "document_zero", "prior")
        assert [getattr(one, n) for n in numbers] == pytest.approx(
            [getattr(two, n) for n in numbers], abs=1e-5
        )
        assert close(one, **dict.fromkeys(numbers, 0)) == close(two, **dict.fromkeys(numbers, 0))
    assert answers(resumed, QUERIES) == answers(anew, QUERIES)


def test_fits_of_other_pairs_structures_or_models_and_broken_ones_are_not_reused(make, fits, tmp_path):
    make("static", collection="abc1")
    make("static", collection="abc2", calibration=pairs(seed=7))
    make("static", collection="abc3", structure="diag")
    make("other", collection="abc4")
    assert fits == ["static"] * 3 + ["other"]
    make("static", collection="abc5")
    assert len(fits) == 4
    for file in (tmp_path / "index" / "posteriors").iterdir():
        damage_half(file)
    assert make("static", collection="abc6").add(TEXTS).added == len(TEXTS)
    assert len(fits) == 5


def test_two_indexes_share_experts_but_not_posteriors(experts, tmp_path):
    """Making another index with the same expert objects leaves the first one's answers alone."""
    shared = experts("static", "bert")
    first = Engine.create(tmp_path / "first", shared, pairs())
    first.add_records(numbered(50))
    found = answers(first, QUERIES)
    Engine.create(tmp_path / "second", shared, Recipe(pairs(seed=9), structure="diag"))
    assert answers(first, QUERIES) == found
