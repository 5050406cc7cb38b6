"""Oracles: simulation with a known factor, and naive loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import GaussianEmbedding
from uec_retriever.laplace.calibration import (
    choose_temperature,
    pair_likelihood,
    reference_zero,
    variance_scale,
)


def simulated_pairs(factor, pairs=3000, dimension=24, seed=0):
    """Pairs that mean the same: both means scatter around one point by `factor` times their variance."""
    random = np.random.default_rng(seed)
    profile = np.concatenate([random.uniform(0.1, 2, dimension - 2), [1e-8, 1e-8]])  # two dead dimensions
    truth = random.standard_normal((pairs, dimension))
    sides = []
    for _ in range(2):
        variance = 0.01 * random.uniform(0.5, 2, (pairs, 1)) * profile
        noise = random.standard_normal((pairs, dimension)) * np.sqrt(factor * variance)
        sides.append(GaussianEmbedding(truth + noise, variance))
    return sides


@pytest.mark.parametrize("factor", [0.01, 1.0, 250.0])
def test_variance_scale_recovers_the_factor_of_a_simulation(factor):
    # sum of 3000 x 22 squares: deviation about 0.7 %
    assert variance_scale(*simulated_pairs(factor)) == pytest.approx(factor, rel=0.03)


def test_variance_scale_matches_naive_loop_and_is_one_once_applied():
    queries, positives = simulated_pairs(7.0, pairs=20)
    distance = total = 0.0
    for q, p, vq, vp in zip(queries.mean, positives.mean, queries.variance, positives.variance, strict=True):
        distance += sum((a - b) ** 2 for a, b in zip(q, p, strict=True))
        total += sum(vq) + sum(vp)
    scale = variance_scale(queries, positives)
    assert scale == pytest.approx(distance / total, rel=1e-12)
    applied = [GaussianEmbedding(side.mean, scale * side.variance) for side in (queries, positives)]
    assert variance_scale(*applied) == pytest.approx(1.0, rel=1e-12)


def test_variance_scale_refuses_what_has_no_distance():
    queries, positives = simulated_pairs(1.0, pairs=20)
    with pytest.raises(InvalidInputError, match="one text twice"):
        variance_scale(queries, queries)
    with pytest.raises(InvalidInputError, match="held-out pairs"):
        variance_scale(queries[:0], positives[:0])
    with pytest.raises(InvalidInputError, match="held-out pairs"):
        variance_scale(queries, positives[:10])


def unit_pairs(pairs, noise=0.7, dimension=12, seed=0):
    random = np.random.default_rng(seed)
    queries = random.standard_normal((pairs, dimension))
    positives = queries + noise * random.standard_normal(queries.shape)
    return [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, positives)]


def naive_likelihood(queries, positives, groups, tau):
    values = []
    for group in groups:
        for i in group:
            odds = [np.exp(queries[i] @ positives[j] / tau) for j in group]
            values.append(np.log(np.exp(queries[i] @ positives[i] / tau) / sum(odds)))
    return np.array(values)


def test_pair_likelihood_matches_naive_loop_in_groups():
    queries, positives = unit_pairs(23)
    groups = [range(0, 8), range(8, 16), range(16, 23)]  # 23 // 7 = 3 groups of nearly equal size
    got = pair_likelihood(queries, positives, candidates=7)
    np.testing.assert_allclose(got.values, naive_likelihood(queries, positives, groups, got.tau), rtol=1e-9)
    assert got.mean == pytest.approx(got.values.mean(), rel=1e-12)


def test_pair_likelihood_takes_the_best_temperature():
    queries, positives = unit_pairs(40, noise=1.0)
    got = pair_likelihood(queries, positives)
    fine = [naive_likelihood(queries, positives, [range(40)], t).mean() for t in np.geomspace(0.05, 0.4, 60)]
    assert got.mean == pytest.approx(max(fine), abs=2e-3)  # nats; its grid has steps of 12 %
    assert 0.05 < got.tau < 0.4


def test_pair_likelihood_is_not_harmed_by_compressed_cosines():
    queries, positives = unit_pairs(64)
    squeezed = [np.hstack([0.4 * side, np.full((64, 1), np.sqrt(1 - 0.16))]) for side in (queries, positives)]
    assert pair_likelihood(*squeezed).mean == pytest.approx(
        pair_likelihood(queries, positives).mean, abs=2e-3
    )


def test_pair_likelihood_of_noise_is_that_of_guessing():
    queries, _ = unit_pairs(640, dimension=384)
    _, unrelated = unit_pairs(640, dimension=384, seed=1)
    assert pair_likelihood(queries, unrelated).mean == pytest.approx(-np.log(32), abs=0.05)


def test_reference_zero_is_mean_and_deviation_of_log_trace():
    variance = np.array([[1.0, 3.0], [0.5, 0.5], [8.0, 8.0]])
    zero, spread = reference_zero(GaussianEmbedding(np.ones((3, 2)), variance))
    logs = [np.log(4), np.log(1), np.log(16)]
    assert zero == pytest.approx(np.mean(logs))
    assert spread == pytest.approx(np.std(logs))


@settings(deadline=None, max_examples=30)
@given(st.floats(1e-4, 1e4))
def test_reference_zero_moves_by_the_log_of_a_scale_and_spread_stays(factor):
    reference, _ = simulated_pairs(1.0, pairs=20)
    zero, spread = reference_zero(reference)
    moved = reference_zero(GaussianEmbedding(reference.mean, factor * reference.variance))
    assert moved == pytest.approx((zero + np.log(factor), spread), abs=1e-9)


def test_choose_temperature_takes_the_highest_within_one_standard_error_of_the_best():
    best = np.full(100, -1.0)
    swing = np.where(np.arange(100) % 2, 1.0, -1.0)  # deviation 1: a standard error of 0.1
    values = {
        0.05: best - 0.3 + swing,
        0.2: best,
        1.0: best - 0.09 + swing,  # cannot be told from the best
        2.0: best - 0.11 + swing,  # can
        5.0: best - 0.5,
    }
    assert choose_temperature(values) == 1.0
    assert choose_temperature(dict(reversed(values.items()))) == 1.0
    assert choose_temperature({t: values[t] for t in (0.05, 0.2, 2.0, 5.0)}) == 0.2


def test_choose_temperature_compares_pair_by_pair():
    """What varies from pair to pair alike under both temperatures is no excuse for a constant loss."""
    common = np.linspace(-5, 0, 50)
    assert choose_temperature({0.1: common, 1.0: common - 0.01}) == 0.1


def test_choose_temperature_of_equals_is_the_highest():
    same = np.linspace(-2, -1, 10)
    assert choose_temperature({0.05: same, 5.0: same, 1.0: same}) == 5.0
