import shutil

import pytest

from tests.engine.small import pairs, sentences
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError, NumericalError, UECError
from uec_retriever.experts.expert import Expert


def test_a_closed_index_can_be_deleted_and_made_again(experts, tmp_path):
    for _ in range(2):
        with Engine.create(tmp_path / "index", experts("static"), pairs()) as engine:
            engine.add(sentences(20))
            assert engine.count() == len(set(sentences(20)))
        shutil.rmtree(tmp_path / "index")


def test_closing_one_engine_leaves_another_on_the_same_folder_working(make, experts):
    first = make("static")
    first.add(sentences(20))
    second = Engine.open(first._folder.path, experts={"static": experts("static")[0]})
    first.close()
    assert len(second.search("wing heat", 3)) == 3


@pytest.mark.parametrize("name", ["ab", "spaced name", "-x-"])
def test_bad_collection_names_are_refused_before_fitting(experts, tmp_path, name):
    with pytest.raises(InvalidInputError, match="none that Chroma takes"):
        Engine.create(Location(tmp_path / "index", collection=name), experts("static"), pairs())


def test_options_that_cannot_be_recorded_are_refused_before_fitting(experts, tmp_path):
    [loaded] = experts("static")
    options = {"model_kwargs": {"dtype": object()}}
    expert = Expert(loaded.head, loaded.name, label=loaded.label, options=options)
    with pytest.raises(InvalidInputError, match="cannot be recorded.*'dtype': 'float16'"):
        Engine.create(tmp_path / "index", [expert], pairs())


@pytest.mark.parametrize(
    "call", [lambda e: e.get("abc"), lambda e: e.delete("abc"), lambda e: e.search("x", 2.5)]
)
def test_mistyped_arguments_are_refused(make, call):
    with pytest.raises(InvalidInputError):
        call(make("static"))


def test_numerical_errors_name_the_record(make, monkeypatch):
    engine = make("static")
    [expert] = engine.experts
    broken = expert.model[0].embedding.weight.clone()
    broken[5] = float("nan")
    whole = expert.model[0].embedding.weight.data.clone()
    expert.model[0].embedding.weight.data.copy_(broken)
    try:
        word = next(w for w, i in expert.model.tokenizer.get_vocab().items() if i == 5)
        with pytest.raises(NumericalError, match="record 'bad'.*NaN") as caught:
            engine.add(["wing", f"{word} heat"], ids=["good", "bad"])
        assert isinstance(caught.value, UECError) and engine.count() == 0
    finally:
        expert.model[0].embedding.weight.data.copy_(whole)


def test_experts_of_one_index_may_serve_another(make, tmp_path):
    first = make("static")
    first.add(sentences(30))
    before = first.search("wing heat", 5)
    other = Engine.create(tmp_path / "other", first.experts, Recipe(pairs(seed=7), structure="diag"))
    again = Engine.open(tmp_path / "other", experts={"static": first.experts[0]})
    assert first.search("wing heat", 5) == before
    assert other.experts[0].posterior.structure == again.experts[0].posterior.structure == "diag"


def test_searching_inside_inference_mode(make):
    import torch

    engine = make("bert")
    engine.add(sentences(10))
    expected = engine.search("wing heat", 3)
    with torch.inference_mode():
        assert engine.search("wing heat", 3) == expected


def test_secrets_are_not_recorded():
    from uec_retriever.experts.loading import lasting_options

    options = {"token": "hf_x", "revision": "main", "model_kwargs": {"token": "hf_x", "dtype": "float16"}}
    assert lasting_options(options) == {"revision": "main", "model_kwargs": {"dtype": "float16"}}
