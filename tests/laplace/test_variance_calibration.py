"""Oracles: simulation with a known factor, and naive loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import GaussianEmbedding
from uec_retriever.laplace.variance_calibration import reference_zero, variance_scale


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
