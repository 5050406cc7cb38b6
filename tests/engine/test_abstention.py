"""Abstaining: what a search gives whose confidence is below what was asked for, and where there is none."""

import asyncio
import pickle
from dataclasses import replace

import pytest

from tests.engine.small import pairs, sentences, telling
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.recipe import Recipe
from uec_retriever.engine.results import SearchResult
from uec_retriever.errors import InvalidInputError, LowConfidenceError

TEXTS = telling(200)
QUERIES = sentences(12, 2, 5)


@pytest.fixture(scope="module")
def engine(tmp_path_factory, loaded, fitted):

    folder = tmp_path_factory.mktemp("abstention") / "index"
    engine = Engine.create(folder, [loaded["static"]], Recipe(pairs(), [fitted["static"]]))
    engine.add(TEXTS, ids=[f"id{i}" for i in range(len(TEXTS))])
    engine.calibrate_confidence(k=5)
    return engine


@pytest.fixture(scope="module")
def plain(engine):
    return engine.search_batch(QUERIES, 5)


def between(results):
    """A confidence that some of the results reach and some do not."""
    ordered = sorted(result.confidence for result in results)
    return (ordered[5] + ordered[6]) / 2


def same(one, other):
    return [(h.id, h.score) for h in one] == [(h.id, h.score) for h in other]


def test_flagged_results_keep_their_hits(engine, plain):
    least = between(plain)
    found = engine.search_batch(QUERIES, 5, min_confidence=least)
    assert [r.abstained for r in found] == [r.confidence < least for r in plain]
    assert sum(r.abstained for r in found) == 6
    assert all(same(one, other) for one, other in zip(found, plain, strict=True))


def test_empty_results_say_what_they_would_have_been_worth(engine, plain):
    least = between(plain)
    found = engine.search_batch(QUERIES, 5, min_confidence=least, abstain="empty")
    for one, other in zip(found, plain, strict=True):
        assert one.abstained == (other.confidence < least)
        assert one.confidence == other.confidence
        assert same(one, [] if one.abstained else other)


def test_raising_gives_the_result_along(engine, plain):
    least = between(plain)
    for query, result in zip(QUERIES, plain, strict=True):
        if result.confidence >= least:
            assert same(engine.search(query, 5, min_confidence=least, abstain="raise"), result)
            continue
        with pytest.raises(LowConfidenceError, match=f"{result.confidence:.2f}, below") as raised:
            engine.search(query, 5, min_confidence=least, abstain="raise")
        assert raised.value.result.abstained and same(raised.value.result, result)
        again = pickle.loads(pickle.dumps(raised.value))
        assert str(again) == str(raised.value) and same(again.result, result)
    with pytest.raises(LowConfidenceError):
        engine.search_batch(QUERIES, 5, min_confidence=least, abstain="raise")


def test_one_is_reached_by_what_equals_it(engine, plain):
    query, confidence = plain[0].query, engine.search(QUERIES[0], 5).confidence
    assert not engine.search(query, 5, min_confidence=confidence).abstained
    assert not engine.search(query, 5, min_confidence=0, abstain="raise").abstained
    assert engine.search(query, 5, min_confidence=1).abstained


def test_asynchronous_searches_and_one_text_together_abstain_too(engine):
    with pytest.raises(LowConfidenceError):
        asyncio.run(engine.asearch(QUERIES[0], 5, min_confidence=1, abstain="raise"))
    together = engine.search_together(QUERIES[:1], 5, min_confidence=1, abstain="empty")
    assert together.abstained and not together.hits


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"where": {"n": 3}}, "without a filter"),
        ({"candidates": 9}, "30 candidates"),
        ({"temperature": 7}, "temperature"),
    ],
)
@pytest.mark.parametrize("abstain", ["flag", "empty", "raise"])
def test_a_search_without_confidence_is_refused_and_not_let_pass(engine, options, reason, abstain):
    with pytest.raises(InvalidInputError, match=f"min_confidence needs a confidence.*{reason}"):
        engine.search(QUERIES[0], 5, **options, min_confidence=0.1, abstain=abstain)
    assert not engine.search(QUERIES[0], 5, **options, abstain=abstain).abstained


def test_several_texts_have_no_confidence_to_abstain_by(engine):
    with pytest.raises(InvalidInputError, match="searches with one text"):
        engine.search_together(QUERIES[:2], 5, min_confidence=0.1)


def test_an_index_without_calibration_says_how_to_get_one(make):
    engine = make("static")
    engine.add(TEXTS[:20])
    with pytest.raises(InvalidInputError, match="uec calibrate-confidence"):
        engine.search(QUERIES[0], 5, min_confidence=0.1)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"min_confidence": 1.01}, "min_confidence"),
        ({"min_confidence": float("nan")}, "min_confidence"),
        ({"min_confidence": True}, "min_confidence"),
        ({"min_confidence": "half"}, "min_confidence"),
        ({"abstain": "never"}, "flag, empty, raise"),
        ({"abstain": ["flag"]}, "flag, empty, raise"),
    ],
)
def test_what_cannot_be_asked_for(engine, options, named):
    for search in (engine.search, lambda query, **kept: engine.search_batch([], **kept)):
        with pytest.raises(InvalidInputError, match=named):
            search(QUERIES[0], **options)


@pytest.mark.parametrize(
    ("confidence", "verdict"),
    [
        (None, None),
        (0.0, "probably not in these documents"),
        (1 / 3, "probably not in these documents"),
        (0.34, "unsure"),
        (0.66, "unsure"),
        (2 / 3, "likely in here"),
        (1.0, "likely in here"),
    ],
)
def test_the_verdict_is_the_confidence_in_words(confidence, verdict):
    result = SearchResult("query", {"a": 1.0}, [], confidence=confidence)
    assert result.verdict == verdict


def test_every_hit_tells_its_relevance(engine, plain):
    told = [[hit.relevance for hit in result] for result in plain]
    assert all(0 <= r <= 1 for row in told for r in row)
    assert all(row == sorted(row, reverse=True) for row in told)
    assert len({row[0] for row in told}) > 1
    for options in ({"candidates": 120}, {"k": 60}):
        other = engine.search(QUERIES[0], **{"k": 5, **options})
        assert [h.relevance for h in other][:5] == pytest.approx(told[0])
    for hit in engine.search(QUERIES[0], 5, temperature=0.01):
        assert hit.relevance is None


def test_hits_below_a_relevance_are_left_out(engine, plain):
    least = sorted(hit.relevance for result in plain for hit in result)[20]
    for result, whole in zip(engine.search_batch(QUERIES, 5, min_relevance=least), plain, strict=True):
        assert [h.id for h in result] == [h.id for h in whole if h.relevance >= least]
        assert result.confidence == whole.confidence
    assert engine.search("nothing of the kind", 5, min_relevance=1).hits == []
    with pytest.raises(InvalidInputError, match="min_relevance needs a confidence, and this search has none"):
        engine.search(QUERIES[0], 5, min_relevance=0.5, temperature=0.01)
    with pytest.raises(InvalidInputError, match="min_relevance"):
        engine.search(QUERIES[0], 5, min_relevance=1.5)


def test_a_confidence_of_before_has_no_relevance(engine):
    model = engine.ensemble.confidence
    before = replace(engine.manifest, confidence=replace(model, relevance=None).to_string())
    ensemble, engine._ensemble = engine._ensemble, engine._ensemble.with_manifest(before)
    try:
        assert [h.relevance for h in engine.search(QUERIES[0], 3)] == [None] * 3
        with pytest.raises(InvalidInputError, match="calibrate confidence again"):
            engine.search(QUERIES[0], 3, min_relevance=0.5)
    finally:
        engine._ensemble = ensemble
