"""UECRetriever: what comes back, per-call options, bad input, changing the index."""

import shutil

import pytest
from langchain_core.documents import Document
from langchain_small import documents, pairs, shown
from pydantic import ValidationError

from langchain_uec import METADATA_KEYS, UAEEmbedding, UECRetriever
from uec_retriever import Expert, Recipe
from uec_retriever.errors import IdConflictError, InvalidInputError, ModelMismatchError, NotAnIndexError

QUERY = "what flow has the large wing"


@pytest.fixture
def retriever(engine):
    return UECRetriever(engine=engine)


def test_documents_come_back_as_they_were_added(retriever, engine):
    there = {d.id: d for d in documents()}
    found = retriever.invoke(QUERY)
    assert found == [there[hit.id] for hit in engine.search(QUERY, 4)]


async def test_invoke_ainvoke_batch_and_abatch_agree(retriever):
    found = retriever.invoke(QUERY)
    assert await retriever.ainvoke(QUERY) == found
    assert retriever.batch([QUERY, QUERY]) == [found, found]
    assert await retriever.abatch([QUERY]) == [found]


def test_nothing_of_the_variance_is_in_the_metadata(engine):
    found = UECRetriever(engine=engine, include=list(METADATA_KEYS)).invoke(QUERY)
    assert [set(d.metadata) for d in found] == [{"n", "even", *METADATA_KEYS.values()}] * 4


def test_values_on_request(engine):
    result = engine.search(QUERY, 3)
    include = ["score", "raw_score", "deviation", "coefficients"]
    found = UECRetriever(engine=engine, k=3, include=include).invoke(QUERY)
    for document, hit in zip(found, result, strict=True):
        assert document.metadata["uec_score"] == hit.score
        assert 0 <= hit.score <= 1
        assert document.metadata["uec_raw_score"] == hit.raw_score
        assert document.metadata["uec_deviation"] == hit.deviation
        assert document.metadata["uec_coefficients"] == result.coefficients
        assert "uec_confidence" not in document.metadata
    scores = [d.metadata["uec_score"] for d in found]
    assert scores == sorted(scores, reverse=True)


def test_a_users_own_key_is_not_overwritten(models):
    retriever = UECRetriever.from_texts(
        ["the wing"], models, None, Recipe(pairs()), metadatas=[{"uec_score": "mine"}], include=["score"]
    )
    with pytest.raises(InvalidInputError, match=r"'uec_score' of its own.*rename"):
        retriever.invoke("wing")
    assert UECRetriever(engine=retriever.engine).invoke("wing")[0].metadata == {"uec_score": "mine"}


def test_what_can_be_said_in_a_call(retriever, engine):
    assert len(retriever.invoke(QUERY, k=7)) == 7
    assert [d.metadata["even"] for d in retriever.invoke(QUERY, filter={"even": True})] == [True] * 4
    best = engine.search(QUERY, 10).hits
    found = retriever.invoke(QUERY, k=10, score_threshold=best[4].score)
    assert [d.id for d in found] == [h.id for h in best[:5]]
    assert shown(retriever.invoke(QUERY, fetch_k=60)) == [
        (h.id, h.text) for h in engine.search(QUERY, 4, candidates=60)
    ]
    surest = engine.search(QUERY, 4, temperature=0.0)
    with_values = UECRetriever(engine=engine, include=["coefficients"])
    found = with_values.invoke(QUERY, temperature=0.0)
    assert found[0].metadata["uec_coefficients"] == surest.coefficients


def test_a_call_overrides_the_retriever_and_an_empty_filter_lifts_its_filter(engine):
    retriever = UECRetriever(engine=engine, k=20, filter={"even": True}, score_threshold=0.0)
    assert {d.metadata["even"] for d in retriever.invoke(QUERY)} == {True}
    assert {d.metadata["even"] for d in retriever.invoke(QUERY, filter={})} == {True, False}
    assert retriever.invoke(QUERY, score_threshold=1.0) == []
    assert len(retriever.with_config(tags=["x"]).invoke(QUERY)) == 20


@pytest.mark.parametrize("options", [{"where": {}}, {"top_k": 3}, {"score_treshold": 0.5}])
async def test_unknown_keywords_of_a_call_are_errors(retriever, options):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{next(iter(options))}'"):
        retriever.invoke(QUERY, **options)
    with pytest.raises(TypeError, match="unexpected keyword"):
        await retriever.ainvoke(QUERY, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"k": 0},
        {"k": -3},
        {"k": 9, "fetch_k": 5},
        {"temperature": -1.0},
        {"score_threshold": 1.5},
        {"score_threshold": float("nan")},
        {"min_confidence": -0.5},
        {"abstain": "never"},
        {"no_evidence": 3},
        {"min_confidence": 0.5, "abstain": "raise", "no_evidence": "Nothing."},
    ],
)
async def test_the_cores_refusal_reaches_the_user_unwrapped(retriever, engine, options):
    with pytest.raises(InvalidInputError) as constructed:
        UECRetriever(engine=engine, **options)
    with pytest.raises(InvalidInputError) as invoked:
        retriever.invoke(QUERY, **options)
    with pytest.raises(InvalidInputError) as awaited:
        await retriever.ainvoke(QUERY, **options)
    assert str(constructed.value) == str(invoked.value) == str(awaited.value)
    assert not isinstance(constructed.value, ValidationError)


def test_bad_queries_and_filters(retriever):
    with pytest.raises(InvalidInputError, match="query 0 is empty"):
        retriever.invoke("  ")
    with pytest.raises(InvalidInputError, match=r"\$like"):
        retriever.invoke(QUERY, filter={"n": {"$like": "x"}})
    with pytest.raises(InvalidInputError, match="a filter is a dictionary"):
        retriever.invoke(QUERY, filter="n = 1")


def test_bad_constructor_arguments(tmp_path, index, engine, models):
    with pytest.raises(InvalidInputError, match="top_k"):
        UECRetriever(engine=engine, top_k=3)
    with pytest.raises(InvalidInputError, match="include"):
        UECRetriever(engine=engine, include=["variance"])
    with pytest.raises(InvalidInputError, match="index="):
        UECRetriever()
    with pytest.raises(InvalidInputError, match="Engine"):
        UECRetriever(engine="idx")
    with pytest.raises(InvalidInputError, match="one of them"):
        UECRetriever(engine=engine, index=tmp_path)
    with pytest.raises(InvalidInputError, match="open already: leave out device"):
        UECRetriever(engine=engine, device="cpu")
    with pytest.raises(NotAnIndexError, match="uec index"):
        UECRetriever(index=tmp_path)
    with pytest.raises(InvalidInputError, match=r"no expert \['third'\]"):
        UECRetriever(index=index, experts={"third": models[0]})
    with pytest.raises(ModelMismatchError):
        UECRetriever(index=index, experts={"first": models[1]})
    with pytest.raises(ValidationError, match="frozen"):
        UECRetriever(engine=engine).index = "other"


@pytest.mark.parametrize("kind", ["folder", "expert", "embedding"])
def test_a_moved_model(index, models, tmp_path, retriever, kind):
    moved = shutil.copytree(models[0], tmp_path / "moved")
    if kind == "folder":
        given = str(moved)
    elif kind == "expert":
        given = Expert.load(str(moved), device="cpu")
    else:
        given = UAEEmbedding(model_name=str(moved), device="cpu")
    again = UECRetriever(index=str(index), experts={"first": given}, device="cpu")
    assert shown(again.invoke(QUERY)) == shown(retriever.invoke(QUERY))
    assert again.model_dump()["experts"] == {"first": str(moved)}
    assert again.engine.experts[0].name == str(moved)
    assert again.engine.ensemble.labels == ["first", "second"]


def test_from_documents_keeps_ids_and_makes_the_others(models, tmp_path):
    given = [Document(page_content="the wing", id="7"), Document(page_content="the flow", metadata={"n": 1})]
    retriever = UECRetriever.from_documents(given, models, tmp_path / "index", Recipe(pairs()), k=2)
    by_text = {d.page_content: d for d in retriever.invoke("wing")}
    assert by_text["the wing"] == given[0]
    assert by_text["the flow"].metadata == {"n": 1}
    assert len(by_text["the flow"].id) == 32
    assert given[1].id is None
    again = UECRetriever.from_documents(given, location=tmp_path / "index")
    assert again.engine.count() == 2
    numbered = UECRetriever.from_texts(
        ["the heat"], None, tmp_path / "index", Recipe(layout="block"), ids=["h"]
    )
    assert [d.id for d in numbered.invoke("heat", k=1)] == ["h"]


def test_options_of_the_index(models, tmp_path, posterior):
    retriever = UECRetriever.from_texts(
        ["the wing"],
        models,
        tmp_path / "index",
        Recipe(pairs(), {"first": posterior}, structure="diag", temperature=2.0),
        temperature=0.5,
        k=1,
    )
    manifest = retriever.engine.manifest
    assert [e.structure for e in manifest.experts] == ["kron", "diag"]
    assert manifest.temperature == 2.0
    assert retriever.temperature == 0.5
    with pytest.raises(InvalidInputError, match="layout"):
        UECRetriever.from_texts(["the flow"], location=tmp_path / "index", recipe=Recipe(layout="sum"))


def test_nothing_is_made_of_bad_input(models, tmp_path):
    folder = tmp_path / "index"
    with pytest.raises(InvalidInputError, match="text 1 is empty"):
        UECRetriever.from_texts(["good", " "], models, folder)
    with pytest.raises(TypeError, match="topk"):
        UECRetriever.from_texts(["good"], models, folder, topk=3)
    with pytest.raises(InvalidInputError, match="2 texts but 1 ids"):
        UECRetriever.from_texts(["good", "text"], models, folder, ids=["a"])
    with pytest.raises(IdConflictError, match="'a' is given twice"):
        UECRetriever.from_texts(["good", "text"], models, folder, ids=["a", "a"])
    with pytest.raises(InvalidInputError, match="metadata of 'd1', key 'n': dict"):
        bad = Document(id="d1", page_content="x", metadata={"n": {"m": 1}})
        UECRetriever.from_documents([bad], models, folder)
    with pytest.raises(InvalidInputError, match=r"metadata of text 0 \('x'\), key 'n': dict"):
        UECRetriever.from_texts(["x"], models, folder, metadatas=[{"n": {"m": 1}}])
    with pytest.raises(InvalidInputError, match="the corpus is empty"):
        UECRetriever.from_documents([], models, folder)
    with pytest.raises(InvalidInputError, match="experts="):
        UECRetriever.from_texts(["good"], location=folder)
    assert not folder.exists()


async def test_adding_and_deleting(models, tmp_path):
    retriever = UECRetriever.from_texts(["the wing"], models, tmp_path / "i", Recipe(pairs()), ids=["a"])
    assert retriever.add_documents([Document(page_content="cat dog", id="b")]) == ["b"]
    assert await retriever.aadd_documents([Document(page_content="bird red")], ids=["c"]) == ["c"]
    assert retriever.add_documents([Document(page_content="blue cat", id="b")]) == ["b"]
    assert {d.id: d.page_content for d in retriever.invoke("cat")} == {
        "a": "the wing",
        "b": "blue cat",
        "c": "bird red",
    }
    assert retriever.delete(["a", "unknown"]) == 1
    assert await retriever.adelete(["c"]) == 1
    assert [d.id for d in retriever.invoke("cat")] == ["b"]
    with pytest.raises(InvalidInputError, match="ids or a filter"):
        retriever.delete()


def test_two_retrievers_share_an_engine(index):
    first = UECRetriever(index=index, device="cpu")
    second = UECRetriever(engine=first.engine, k=2)
    assert second.engine is first.engine
    assert shown(second.invoke(QUERY)) == shown(first.invoke(QUERY))[:2]
