"""Oracles: naive formulas, scipy's minimiser of the regularised objective, sampled vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import rel_entr

from uec_retriever.convolution import coefficients, convolve_block, convolve_sum
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import FactoredVariance, GaussianEmbedding, normalise
from uec_retriever.similarity import moments

TRACES = np.array([[0.2, 0.5, 0.9], [1.1, 0.3, 0.31], [2.0, 2.0, 0.1], [0.4, 0.4, 0.4]])
ZERO = np.array([-0.5, 0.2, 0.4])
PRIOR = np.array([3.0, 1.0, 2.0])


def experts(dimensions=(4, 4, 4), texts=5, seed=0):
    random = np.random.default_rng(seed)
    return [
        normalise(random.standard_normal((texts, d)), random.uniform(0.01, 0.3, (texts, d)))
        for d in dimensions
    ]


def shares(texts=5, count=3, seed=1):
    return np.random.default_rng(seed).dirichlet(np.ones(count), texts)


@pytest.mark.parametrize("uncertainty", ["log", "raw"])
@pytest.mark.parametrize("zero", [None, ZERO])
@pytest.mark.parametrize("prior", [None, PRIOR])
@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_coefficients_match_naive_formula(uncertainty, zero, prior, temperature):
    got = coefficients(TRACES, temperature, zero=zero, prior=prior, uncertainty=uncertainty)
    for n, row in enumerate(TRACES):
        odds = []
        for k, trace in enumerate(row):
            u = (np.log(trace) if uncertainty == "log" else trace) - (0 if zero is None else zero[k])
            odds.append((1 if prior is None else prior[k]) * np.exp(-u / temperature))
        np.testing.assert_allclose(got[n], np.array(odds) / sum(odds), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Values in x were outside bounds")  # SLSQP of SciPy 1.11
@pytest.mark.parametrize("prior", [None, PRIOR])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_coefficients_minimise_the_entropy_regularised_objective(prior, temperature):
    pi0 = np.ones(3) / 3 if prior is None else prior / prior.sum()
    got = coefficients(TRACES, temperature, zero=ZERO, prior=prior)
    for row, pi in zip(TRACES, got, strict=True):
        u = np.log(row) - ZERO

        def objective(p, u=u):
            return p @ u + temperature * rel_entr(p, pi0).sum()

        simplex = {"type": "eq", "fun": lambda p: p.sum() - 1}
        best = minimize(
            objective,
            pi0,
            bounds=[(1e-9, 1)] * 3,
            constraints=simplex,
            method="SLSQP",
            options={"ftol": 1e-13},
        )
        np.testing.assert_allclose(pi, best.x, atol=1e-4)
        assert objective(pi) <= best.fun + 1e-10


def test_infinite_temperature_gives_the_prior():
    np.testing.assert_allclose(coefficients(TRACES, np.inf), np.full((4, 3), 1 / 3))
    np.testing.assert_allclose(coefficients(TRACES, np.inf, prior=PRIOR), np.tile(PRIOR / 6, (4, 1)))


def test_zero_temperature_picks_the_surest_after_the_zero():
    np.testing.assert_array_equal(coefficients(TRACES[:3], 0), np.eye(3)[[0, 1, 2]])
    surest = np.argmin(np.log(TRACES) - ZERO, axis=1)
    np.testing.assert_array_equal(coefficients(TRACES, 0, zero=ZERO, prior=PRIOR), np.eye(3)[surest])
    np.testing.assert_allclose(coefficients(TRACES[:3], 1e-3), np.eye(3), atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.floats(1e-8, 1e8), min_size=1, max_size=6),
    st.floats(0.01, 100),
    st.floats(1e-6, 1e6),
)
def test_coefficients_sum_to_one_order_by_trace_and_ignore_its_unit(traces, temperature, unit):
    traces = np.array([traces])
    pi = coefficients(traces, temperature)[0]
    assert pi.sum() == pytest.approx(1) and (pi >= 0).all()
    assert (np.diff(pi[np.argsort(traces[0])]) <= 1e-12).all()
    np.testing.assert_allclose(coefficients(unit * traces, temperature)[0], pi, rtol=1e-6, atol=1e-12)


def test_single_expert_has_all_trust():
    for temperature in (0, 0.1, np.inf):
        np.testing.assert_array_equal(coefficients(TRACES[:, :1], temperature), np.ones((4, 1)))


def test_mistake_08_each_item_has_its_own_coefficients_and_they_sum_to_one():
    together = coefficients(TRACES, 0.2)
    for n in range(len(TRACES)):
        np.testing.assert_allclose(together[n], coefficients(TRACES[n : n + 1], 0.2)[0], rtol=1e-12)
    np.testing.assert_array_equal(together[:3].argmax(axis=1), [0, 1, 2])
    np.testing.assert_allclose(together.sum(axis=1), 1)


@pytest.mark.parametrize("convolve", [convolve_block, convolve_sum])
def test_mistake_08_convolution_applies_each_items_own_coefficients(convolve):
    parts, pi = experts(), shares()
    together = convolve(parts, pi)
    for n in range(5):
        alone = convolve([e[[n]] for e in parts], pi[[n]])
        np.testing.assert_allclose(together.mean[n], alone.mean[0], rtol=1e-12)
        np.testing.assert_allclose(together.variance[n], alone.variance[0], rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_mistake_09_one_percent_difference_does_not_saturate(temperature):
    traces = np.array([[1.00, 1.01, 1.01]])
    for unit in (1e-6, 1.0, 1e6):
        pi = coefficients(unit * traces, temperature)[0]
        np.testing.assert_allclose(pi, 1 / 3, atol=0.01 / temperature / 3)
        assert pi[0] > pi[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"traces": TRACES[0]},
        {"traces": 0 * TRACES},
        {"traces": np.full((2, 3), np.nan)},
        {"temperature": -0.1},
        {"temperature": np.nan},
        {"prior": PRIOR[:2]},
        {"prior": np.array([1.0, 0.0, 1.0])},
    ],
)
def test_parameters_out_of_range_are_refused(changes):
    fields = {"traces": TRACES, "temperature": 0.2, **changes}
    with pytest.raises(InvalidInputError):
        coefficients(fields.pop("traces"), fields.pop("temperature"), **fields)


def test_block_dot_product_is_the_weighted_sum_of_cosines():
    dimensions = (4, 7, 2)
    queries, documents, pi = experts(dimensions, 5), experts(dimensions, 6, seed=3), shares()
    got, _ = moments(convolve_block(queries, pi), convolve_block(documents))
    for q in range(5):
        for c in range(6):
            cosines = [e.mean[q] @ f.mean[c] for e, f in zip(queries, documents, strict=True)]
            assert got[q, c] == pytest.approx(sum(pi[q] * cosines), rel=1e-10)


def test_block_layout_scales_means_by_pi_and_variances_by_its_square():
    parts, pi = experts((4, 7), 5), shares(count=2)
    block = convolve_block(parts, pi)
    assert block.mean.shape == block.variance.shape == (5, 11)
    for n in range(5):
        np.testing.assert_allclose(block.mean[n, :4], pi[n, 0] * parts[0].mean[n])
        np.testing.assert_allclose(block.mean[n, 4:], pi[n, 1] * parts[1].mean[n])
        np.testing.assert_allclose(block.variance[n, :4], pi[n, 0] ** 2 * parts[0].variance[n])
        np.testing.assert_allclose(block.variance[n, 4:], pi[n, 1] ** 2 * parts[1].variance[n])


def test_sum_layout_matches_monte_carlo_up_to_its_own_length():
    """400 000 samples: a variance deviates by 0.2 %, a mean by 0.05 of 30 deviations; tolerance 1.5 %."""
    parts, pi = experts(texts=1), shares(texts=1)
    random = np.random.default_rng(0)
    total = np.zeros((400_000, 4))
    for k, e in enumerate(parts):
        total += pi[0, k] * (e.mean + np.sqrt(e.variance) * random.standard_normal(total.shape))
    length = np.linalg.norm(sum(pi[0, k] * e.mean[0] for k, e in enumerate(parts)))
    fused = convolve_sum(parts, pi)
    np.testing.assert_allclose(fused.variance[0] * length**2, total.var(axis=0), rtol=0.015)
    np.testing.assert_allclose(fused.mean[0] * length, total.mean(axis=0), atol=0.003)
    assert np.linalg.norm(fused.mean[0]) == pytest.approx(1)


def test_single_expert_passes_through_both_layouts():
    parts = experts((4,))
    for fused in (
        convolve_block(parts),
        convolve_block(parts, np.ones((5, 1))),
        convolve_sum(parts, np.ones((5, 1))),
    ):
        np.testing.assert_allclose(fused.mean, parts[0].mean, rtol=1e-12)
        np.testing.assert_allclose(fused.variance, parts[0].variance, rtol=1e-12)


def test_dtype_of_the_experts_is_kept():
    parts = [GaussianEmbedding(e.mean.astype("f4"), e.variance.astype("f4")) for e in experts()]
    for fused in (convolve_block(parts), convolve_block(parts, shares()), convolve_sum(parts, shares())):
        assert fused.mean.dtype == fused.variance.dtype == np.float32


def test_sum_layout_refuses_unequal_dimensions_and_names_the_fix():
    with pytest.raises(InvalidInputError, match=r"\[4, 7\]: use layout='block'"):
        convolve_sum(experts((4, 7)), shares(count=2))


@pytest.mark.parametrize("convolve", [convolve_block, convolve_sum])
def test_experts_and_weights_that_do_not_fit_are_refused(convolve):
    with pytest.raises(InvalidInputError, match="at least one"):
        convolve([], shares())
    with pytest.raises(InvalidInputError, match="number of texts"):
        convolve([*experts()[:2], *experts((4,), texts=4)], shares())
    with pytest.raises(InvalidInputError, match="weights must be"):
        convolve(experts(), shares(count=2))


@pytest.mark.parametrize(
    "options",
    [{"zero": [0.0]}, {"zero": [0.0, np.nan]}, {"prior": [1.0, np.inf]}, {"uncertainty": "logarithm"}],
)
def test_bad_zeros_priors_and_uncertainties_are_refused(options):
    with pytest.raises(InvalidInputError):
        coefficients(np.ones((1, 2)), 1.0, **options)


def test_tiny_temperatures_pick_the_surest_without_overflow():
    assert coefficients(np.array([[2.0, 1.0]]), 5e-324).tolist() == [[0.0, 1.0]]


def factored_experts(dimensions, texts=5):
    """Experts whose variances are mixtures of 1, 2, ... profiles, and the same with variances written out."""
    random = np.random.default_rng(0)
    kept = []
    for rank, d in enumerate(dimensions, start=1):
        factors = FactoredVariance(random.uniform(0.1, 1, (texts, rank)), random.uniform(0.1, 1, (rank, d)))
        kept.append(normalise(random.standard_normal((texts, d)), factors))
    return kept, [GaussianEmbedding(e.mean, e.variance.copy()) for e in kept]


@pytest.mark.parametrize("weights", [None, shares()])
def test_blocks_of_factored_variances_stay_factored(weights):
    kept, written = factored_experts((3, 4, 6))
    got, expected = convolve_block(kept, weights), convolve_block(written, weights)
    assert got.spread.basis.shape == (6, 13)
    np.testing.assert_allclose(got.variance, expected.variance, rtol=1e-6)
    np.testing.assert_allclose(got.trace, expected.trace, rtol=1e-6)
    mixed = convolve_block([kept[0], *written[1:]], weights)
    np.testing.assert_allclose(mixed.variance, expected.variance, rtol=1e-6)


def test_sum_of_factored_variances_stays_factored():
    kept, written = factored_experts((4, 4, 4))
    got, expected = convolve_sum(kept, shares()), convolve_sum(written, shares())
    assert got.spread.basis.shape == (6, 4)
    np.testing.assert_allclose(got.variance, expected.variance, rtol=1e-6)
    for one, other in zip(moments(got, got), moments(expected, expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    mixed = convolve_sum([*written[:2], kept[2]], shares())
    np.testing.assert_allclose(mixed.variance, expected.variance, rtol=1e-6)
