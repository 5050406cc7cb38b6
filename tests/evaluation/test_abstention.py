"""Abstention against MTEB's own function, against the definition in plain Python, and at landmarks."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.abstention import abstention, abstention_curve, nauc


def area(curve):
    return sum(0.1 * (a + b) / 2 for a, b in zip(curve, curve[1:], strict=False))


def oracle(metric, confidence):
    """The definition, query by query, in plain Python."""
    number = len(metric)
    rates = np.linspace(0, 1, 11)[:-1].tolist()  # .3 is .30000000000000004, which decides ties of rounding

    def curve(by):
        alike = {c: [m for m, b in zip(metric, by, strict=True) if b == c] for c in by}
        ranked = [sum(alike[c]) / len(alike[c]) for c in sorted(by)]
        kept = [ranked[min(round(rate * number), number - 1) :] for rate in rates]
        return [sum(k) / len(k) for k in kept]

    flat = 0.9 * sum(metric) / number
    best = area(curve(metric))
    found = curve(confidence)
    return (area(found) - flat) / (best - flat), area(found) / 0.9, found


def with_ties(seed, number):
    """Confidence with ties, metric with ties."""
    generator = np.random.default_rng(seed)
    return generator.random(number).round(2), generator.normal(size=number).round(1)


@given(st.integers(0, 2**32 - 1), st.integers(3, 60))
def test_against_the_definition(seed, number):
    metric, confidence = with_ties(seed, number)
    if np.isclose(np.ptp(metric), 0):
        metric[0] += 1
    area_of_ours, auc, curve = oracle(metric.tolist(), confidence.tolist())
    found = abstention(metric, confidence, "nDCG@10")
    assert found["AUC@10"] == pytest.approx(auc)
    assert found["curve"]["nDCG@10"] == pytest.approx(curve)
    assert abstention_curve(metric, confidence).tolist() == found["curve"]["nDCG@10"]
    if not math.isnan(
        nauc(metric, confidence)
    ):  # no share of the queries cuts those of different worth apart
        assert found["nAUC"] == pytest.approx(area_of_ours)


def test_against_mteb():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mteb = pytest.importorskip("mteb._evaluators.retrieval_metrics")
    for seed in range(20):
        metric, confidence = with_ties(seed, 5 + 13 * seed)
        assert nauc(metric, confidence) == pytest.approx(mteb.nauc(confidence, metric))


def test_by_hand():
    """Two queries: round(.5 rate 2) leaves out none up to .2, one from .3 on (round(.5) = round(.25) = 0)."""
    metric = np.array([0.0, 1.0])
    assert nauc(metric, np.array([0.1, 0.9])) == pytest.approx(1)
    kept = [0.5] * 3 + [0.0] * 7
    best = [0.5] * 3 + [1.0] * 7
    expected = (area(kept) - 0.45) / (area(best) - 0.45)
    found = abstention(metric, np.array([0.9, 0.1]), "nDCG@10")
    assert found["nAUC"] == pytest.approx(expected)
    assert expected == pytest.approx(-1)
    assert found["AUC@10"] == pytest.approx(area(kept) / 0.9)
    assert found["curve"]["coverage"] == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert found["curve"]["nDCG@10"] == pytest.approx(kept)


def test_landmarks():
    generator = np.random.default_rng(0)
    metric = generator.random(4000)
    assert nauc(metric, metric) == pytest.approx(1)
    assert nauc(metric, np.exp(metric)) == pytest.approx(1)
    assert nauc(metric, generator.random(4000)) == pytest.approx(0, abs=0.05)
    assert nauc(metric, -metric) < -0.5
    constant = abstention(metric, np.ones(4000), "nDCG@10")
    assert (constant["nAUC"], constant["AUC@10"]) == pytest.approx((0, metric.mean()))


def test_the_order_of_equally_sure_queries_does_not_matter():
    metric, confidence = with_ties(3, 50)
    order = np.random.default_rng(0).permutation(50)
    assert abstention_curve(metric[order], confidence[order]) == pytest.approx(
        abstention_curve(metric, confidence)
    )


def test_what_json_holds():
    assert math.isnan(nauc(np.ones(5), np.arange(5.0)))
    coverage = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert abstention(np.ones(5), np.arange(5.0), "nDCG@10") == {
        "nAUC": None,
        "AUC@10": 1.0,
        "curve": {"coverage": coverage, "nDCG@10": [1.0] * 10},
    }


@pytest.mark.parametrize(
    ("values", "confidence"),
    [([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([np.nan], [1.0]), ([1.0], [np.nan])],
)
def test_what_cannot_be_measured_is_refused(values, confidence):
    with pytest.raises(InvalidInputError):
        nauc(np.array(values), np.array(confidence))
