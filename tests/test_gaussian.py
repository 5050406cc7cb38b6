"""Oracles: formulas by hand, sampled vectors."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uec_retriever.errors import InvalidInputError, NumericalError
from uec_retriever.gaussian import FactoredVariance, GaussianEmbedding, normalise


def batch(n=4, dimension=6, seed=0):
    random = np.random.default_rng(seed)
    return 3 * random.standard_normal((n, dimension)), random.uniform(0.01, 0.1, (n, dimension))


def test_trace_matches_naive_sum_of_variances():
    gaussian = GaussianEmbedding(*batch())
    np.testing.assert_allclose(gaussian.trace, [sum(row) for row in gaussian.variance])
    assert gaussian.dimension == 6 and len(gaussian) == 4


@pytest.mark.parametrize("rows", [slice(1, 3), [2, 0], np.array([3])])
def test_indexing_and_concatenation_keep_rows_together(rows):
    mean, variance = batch()
    part = GaussianEmbedding(mean, variance)[rows]
    np.testing.assert_array_equal(part.mean, mean[rows])
    np.testing.assert_array_equal(part.variance, variance[rows])
    joined = GaussianEmbedding.concatenate([part, GaussianEmbedding(mean, variance)])
    np.testing.assert_array_equal(joined.mean, np.concatenate([mean[rows], mean]))
    np.testing.assert_array_equal(joined.variance, np.concatenate([variance[rows], variance]))


@pytest.mark.parametrize("shapes", [((3, 4), (3, 5)), ((3, 4), (2, 4)), ((4,), (4,)), ((1, 3, 4), (1, 3, 4))])
def test_shapes_that_are_not_n_by_d_are_refused(shapes):
    with pytest.raises(InvalidInputError):
        GaussianEmbedding(np.zeros(shapes[0]), np.zeros(shapes[1]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_values_that_are_not_finite_are_refused(bad, where):
    arrays = batch()
    arrays[where][1, 2] = bad
    with pytest.raises(NumericalError, match="finite"):
        GaussianEmbedding(*arrays)


def test_negative_variance_is_refused_and_zero_accepted():
    mean, variance = batch()
    variance[1, 2] = 0
    GaussianEmbedding(mean, variance)
    variance[1, 2] = -1e-9
    with pytest.raises(NumericalError, match="negative"):
        GaussianEmbedding(mean, variance)


def test_batch_cannot_be_reassigned():
    with pytest.raises(AttributeError):
        GaussianEmbedding(*batch()).mean = np.zeros((1, 1))


def test_normalise_matches_formula_row_by_row():
    mean, variance = batch()
    gaussian = normalise(mean, variance)
    for n in range(len(mean)):
        length = np.sqrt(sum(x * x for x in mean[n]))
        np.testing.assert_allclose(gaussian.mean[n], mean[n] / length)
        np.testing.assert_allclose(gaussian.variance[n], variance[n] / length**2)


def test_normalised_trace_matches_monte_carlo():
    """In D = 100 dimensions the projection that is left out takes 1 / D of the trace; sampling 1 %."""
    random = np.random.default_rng(0)
    mean, variance = random.standard_normal((1, 100)), np.full((1, 100), 1e-4)
    samples = mean + np.sqrt(variance) * random.standard_normal((20_000, 100))
    units = samples / np.linalg.norm(samples, axis=1, keepdims=True)
    assert normalise(mean, variance).trace[0] == pytest.approx(units.var(axis=0).sum(), rel=0.02)


def test_mistake_04_ten_times_the_variance_gives_ten_times_the_result():
    mean, variance = batch()
    small, large = normalise(mean, variance), normalise(mean, 10 * variance)
    np.testing.assert_allclose(large.variance, 10 * small.variance)
    np.testing.assert_array_equal(large.mean, small.mean)


@settings(deadline=None, max_examples=50)
@given(st.floats(1e-3, 1e3), st.integers(0, 10))
def test_normalise_gives_unit_length_and_ignores_the_unit_of_z(factor, seed):
    mean, variance = batch(seed=seed)
    gaussian = normalise(factor * mean, factor**2 * variance)
    np.testing.assert_allclose(np.linalg.norm(gaussian.mean, axis=1), 1)
    np.testing.assert_allclose(gaussian.mean, normalise(mean, variance).mean)
    np.testing.assert_allclose(gaussian.variance, normalise(mean, variance).variance)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_text_without_direction_is_named(bad):
    mean, variance = batch()
    mean[2] = bad
    with pytest.raises(NumericalError, match="text 2"):
        normalise(mean, variance)


def factors(n=4, rank=3, dimension=6, seed=0):
    random = np.random.default_rng(seed)
    return FactoredVariance(random.uniform(0, 1, (n, rank)), random.uniform(0, 1, (rank, dimension)))


def both(n=4, seed=0):
    """The same Gaussians, their variances factored and written out by a loop."""
    mean, kept = batch(n, seed=seed)[0], factors(n)
    written = [[sum(c[r] * kept.basis[r, d] for r in range(3)) for d in range(6)] for c in kept.coefficients]
    return GaussianEmbedding(mean, kept), GaussianEmbedding(mean, np.array(written))


def assert_same(one, other):
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-12)


def test_factored_variance_is_the_written_out_one():
    kept, written = both()
    weights = np.random.default_rng(3).uniform(0, 1, (2, 6))
    np.testing.assert_allclose(kept.trace, written.trace)
    np.testing.assert_allclose(kept.weighted_variance(weights), written.weighted_variance(weights))
    np.testing.assert_allclose(written.weighted_variance(weights), weights @ written.variance.T)
    normal = normalise(kept.mean, kept.spread)
    assert "variance" not in vars(kept) and isinstance(normal.spread, FactoredVariance)
    assert_same(normal, normalise(written.mean, written.spread))
    assert_same(kept, written)
    assert kept.variance is kept.variance


@pytest.mark.parametrize("rows", [slice(1, 3), [2, 0], np.array([3])])
def test_rows_joins_and_multiples_keep_the_factors(rows):
    kept, written = both()
    for change in (lambda g: g[rows], lambda g: g.scale_variance(2.5)):
        assert isinstance(change(kept).spread, FactoredVariance)
        assert_same(change(kept), change(written))
    joined = GaussianEmbedding.concatenate([kept[rows], kept])
    assert joined.spread.coefficients.shape[1] == 3
    assert_same(joined, GaussianEmbedding.concatenate([written[rows], written]))


def test_average_is_that_of_independent_vectors():
    """Var of a mean of n independent ones: their sum over n^2."""
    kept, written = both()
    for average in (kept.average(), written.average()):
        np.testing.assert_allclose(average.mean[0], sum(written.mean) / 4)
        np.testing.assert_allclose(average.variance[0], sum(written.variance) / 16)
    assert isinstance(kept.average().spread, FactoredVariance)
    assert_same(kept[:1].average(), kept[:1])


def test_batches_of_different_profiles_are_joined_written_out():
    kept, written = both()
    other = GaussianEmbedding(kept.mean, factors(seed=5))
    for batches in ([kept, other], [kept, written], [written, kept]):
        joined = GaussianEmbedding.concatenate(batches)
        np.testing.assert_allclose(joined.variance, np.concatenate([b.variance for b in batches]))


@pytest.mark.parametrize("part", ["coefficients", "basis"])
@pytest.mark.parametrize(("bad", "message"), [(np.nan, "finite"), (np.inf, "finite"), (-1e-9, "negative")])
def test_factors_are_checked_as_variances_are(part, bad, message):
    kept = factors()
    getattr(kept, part)[1, 2] = bad
    with pytest.raises(NumericalError, match=message):
        GaussianEmbedding(batch()[0], kept)
    with pytest.raises(InvalidInputError):
        GaussianEmbedding(batch(5)[0], factors(4))


def test_arguments_have_the_names_of_the_mathematics():
    both = GaussianEmbedding(mean=np.ones((1, 2)), variance=np.ones((1, 2)))
    assert both.variance.tolist() == [[1, 1]]
    with pytest.raises(FrozenInstanceError):
        both.mean = np.zeros((1, 2))


def test_bounded_variances_have_a_trace_of_at_most_one_and_keep_their_shape():
    mean = np.eye(3)
    variance = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.0], [300.0, 100.0, 0.0]])
    got = GaussianEmbedding(mean, variance).bounded()
    np.testing.assert_allclose(got.variance, [[0.1, 0.2, 0.3], [0.5, 0.5, 0.0], [0.75, 0.25, 0.0]])
    np.testing.assert_array_equal(got.mean, mean)
    small = GaussianEmbedding(mean, variance / 1000)
    assert small.bounded() is small


def test_bounded_factors_are_those_of_the_written_out_variance():
    kept = GaussianEmbedding(np.ones((4, 6)), factors())
    dense = GaussianEmbedding(np.ones((4, 6)), kept.variance)
    assert (kept.trace > 1).any()
    np.testing.assert_allclose(kept.bounded().variance, dense.bounded().variance)
    assert isinstance(kept.bounded().spread, FactoredVariance)
