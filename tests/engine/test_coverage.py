"""Coverage: as many hits as a right one needs to be among them as often as asked, and when that is not promised."""

import asyncio
import math
import re

import numpy as np
import pytest

from tests.engine.small import pairs, telling
from uec_retriever.confidence.conformal import CoverageModel
from uec_retriever.engine.coverage import broken_promise, rounded_down
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import InvalidInputError

TEXTS = list(dict.fromkeys(telling(500)))
LABELLED = {" ".join(text.split(".")[0].split()[:3]): [] for text in TEXTS}
for number, text in enumerate(TEXTS):
    LABELLED[" ".join(text.split(".")[0].split()[:3])].append(f"id{number}")
CALIBRATING, ASKED = dict(list(LABELLED.items())[::2]), dict(list(LABELLED.items())[1::2])
CANDIDATES = 60


@pytest.fixture(params=[True, False], ids=["words", "dense"], scope="module")
def engine(request, tmp_path_factory, loaded, fitted):
    folder = tmp_path_factory.mktemp("coverage") / "index"
    recipe = Recipe(pairs(), [fitted["static"]], lexical=request.param)
    engine = Engine.create(folder, [loaded["static"]], recipe)
    engine.add(
        TEXTS, ids=[f"id{i}" for i in range(len(TEXTS))], metadatas=[{"n": i} for i in range(len(TEXTS))]
    )
    engine.report = engine.calibrate_coverage(CALIBRATING, candidates=CANDIDATES)
    return engine


@pytest.fixture
def small(make):
    """A new index of few texts."""
    engine = make("static")
    engine.add(TEXTS[:60], ids=[f"id{i}" for i in range(60)])
    return engine, {text: [f"id{i}"] for i, text in enumerate(TEXTS[:60])}


def test_a_report_says_what_the_promise_rests_on(engine):
    report = engine.report
    assert (report.queries, report.nonconformity) == (len(CALIBRATING), "ranked")
    assert (report.unanswered, report.candidates) == (0, CANDIDATES)
    missed = round((1 - report.recall) * report.queries)
    assert report.highest == pytest.approx(1 - (missed + 1) / (report.queries + 1))


@pytest.mark.parametrize("coverage", [0.7, 0.8, 0.9])
def test_a_right_one_is_among_the_hits_as_often_as_promised(engine, coverage):
    found = engine.search_batch(list(ASKED), coverage=coverage)
    assert all(result.promise.holds for result in found)
    realised = np.mean(
        [any(hit.id in ids for hit in r) for r, ids in zip(found, ASKED.values(), strict=True)]
    )
    noise = math.sqrt(coverage * (1 - coverage) * (1 / len(ASKED) + 1 / engine.report.queries))
    assert abs(realised - coverage) < 3 * noise


def test_the_hits_are_a_prefix_of_the_ranking_as_long_as_the_threshold_says(engine):
    model = CoverageModel.from_string(engine.manifest.coverage)
    queries = list(ASKED)[:40]
    found = engine.search_batch(queries, coverage=0.8)
    whole = engine.search_batch(queries, 2 * CANDIDATES, candidates=2 * CANDIDATES)
    several = set()
    for result, ranking in zip(found, whole, strict=True):
        assert len(result) == result.promise.needed >= 1
        several.add(len(result))
        if (
            engine.manifest.lexical is None
        ):  # of words, those that come into the first CANDIDATES of either leg
            scores = np.array([hit.raw_score for hit in ranking.hits[:CANDIDATES]])
            assert model.size(scores, 0.8) == len(result)
            assert [h.id for h in result] == [h.id for h in ranking.hits[: len(result)]]
    assert len(several) > 1


def test_more_candidates_change_nothing_and_k_does_not_count(engine):
    query = next(iter(ASKED))
    result = engine.search(query, coverage=0.8)
    for options in ({"k": 1}, {"k": 90}, {"candidates": 200}, {"k": 90, "candidates": CANDIDATES}):
        other = engine.search(query, **{"coverage": 0.8, **options})
        assert [(h.id, h.score) for h in other] == [(h.id, h.score) for h in result]
        assert other.promise == result.promise


def test_max_k_bounds_the_hits_and_says_when_that_breaks_the_promise(engine):
    queries = list(ASKED)[:40]
    for result, free in zip(
        engine.search_batch(queries, coverage=0.8, max_k=3),
        engine.search_batch(queries, coverage=0.8),
        strict=True,
    ):
        assert [h.id for h in result] == [h.id for h in free.hits[:3]]
        assert result.promise.needed == free.promise.needed
        assert result.promise.holds == (free.promise.needed <= 3)
        assert (
            result.promise.holds or f"needs {free.promise.needed} hits, max_k is 3" in result.promise.reason
        )


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"where": {"n": {"$gte": 5}}}, "without a filter: leave"),
        (
            {"candidates": CANDIDATES - 1},
            f"calibrated for {CANDIDATES} candidates, not {CANDIDATES - 1}: leave",
        ),
        ({"temperature": 0.123}, "for the temperature .*: leave"),
    ],
)
def test_what_is_other_than_at_calibration_breaks_the_promise(engine, options, reason):
    result = engine.search(next(iter(ASKED)), coverage=0.8, **options)
    assert len(result) and not result.promise.holds
    assert re.search(reason, result.promise.reason)


def test_several_texts_have_no_promise(engine):
    one, two = list(ASKED)[:2]
    assert engine.search_together([one], coverage=0.8).promise.holds
    assert "one text" in engine.search_together([one, two], coverage=0.8).promise.reason
    assert asyncio.run(engine.asearch(one, coverage=0.8)).promise.holds
    assert engine.search(one).promise is None


def test_what_candidates_lack_cannot_be_promised(small):
    engine, labelled = small
    report = engine.calibrate_coverage(dict(list(labelled.items())[:20]), candidates=1)
    assert report.queries == 20
    model = engine.ensemble.coverage
    strange = {f"{text} and more": ["id0"] for text in list(labelled)[1:31]}
    report = engine.calibrate_coverage({**dict(list(labelled.items())[:10]), **strange}, candidates=1)
    assert report.recall < 0.5 and report.highest < 0.5
    result = engine.search(next(iter(labelled)), coverage=0.9)
    assert "at most" in result.promise.reason and "ask for less" in result.promise.reason
    assert result.promise.lowest_error == pytest.approx(1 - report.highest)
    assert model is not engine.ensemble.coverage


def test_it_is_for_these_texts_and_outlasts_the_engine(small):
    engine, labelled = small
    engine.calibrate_coverage(labelled)
    assert engine.search(TEXTS[0], coverage=0.9).promise.holds
    with Engine.open(engine._folder.path, device="cpu") as again:
        assert again.search(TEXTS[0], coverage=0.9).promise == engine.search(TEXTS[0], coverage=0.9).promise
    engine.add(["one more text"])
    result = engine.search(TEXTS[0], coverage=0.9)
    assert "on 60 texts, the index has 61 now" in result.promise.reason
    engine.calibrate_coverage(labelled)
    assert engine.search(TEXTS[0], coverage=0.9).promise.holds


def test_it_goes_when_scores_become_others(small):
    engine, labelled = small
    for change in (
        lambda: engine.recalibrate(pairs()),
        lambda: engine.recalibrate_share(labelled),
        lambda: engine.use_words(False),
    ):
        engine.use_words()
        engine.calibrate_coverage(labelled)
        assert engine.manifest.coverage is not None
        change()
        assert engine.manifest.coverage is None
        with pytest.raises(InvalidInputError, match="coverage needs labelled queries"):
            engine.search(TEXTS[0], coverage=0.9)


def test_labels_without_an_answer_here_are_left_out(small):
    engine, labelled = small
    report = engine.calibrate_coverage({**labelled, "gone": ["nowhere"], "none": []})
    assert (report.unanswered, report.queries) == (2, 60)
    for bad in ({"gone": ["nowhere"]}, {}, {"none": []}):
        with pytest.raises(InvalidInputError, match="right records are in the index"):
            engine.calibrate_coverage(bad)
    with pytest.raises(InvalidInputError, match="no nonconformity 'best': choose from"):
        engine.calibrate_coverage(labelled, nonconformity="best")
    with pytest.raises(InvalidInputError, match="candidates"):
        engine.calibrate_coverage(labelled, candidates=0)
    assert engine.calibrate_coverage(labelled, nonconformity="rank").nonconformity == "rank"
    assert len({len(r) for r in engine.search_batch(list(labelled), coverage=0.9)}) == 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"coverage": 0}, "coverage"),
        ({"coverage": 1}, "coverage"),
        ({"coverage": "much"}, "coverage"),
        ({"coverage": math.nan}, "coverage"),
        ({"coverage": 0.9, "max_k": 0}, "max_k"),
        ({"max_k": 5}, "give coverage too, or k"),
        ({"coverage": 0.9, "min_relevance": 0.5}, "min_relevance would leave out hits that coverage needs"),
        ({"coverage": 0.9999}, "needs at least 9999 labelled queries, there are"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(engine, options, message):
    with pytest.raises(InvalidInputError, match=message):
        engine.search("cat", **options)


@pytest.mark.parametrize("options", [{"coverage": 0.9}, {"min_confidence": 0.5}])
def test_what_is_not_calibrated_is_refused_before_anything_is_encoded(small, encoded, options):
    engine, _ = small
    texts = encoded(engine)
    for search in (
        lambda: engine.search("cat", **options),
        lambda: engine.search_batch(["cat", "dog"], **options),
        lambda: engine.search_together(["cat", "dog"], **options),
        lambda: asyncio.run(engine.asearch("cat", **options)),
    ):
        with pytest.raises(InvalidInputError, match="calibrate"):
            search()
    assert texts == []


@pytest.mark.parametrize("missed, labelled, coverage", [(7, 24, 0.68), (15, 49, 0.68), (16, 49, 0.66)])
def test_what_rounding_alone_forbids_is_promised(missed, labelled, coverage):
    values = [*range(1, labelled - missed + 1), *[math.inf] * missed]
    model = CoverageModel.fit("rank", values, candidates=50, records=9, source="labelled")
    known = {"filtered": False, "candidates": None, "records": 9, "other": None}
    assert broken_promise(model, coverage, **known) is None
    assert "at most" in broken_promise(model, coverage + 0.02, **known)


@pytest.mark.parametrize("labelled", [50, 300, 333])
@pytest.mark.parametrize("missed", [0, 1, 7])
def test_the_highest_that_is_told_can_be_asked_for(labelled, missed):
    values = [*range(1, labelled - missed + 1), *[math.inf] * missed]
    model = CoverageModel.fit("rank", values, candidates=500, records=9, source="labelled")
    assert math.isfinite(model.threshold(float(rounded_down(1 - model.lowest_error))))


def test_an_abstaining_search_promises_nothing(engine):
    engine.calibrate_confidence(k=3, limit=100)
    query = next(iter(ASKED))
    flagged = engine.search(query, coverage=0.8, min_confidence=1)
    assert flagged.abstained and flagged.promise.holds and len(flagged) == flagged.promise.needed
    empty = engine.search(query, coverage=0.8, min_confidence=1, abstain="empty")
    assert (len(empty), empty.promise.reason) == (0, "the search abstained")


def test_an_asynchronous_search_refuses_before_it_embeds(small, encoded):
    engine, _ = small
    texts = encoded(engine)
    for options in ({"k": 0}, {"max_k": 3}, {"abstain": "never"}, {"coverage": 2}, {"temperature": -1}):
        with pytest.raises(InvalidInputError):
            asyncio.run(engine.asearch("cat", **options))
    with pytest.raises(TypeError, match="no option 'covrage'"):
        asyncio.run(engine.asearch("cat", covrage=0.9))
    assert texts == []
