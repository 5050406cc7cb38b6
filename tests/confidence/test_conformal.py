"""Coverage: nonconformities, thresholds, the size of a set and what it promises."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uec_retriever.confidence.conformal import (
    NONCONFORMITIES,
    CoverageModel,
    nonconformities,
    query_nonconformity,
)
from uec_retriever.errors import CorruptFileError, FormatVersionError, InvalidInputError

SCORES = st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=30)


def model(values, name="rank"):
    return CoverageModel.fit(name, values, candidates=50, records=1000, source="labelled")


def naive(name, raw, i):
    """The nonconformity of one candidate, by its definition."""
    spread = np.std(raw)
    behind = [(max(raw) - s) / spread if spread > 0 else 0.0 for s in raw]
    if name == "score":
        return -raw[i]
    if name == "rank":
        return sum(s >= raw[i] for s in raw)
    if name == "relative":
        return behind[i]
    if name == "ranked":
        return behind[i] + math.log(sum(s >= raw[i] for s in raw))
    mass = [math.exp(-b) for b in behind]
    return sum(m for m, s in zip(mass, raw, strict=True) if s >= raw[i]) / sum(mass)


@pytest.mark.parametrize("name", NONCONFORMITIES)
@given(raw=SCORES)
def test_nonconformities_are_those_of_a_loop_and_sets_are_prefixes(name, raw):
    got = nonconformities(name, np.array(raw))
    np.testing.assert_allclose(got, [naive(name, raw, i) for i in range(len(raw))], rtol=1e-9, atol=1e-12)
    along = got[np.argsort(-np.array(raw), kind="stable")]
    assert (np.diff(along) >= 0).all()
    for one, score in zip(got, raw, strict=True):
        assert (got[np.array(raw) == score] == one).all()


@pytest.mark.parametrize("name", NONCONFORMITIES)
@given(raw=SCORES, place=st.integers(0, 29))
def test_a_query_at_the_threshold_is_covered(name, raw, place):
    place %= len(raw)
    value = query_nonconformity(name, np.array(raw), [place])
    size = model([value], name).size(np.array(raw), 0.5)
    assert raw[place] in sorted(raw, reverse=True)[:size]
    assert size >= sum(score >= raw[place] for score in raw)  # ties as a whole


def test_the_threshold_is_the_stated_order_statistic():
    values = [float(v) for v in range(1, 100)]
    assert model(values[::-1]).threshold(0.95) == 95
    assert model(values).threshold(0.9) == 90
    assert model(values).threshold(0.901) == 91


def test_too_few_queries_are_told_how_many_are_needed():
    assert model([1.0] * 9).threshold(0.9) == 1
    with pytest.raises(InvalidInputError, match="at least 9 labelled queries, there are 8"):
        model([1.0] * 8).threshold(0.9)
    with pytest.raises(InvalidInputError, match="between 0 and 1"):
        model([1.0]).threshold(1.0)


def test_missed_queries_bound_what_can_be_promised():
    assert query_nonconformity("score", np.array([1.0]), []) == math.inf
    coverage = model([1.0] * 80 + [math.inf] * 19)
    assert (coverage.queries, coverage.recall) == (99, 80 / 99)
    assert coverage.lowest_error == pytest.approx(0.2)
    assert coverage.threshold(0.8) == 1
    assert coverage.threshold(0.81) == math.inf
    assert coverage.size(np.arange(5.0), 0.81) == 5


def test_a_set_is_never_empty():
    assert model([-10.0], "score").size(np.array([1.0, 2.0]), 0.5) == 1


@pytest.mark.parametrize(("number", "coverage"), [(100, 0.9), (37, 0.8)])
def test_coverage_follows_its_beta_law(number, coverage):
    generator, draws = np.random.default_rng(0), 4000
    place = math.ceil((number + 1) * coverage)
    a, b = place, number + 1 - place
    # uniform nonconformities: the coverage of a calibration is its threshold
    covered = np.array([model(generator.random(number)).threshold(coverage) for _ in range(draws)])
    variance = a * b / ((a + b) ** 2 * (a + b + 1))
    assert a / (a + b) >= coverage
    assert abs(covered.mean() - a / (a + b)) < 4 * math.sqrt(variance / draws)
    assert abs(covered.var() / variance - 1) < 4 * math.sqrt(2.2 / draws)


def test_ties_cover_more_not_less():
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(500):
        threshold = model(generator.integers(1, 4, 50).astype(float)).threshold(0.8)
        covered.append(threshold / 3)
    assert np.mean(covered) >= 0.8


@given(st.lists(st.floats(-1e9, 1e9) | st.just(math.inf), min_size=1))
def test_a_string_gives_the_model_back_and_rounds_upwards(values):
    one = model(values, "score")
    assert CoverageModel.from_string(one.to_string()) == one
    finite = sorted(v for v in values if v != math.inf)
    assert all(kept >= v for kept, v in zip(one.values, finite, strict=True))
    np.testing.assert_allclose(one.values, finite, rtol=1.01e-7)  # one in the eighth digit


@pytest.mark.parametrize(
    "change",
    [
        {"values": [2.0, 1.0]},
        {"missed": -1},
        {"values": []},
        {"nonconformity": "x"},
        {"candidates": 0},
        {"y": 1},
    ]
    + [{"format": "1"}, {"values": ["a"]}, {"values": [math.nan]}],
)
def test_damaged_strings_are_refused(change):
    whole = json.loads(model([1.0, 2.0]).to_string())
    with pytest.raises(CorruptFileError, match="calibrate it anew"):
        CoverageModel.from_string(json.dumps({**whole, **change}))


def test_another_format_and_no_json_are_refused():
    whole = json.loads(model([1.0]).to_string())
    with pytest.raises(FormatVersionError, match="format 2"):
        CoverageModel.from_string(json.dumps({**whole, "format": 2}))
    with pytest.raises(CorruptFileError):
        CoverageModel.from_string("{")


@pytest.mark.parametrize("raw", [[], [math.nan], [math.inf, 1.0], [[1.0]]])
def test_scores_must_be_a_row_of_finite_numbers(raw):
    with pytest.raises(InvalidInputError, match="finite"):
        nonconformities("rank", np.array(raw))


def test_unknown_names_and_values_that_are_no_nonconformity_are_refused():
    with pytest.raises(InvalidInputError, match="choose from"):
        nonconformities("x", np.ones(1))
    for values in ([math.nan], [-math.inf], []):
        with pytest.raises(InvalidInputError):
            model(values)
