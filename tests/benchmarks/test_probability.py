"""ECE, Var-ECE and the logistic map against naive loops, sklearn, and simulations whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from benchmarks.logistic_map import cross_fit, fit_logistic_map
from benchmarks.probability import (
    calibration_cell,
    cut_off,
    rank_correlation,
    variance_calibration,
)
from uec_retriever.errors import InvalidInputError


@given(st.integers(0, 2**32 - 1), st.integers(10, 90))
def test_var_ece_is_the_naive_loop(seed, number):
    random = np.random.default_rng(seed)
    variance, squared = random.uniform(0.1, 2, number), random.exponential(1, number)
    edges = [np.quantile(variance, q) for q in np.linspace(0, 1, 11)[1:-1]]
    groups = {}
    for v, e in zip(variance, squared, strict=True):
        groups.setdefault(sum(v > edge for edge in edges), []).append((v, e))
    gap = sum(abs(sum(v - e for v, e in g)) for g in groups.values()) / number
    found = variance_calibration(variance, squared)
    assert found.var_ece == pytest.approx(gap)
    assert variance_calibration(3 * variance, squared).scaled == pytest.approx(found.scaled)


def test_landmarks_of_var_ece():
    random = np.random.default_rng(1)
    variance = random.uniform(0.1, 2, 20000)
    squared = random.normal(0, np.sqrt(variance)) ** 2
    right = variance_calibration(variance, squared)
    assert right.var_ece == pytest.approx(0, abs=0.05)
    assert right.rank_correlation > 0.3
    assert variance_calibration(variance / 4, squared).var_ece == pytest.approx(0.75 * 1.05, abs=0.05)
    shuffled = variance_calibration(random.permutation(variance), squared)
    assert shuffled.scaled > 0.3
    assert shuffled.rank_correlation == pytest.approx(0, abs=0.03)
    constant = variance_calibration(np.full(20000, squared.mean()), squared)
    assert constant.var_ece == pytest.approx(0)
    assert constant.rank_correlation is None
    assert len(constant.bins) == 1


def test_without_variances_the_map_is_logistic_regression():
    random = np.random.default_rng(2)
    mean = random.normal(0.4, 0.2, 400)
    outcomes = (random.random(400) < expit(8 * mean - 4)).astype(float)
    found = fit_logistic_map(outcomes, mean)
    expected = LogisticRegression(C=np.inf).fit(mean[:, None], outcomes)
    assert found.slope == pytest.approx(expected.coef_[0, 0], rel=1e-2)
    assert found.intercept == pytest.approx(expected.intercept_[0], rel=1e-2)
    np.testing.assert_allclose(
        found.probability(mean), expected.predict_proba(mean[:, None])[:, 1], atol=2e-3
    )


def test_variances_that_matter_get_their_factor():
    """Similarities blurred with known variances: the map finds how much of them to believe."""
    random = np.random.default_rng(3)
    variance = random.choice([1e-4, 0.2], 40000)
    mean = random.normal(0, 0.4, 40000)
    outcomes = (random.random(40000) < expit(6 * random.normal(mean, np.sqrt(variance)))).astype(float)
    found = fit_logistic_map(outcomes, mean, variance)
    assert found.slope == pytest.approx(6, rel=0.15)
    assert found.factor == pytest.approx(1, rel=0.35)
    nodes = norm.ppf((np.arange(2000) + 0.5) / 2000)
    blurred = expit(6 * (0.3 + np.sqrt(0.2) * nodes)).mean()
    assert found.probability(np.array([0.3]), np.array([0.2]))[0] == pytest.approx(blurred, abs=0.02)


def test_fractional_outcomes_are_met_on_average():
    random = np.random.default_rng(4)
    mean = random.normal(0.5, 0.2, 500)
    outcomes = np.clip(mean**2, 0, 1)
    assert fit_logistic_map(outcomes, mean).probability(mean).mean() == pytest.approx(
        outcomes.mean(), abs=1e-3
    )


def test_cross_fitting_leaves_out_the_own_group():
    """Outcomes that only their group explains cannot be told from other groups."""
    random = np.random.default_rng(5)
    groups = np.repeat(np.arange(40), 5)
    mean = random.random(200)
    outcomes = (random.random(200) < 0.5).astype(float)
    flipped = outcomes.copy()
    flipped[groups == 7] = 1 - flipped[groups == 7]
    inside = groups == 7
    one, other = (cross_fit(o, mean, groups=groups) for o in (outcomes, flipped))
    np.testing.assert_allclose(one[inside], other[inside])
    assert not np.allclose(one[~inside], other[~inside])
    with pytest.raises(InvalidInputError, match="two queries"):
        cross_fit(outcomes[:5], mean[:5], groups=groups[:5])


def test_a_cell_holds_what_the_report_reads():
    outcomes = np.array([1.0, 0.0, 1.0, 0.5])
    mean = np.array([0.9, -0.2, 0.6, 0.4])
    cell = calibration_cell(outcomes, cut_off(mean), mean=mean, variance=np.array([0.1, 0.2, 0.3, 0.4]))
    assert {"ECE", "Var-ECE", "rank correlation", "bins", "variance bins"} <= set(cell)
    assert set(cell["bins"][0]) == {"low", "high", "confidence", "accuracy", "count"}
    assert cell["Brier"] == pytest.approx(np.mean([0.01, 0, 0.16, 0.01]))
    assert calibration_cell(outcomes, cut_off(mean))["Var-ECE"] is None


@pytest.mark.parametrize(
    ("variance", "squared"), [([0.0], [1.0]), ([1.0], [-1.0]), ([], []), ([1.0], [1.0, 1.0])]
)
def test_what_cannot_be_a_variance_is_refused(variance, squared):
    with pytest.raises(InvalidInputError):
        variance_calibration(np.array(variance), np.array(squared))


def test_logit_and_map_agree_on_a_certain_pair():
    found = fit_logistic_map(np.array([0.0, 1.0, 0.25, 0.75]), np.array([0.0, 1.0, 0.3, 0.7]))
    probability = found.probability(np.array([0.5]))[0]
    assert logit(probability) == pytest.approx(found.slope * 0.5 + found.intercept)


def test_rank_correlation_draws_whole_groups():
    random = np.random.default_rng(1)
    one = np.repeat(random.normal(size=30), 20)
    other = one + np.repeat(random.normal(size=30), 20)
    alone, grouped = (
        rank_correlation(one, other, 0),
        rank_correlation(one, other, 0, np.repeat(np.arange(30), 20)),
    )
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    assert rank_correlation(one, np.ones(600), 0) is None
