"""Oracle: least-squares projection onto the basis, and numbers of its error."""

import numpy as np
import pytest

from uec_retriever.errors import NumericalError
from uec_retriever.gaussian import GaussianEmbedding
from uec_retriever.laplace.basis import MAXIMUM_RANK, TOLERANCE, variance_basis

TEXTS, D = 200, 24


def sample(variance, seed=0):
    mean = np.random.default_rng(seed).standard_normal((len(variance), variance.shape[1]))
    return GaussianEmbedding(mean / np.linalg.norm(mean, axis=1, keepdims=True), variance)


def mixture(rank, seed=0, texts=TEXTS, noise=0.0):
    """Variances that are mixtures of `rank` profiles, of texts of very different total variance."""
    profiles = np.random.default_rng(99).uniform(0.1, 1, (rank, D)) ** 3
    random = np.random.default_rng(seed)
    variance = random.uniform(0, 1, (texts, rank)) @ profiles * np.exp(random.normal(0, 2, (texts, 1)))
    return variance * np.exp(noise * random.standard_normal((texts, D)))


def score_errors(basis, texts, means):
    """Relative error of mu^2 . Sigma when Sigma is told in the basis by least squares."""
    told = texts.variance @ np.linalg.pinv(basis.astype(np.float64)) @ basis
    exact = (texts.variance * means**2).sum(axis=1)
    return np.abs((told * means**2).sum(axis=1) - exact) / exact


def test_kron_like_variances_need_exactly_rank_one():
    texts = sample(mixture(1))
    basis, _ = variance_basis(texts, tolerance=1e-6)
    assert basis.shape == (1, D) and basis.dtype == np.float32
    profile = texts.variance[0] / texts.variance[0].mean()
    np.testing.assert_allclose(basis[0], profile, rtol=1e-5)


@pytest.mark.parametrize("rank", [2, 5])
def test_mixtures_are_told_exactly_by_as_many_rows_as_profiles(rank):
    texts = sample(mixture(rank))
    basis, _ = variance_basis(texts, tolerance=1e-6)
    assert len(basis) == rank
    assert score_errors(basis, texts, np.roll(texts.mean, 1, axis=0)).max() < 1e-5


@pytest.mark.parametrize("tolerance", [0.05, TOLERANCE])
def test_stated_tolerance_is_reached_with_the_fewest_rows(tolerance):
    texts = sample(mixture(6, noise=0.02))
    means = np.roll(texts.mean, 1, axis=0)
    basis, reached = variance_basis(texts, tolerance=tolerance)
    assert reached <= tolerance
    assert 1 < len(basis) < MAXIMUM_RANK
    assert np.quantile(score_errors(basis, texts, means), 0.99) <= tolerance * 1.001
    fewer, stated = variance_basis(texts, tolerance=0, maximum_rank=len(basis) - 1)
    assert stated == pytest.approx(np.quantile(score_errors(fewer, texts, means), 0.99), rel=1e-3)
    assert np.quantile(score_errors(fewer, texts, means), 0.99) > tolerance


def test_stated_tolerance_holds_on_fresh_texts():
    basis, _ = variance_basis(sample(mixture(6, noise=0.02)))
    fresh = sample(mixture(6, seed=5, noise=0.02), seed=5)
    queries = sample(mixture(6, seed=6), seed=6).mean
    assert np.quantile(score_errors(basis, fresh, queries), 0.95) <= 2 * TOLERANCE


def test_rank_never_exceeds_maximum_or_sample():
    wild = np.random.default_rng(0).exponential(1, (TEXTS, D)) ** 3
    assert len(variance_basis(sample(wild), tolerance=0)[0]) == MAXIMUM_RANK
    assert len(variance_basis(sample(wild), tolerance=0, maximum_rank=3)[0]) == 3
    assert len(variance_basis(sample(wild[:2]), tolerance=0)[0]) == 2


def test_a_missed_tolerance_is_told():
    wild = sample(np.random.default_rng(0).exponential(1, (TEXTS, D)) ** 3)
    basis, error = variance_basis(wild)
    assert len(basis) == MAXIMUM_RANK
    oracle = np.quantile(score_errors(basis, wild, np.roll(wild.mean, 1, axis=0)), 0.99)
    assert error == pytest.approx(oracle, rel=1e-3)
    assert error > TOLERANCE


def test_a_text_without_variance_is_named():
    variance = mixture(2)
    variance[7] = 0
    with pytest.raises(NumericalError, match="text 7"):
        variance_basis(sample(variance))


def test_rows_have_mean_one_in_absolute_value_and_the_first_is_positive():
    basis, _ = variance_basis(sample(mixture(4)), tolerance=1e-6)
    np.testing.assert_allclose(np.abs(basis).mean(axis=1), 1, rtol=1e-5)
    assert (basis[0] > 0).all()


def test_unit_of_the_variances_does_not_matter():
    texts = sample(mixture(3))
    tiny = GaussianEmbedding(texts.mean, (1e-7 * texts.variance).astype(np.float32))
    np.testing.assert_allclose(variance_basis(tiny)[0], variance_basis(texts)[0], rtol=1e-3, atol=1e-4)
