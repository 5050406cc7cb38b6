"""Abstention against MTEB's own function, against the definition in plain Python, and at landmarks."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.abstention import risk_coverage


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


def drawn(seed, number):
    """Confidence with ties, metric with ties."""
    generator = np.random.default_rng(seed)
    return generator.random(number).round(2), generator.normal(size=number).round(1)


@given(st.integers(0, 2**32 - 1), st.integers(3, 60))
def test_against_the_definition(seed, number):
    metric, confidence = drawn(seed, number)
    if np.ptp(metric) == 0:
        return
    nauc, auc, curve = oracle(metric.tolist(), confidence.tolist())
    found = risk_coverage(metric, confidence)
    assert found.auc == pytest.approx(auc)
    assert found.retained == pytest.approx(curve)
    if not math.isnan(found.nauc):
        assert found.nauc == pytest.approx(nauc)


def test_against_mteb():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mteb = pytest.importorskip("mteb._evaluators.retrieval_metrics")
    for seed in range(20):
        metric, confidence = drawn(seed, 5 + 13 * seed)
        assert risk_coverage(metric, confidence).nauc == pytest.approx(mteb.nauc(confidence, metric))


def test_by_hand():
    """Two queries: round(.5 rate 2) leaves out none up to .2, one from .3 on (round(.5) = round(.25) = 0)."""
    metric = np.array([0.0, 1.0])
    assert risk_coverage(metric, np.array([0.1, 0.9])).nauc == pytest.approx(1)
    kept = [0.5] * 3 + [0.0] * 7
    best = [0.5] * 3 + [1.0] * 7
    expected = (area(kept) - 0.45) / (area(best) - 0.45)
    found = risk_coverage(metric, np.array([0.9, 0.1]))
    assert found.nauc == pytest.approx(expected)
    assert expected == pytest.approx(-1)
    assert found.auc == pytest.approx(area(kept) / 0.9)
    assert found.coverage == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert found.retained == pytest.approx(kept)


def test_landmarks():
    generator = np.random.default_rng(0)
    metric = generator.random(4000)
    assert risk_coverage(metric, metric).nauc == pytest.approx(1)
    assert risk_coverage(metric, np.exp(metric)).nauc == pytest.approx(1)
    assert risk_coverage(metric, generator.random(4000)).nauc == pytest.approx(0, abs=0.05)
    assert risk_coverage(metric, -metric).nauc < -0.5
    constant = risk_coverage(metric, np.ones(4000))
    assert (constant.nauc, constant.auc) == pytest.approx((0, metric.mean()))


def test_the_order_of_equally_sure_queries_does_not_matter():
    metric, confidence = drawn(3, 50)
    order = np.random.default_rng(0).permutation(50)
    found, shuffled = risk_coverage(metric, confidence), risk_coverage(metric[order], confidence[order])
    assert shuffled.retained == pytest.approx(found.retained)


def test_what_json_holds():
    found = risk_coverage(np.ones(5), np.arange(5.0))
    assert math.isnan(found.nauc)
    assert found.to_json() == {
        "nAUC": None,
        "AUC@10": 1.0,
        "curve": {"coverage": list(found.coverage), "nDCG@10": [1.0] * 10},
    }


@pytest.mark.parametrize(
    ("values", "confidence"),
    [([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([np.nan], [1.0]), ([1.0], [np.nan])],
)
def test_what_cannot_be_measured_is_refused(values, confidence):
    with pytest.raises(InvalidInputError):
        risk_coverage(np.array(values), np.array(confidence))
