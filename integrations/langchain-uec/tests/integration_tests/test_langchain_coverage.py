"""As many documents as it takes, and those alone that are probably right."""

import pytest
from langchain_small import pairs, telling

from langchain_uec import UECRetriever
from uec_retriever import Engine, Recipe
from uec_retriever.errors import InvalidInputError

TEXTS = telling(200)
LABELLED = {" ".join(text.split()[:3]): [f"id{i}"] for i, text in enumerate(TEXTS)}


@pytest.fixture(scope="module")
def sure(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("covered") / "idx"
    engine = Engine.from_texts(
        TEXTS, models[:1], folder, Recipe(pairs()), ids=[f"id{i}" for i in range(len(TEXTS))], device="cpu"
    )
    engine.calibrate_coverage(LABELLED)
    engine.calibrate_confidence(k=4, limit=100)
    return engine


async def test_as_many_documents_as_it_takes(sure):
    retriever = UECRetriever(engine=sure, k=1, coverage=0.8, include=["promise"])
    several = set()
    for query in list(LABELLED)[:10]:
        found = retriever.invoke(query)
        wanted = sure.search(query, coverage=0.8)
        assert [d.id for d in found] == [h.id for h in wanted]
        assert await retriever.ainvoke(query) == found
        promise = found[0].metadata["uec_promise"]
        assert (promise["needed"], promise["holds"], promise["queries"]) == (len(found), True, len(LABELLED))
        several.add(len(found))
    assert len(several) > 1


def test_more_candidates_than_documents_are_not_needed_where_coverage_says_how_many(sure):
    query = next(iter(LABELLED))
    found = UECRetriever(engine=sure, k=40, candidates=30, coverage=0.8).invoke(query)
    assert [d.id for d in found] == [h.id for h in sure.search(query, coverage=0.8, candidates=30)]
    with pytest.raises(InvalidInputError, match="at least k = 40"):
        UECRetriever(engine=sure, k=40, candidates=30)


async def test_a_call_may_ask_for_other_than_the_retriever(sure):
    plain = UECRetriever(engine=sure, k=3, include=["promise"])
    query = next(iter(LABELLED))
    assert [d.metadata["uec_promise"] for d in plain.invoke(query)] == [None] * 3
    assert len(plain.invoke(query, coverage=0.8, max_k=1)) == 1
    assert await plain.ainvoke(query, coverage=0.8) == plain.invoke(query, coverage=0.8)
    wide = UECRetriever(engine=sure, coverage=0.8, max_k=9)
    assert [d.id for d in wide.invoke(query, k=3)] == [d.id for d in plain.invoke(query)]
    with pytest.raises(InvalidInputError, match="score_threshold would leave out"):
        wide.invoke(query, score_threshold=0.5)
    strict = UECRetriever(engine=sure, k=3, min_relevance=0.5)
    assert len(strict.invoke(query, min_relevance=0, filter={"n": {"$gte": 0}})) == 0
    with pytest.raises(InvalidInputError, match="give coverage too"):
        plain.invoke(query, max_k=2)
    for bad in ({"coverage": 1.5}, {"max_k": 3}, {"min_relevance": 2}):
        with pytest.raises(InvalidInputError, match=next(iter(bad))):
            UECRetriever(engine=sure, **bad)


def test_documents_that_are_probably_not_right_are_left_out(sure):
    plain = UECRetriever(engine=sure, k=10, include=["relevance"])
    query = next(iter(LABELLED))
    told = [d.metadata["uec_relevance"] for d in plain.invoke(query)]
    assert told == sorted(told, reverse=True) and 0 <= told[-1] < told[0] <= 1
    least = told[4]
    assert [d.metadata["uec_relevance"] for d in plain.invoke(query, min_relevance=least)] == told[:5]
    strict = UECRetriever(engine=sure, k=10, min_relevance=1, no_evidence="nothing here")
    assert [d.page_content for d in strict.invoke(query)] == ["nothing here"]
