"""ECE, its interval, bins and shares against naive loops, sklearn and simulations whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import wilson
from uec_retriever.evaluation.reliability import ece_interval, reliability, reliability_panel


@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_ece_is_the_naive_loop(seed, number):
    random = np.random.default_rng(seed)
    confidence, outcomes = random.random(number).round(2), random.random(number)
    total = 0.0
    for b in range(10):
        inside = [i for i in range(number) if min(int(confidence[i] * 10), 9) == b]
        if inside:
            total += abs(sum(outcomes[i] - confidence[i] for i in inside)) / number
    found = reliability(outcomes, confidence)
    assert found.ece == pytest.approx(total)
    weighted = sum(b.count * abs(b.confidence - b.accuracy) for b in found.bins) / number
    assert weighted == pytest.approx(total)
    assert sum(b.count for b in found.bins) == number
    assert all(b.low - 1e-12 <= b.confidence <= b.high + 1e-12 for b in found.bins)  # a mean rounds


def test_bins_are_sklearns():
    random = np.random.default_rng(0)
    confidence = random.random(500)
    outcomes = (random.random(500) < confidence**2).astype(int)
    accuracy, means = calibration_curve(outcomes, confidence, n_bins=10)
    found = reliability(outcomes, confidence).bins
    np.testing.assert_allclose([b.accuracy for b in found], accuracy)
    np.testing.assert_allclose([b.confidence for b in found], means)


@pytest.mark.parametrize(
    ("outcomes", "confidence"),
    [([], []), ([1.0], [1.2]), ([-0.1], [0.5]), ([1.0], [0.5, 0.5]), ([1], [np.nan]), ([[0.5]], [[0.5]])],
)
def test_what_is_no_probability_is_refused(outcomes, confidence):
    with pytest.raises(InvalidInputError):
        reliability(np.array(outcomes), np.array(confidence))


def test_the_interval_of_an_ece_holds_the_truth():
    """Right .3 less often than said: every interval of enough items holds that, and not a gap of nothing."""
    random = np.random.default_rng(0)
    confidence = random.choice([0.55, 0.75, 0.95], 600)
    outcomes = (random.random(600) < confidence - 0.3).astype(float)
    found = ece_interval(outcomes, confidence, seed=0)
    assert found.mean == pytest.approx(reliability(outcomes, confidence).ece)
    assert 0.2 < found.low < 0.3 < found.high < 0.4


def test_items_of_a_group_are_drawn_together():
    """Ten copies of each item tell no more than one."""
    random = np.random.default_rng(1)
    confidence = random.random(80)
    outcomes = (random.random(80) < confidence**2).astype(float)
    once = ece_interval(outcomes, confidence, seed=0)
    groups, many = np.repeat(np.arange(80), 10), (np.repeat(v, 10) for v in (outcomes, confidence))
    together = ece_interval(*many, seed=0, groups=groups)
    np.testing.assert_allclose([together.low, together.high], [once.low, once.high])
    apart = ece_interval(np.repeat(outcomes, 10), np.repeat(confidence, 10), seed=0)
    assert apart.high - apart.low < 0.6 * (once.high - once.low)


@given(st.integers(1, 400), st.data())
def test_wilson_is_the_formula(number, data):
    successes = data.draw(st.integers(0, number))
    share, z = successes / number, 1.959963984540054
    middle = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z * np.sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2) / (1 + z * z / number)
    found = wilson(successes, number)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (share, middle - half, middle + half), abs=1e-9
    )


def test_nothing_tried_tells_nothing():
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


def test_a_panel_leaves_out_empty_bins_and_knows_its_intervals():
    bins = [
        {"confidence": 0.25, "accuracy": 0.5, "count": 4},
        {"confidence": 0.5, "accuracy": 0.0, "count": 0},
        {"confidence": 0.75, "accuracy": 1.0, "count": 2},
    ]
    panel = reliability_panel("confidence", bins, "uec", "ECE", intervals=True)
    assert (panel["x"], panel["lines"]["confidence"], panel["counts"]) == ([0.25, 0.75], [0.5, 1.0], [4, 2])
    bands = panel["bands"]["confidence"]
    assert bands["low"][0] == pytest.approx(wilson(2, 4).low) and bands["high"][1] == pytest.approx(1)
    assert "bands" not in reliability_panel("confidence", bins, "uec", "ECE")
