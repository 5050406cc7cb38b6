"""Oracles: naive loops, numpy.kron, sampled weights, and the explicit Laplace evidence."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch.testing import assert_close

from uec_retriever.errors import InvalidInputError
from uec_retriever.laplace.curvature import Curvature
from uec_retriever.laplace.posterior import (
    STRUCTURES,
    DiagonalPosterior,
    KroneckerPosterior,
    prior_precision,
)

D, INPUTS = 3, 5
SINGLE = {"rtol": 1e-5, "atol": 0.0}  # posteriors are float32
SAMPLES, SAMPLING_ERROR = 200_000, 0.02  # deviation of a sample variance: sqrt(2 / 200000) = 0.3 %


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def diagonal(**changes):
    fields = {"count": 40, "prior_precision": 2.5, "tau": 0.05, "fisher": numbers(INPUTS, D).abs().float()}
    return DiagonalPosterior(**{**fields, **changes})


def factors():
    """A and B of unlike size, so that pi in the damping is far from one."""
    a, b = numbers(7, INPUTS, seed=1), numbers(7, D, seed=2)
    return 3 * a.T @ a / 7, b.T @ b / 70


def kronecker(**changes):
    a, b = factors()
    values, vectors = torch.linalg.eigh(a)
    fields = {
        "count": 40,
        "prior_precision": 2.5,
        "tau": 0.05,
        "feature_values": values.float(),
        "feature_vectors": vectors.float(),
        "output_factor": b.float(),
    }
    return KroneckerPosterior(**{**fields, **changes})


def token_kronecker(**changes):
    """As for a bag of tokens: A is diagonal, and token 0 was never seen."""
    fields = {"feature_values": torch.tensor([0.0, 0.5, 0.1, 2.0, 0.3]), "feature_vectors": None}
    return kronecker(**{**fields, **changes})


def damped_factors(posterior):
    """A~ and B~ by the pi rule of Martens and Grosse, from A and B themselves."""
    a, b = (factor.numpy() for factor in factors())
    if posterior.feature_vectors is None:
        a = np.diag(posterior.feature_values.double().numpy())
    pi = np.sqrt((np.trace(a) / len(a)) / (np.trace(b) / len(b)))
    root = np.sqrt(posterior.prior_precision / posterior.count)
    return a + pi * root * np.eye(len(a)), b + root / pi * np.eye(len(b))


def weight_covariance(posterior):
    """Cov(W), weights in the order (i, d)."""
    if isinstance(posterior, DiagonalPosterior):
        precision = posterior.count * posterior.fisher.double() + posterior.prior_precision
        return np.diag(1 / precision.numpy().ravel())
    return np.linalg.inv(posterior.count * np.kron(*damped_factors(posterior)))


def curvature(structure, sparse=False, features=None, seed=0):
    made = Curvature(structure, 0.3)
    gain = numbers(D, seed=5).abs()
    for k in range(3):
        parts = []
        for s in (2 * k, 2 * k + 1):
            g = numbers(8, INPUTS, seed=seed + s) if features is None else features
            if sparse:
                g = g.abs()
                g[:, 0] = 0
                g = g.to_sparse()
            parts.append((g, numbers(8, D, seed=50 + seed + s), gain))
        made.update_pairs(*parts)
    return made


POSTERIORS = {"diag": diagonal, "kron": kronecker, "tokens": token_kronecker}
every_posterior = pytest.mark.parametrize("make", POSTERIORS.values(), ids=POSTERIORS.keys())


def test_diagonal_variance_matches_naive_loop():
    posterior, g = diagonal(scale=1.7), numbers(4, INPUTS, seed=3).float()
    expected = torch.zeros(4, D)
    for n in range(4):
        for i in range(D):
            for j in range(INPUTS):
                precision = posterior.count * posterior.fisher[j, i] + posterior.prior_precision
                expected[n, i] += 1.7 * g[n, j] ** 2 / precision
    assert_close(posterior.output_variance(g), expected, **SINGLE)
    assert_close(posterior.output_variance(g.to_sparse()), expected, **SINGLE)


@every_posterior
def test_variance_matches_explicit_covariance_of_all_weights(make):
    posterior, g = make(), numbers(4, INPUTS, seed=3)
    covariance = weight_covariance(posterior)
    for row in g.numpy():
        lift = np.kron(row[:, None], np.eye(D))
        expected = np.diag(lift.T @ covariance @ lift)
        got = posterior.output_variance(torch.tensor(row[None]).float())[0]
        np.testing.assert_allclose(got.double().numpy(), expected, rtol=1e-4)


def test_sparse_kron_variance_equals_dense():
    posterior, g = token_kronecker(), numbers(4, INPUTS, seed=3).float()
    assert_close(posterior.output_variance(g.to_sparse()), posterior.output_variance(g), **SINGLE)
    rotated = replace(posterior, feature_vectors=torch.eye(INPUTS))
    assert_close(rotated.output_variance(g), posterior.output_variance(g), **SINGLE)


def test_damping_multiplies_to_lambda_over_n_and_follows_the_pi_rule():
    posterior = kronecker()
    features, outputs = posterior.damping
    assert features * outputs == pytest.approx(posterior.prior_precision / posterior.count, rel=1e-6)
    a, b = factors()
    pi_squared = (a.trace() / INPUTS) / (b.trace() / D)
    assert features / outputs == pytest.approx(float(pi_squared), rel=1e-5)


@every_posterior
def test_variance_matches_monte_carlo_over_sampled_weights(make):
    posterior, g, gain = make(), numbers(INPUTS, seed=3).numpy(), np.array([0.5, 1.0, 3.0])
    root = np.linalg.cholesky(weight_covariance(posterior))
    noise = np.random.default_rng(0).standard_normal((SAMPLES, INPUTS * D)) @ root.T
    trained = numbers(INPUTS, D, seed=8).numpy()
    weights = trained + noise.reshape(SAMPLES, INPUTS, D)
    z = gain * np.einsum("sid,i->sd", weights, g)
    expected = gain**2 * posterior.output_variance(torch.tensor(g[None]).float())[0].numpy()
    np.testing.assert_allclose(z.var(axis=0), expected, rtol=SAMPLING_ERROR)


def explicit_evidence(curvature_matrix, squared_norm):
    """Laplace log evidence in log lambda, up to a constant, from log determinants."""
    size = len(curvature_matrix)

    def evidence(log_precision):
        precision = np.exp(log_precision)
        posterior = curvature_matrix + precision * np.eye(size)
        return 0.5 * (size * log_precision - np.linalg.slogdet(posterior)[1] - precision * squared_norm)

    return evidence


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("structure", ["diag", "kron"])
@pytest.mark.parametrize("squared_norm", [0.1, 3.0, 200.0])
def test_prior_precision_maximises_the_explicit_evidence(structure, sparse, squared_norm):
    made = curvature(structure, sparse)
    posterior = STRUCTURES[structure].from_curvature(made, squared_norm)
    if structure == "diag":
        total = np.diag(made.fisher_sum.numpy().ravel())
    else:
        a = made.feature_sum.numpy()
        total = np.kron(np.diag(a) if sparse else a, made.output_sum.numpy()) / made.count
    evidence = explicit_evidence(total, squared_norm)
    grid = np.linspace(-12, 12, 481)
    start = grid[np.argmax([evidence(x) for x in grid])]
    best = minimize_scalar(lambda x: -evidence(x), bounds=(start - 0.1, start + 0.1), method="bounded").x
    assert np.log(posterior.prior_precision) == pytest.approx(best, abs=1e-3)
    assert posterior.count == made.count == 48 and posterior.tau == made.tau


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20),
    st.floats(1e-3, 1e3),
    st.floats(1e-2, 1e2),
)
def test_prior_precision_is_the_root_and_follows_units(eigenvalues, squared_norm, factor):
    eigenvalues = torch.tensor(eigenvalues, dtype=torch.float64)
    precision = prior_precision(eigenvalues, squared_norm)
    effective = float((eigenvalues / (eigenvalues + precision)).sum())
    assert effective == pytest.approx(precision * squared_norm, rel=1e-4)
    rescaled = prior_precision(eigenvalues / factor, squared_norm * factor)
    assert rescaled == pytest.approx(precision / factor, rel=1e-4)


@pytest.mark.parametrize("structure", ["diag", "kron"])
def test_prior_precision_ignores_tokens_without_curvature(structure):
    made = curvature(structure, sparse=True)
    extended = Curvature(structure, made.tau)
    extended.count = made.count
    if structure == "diag":
        extended.fisher_sum = torch.cat([made.fisher_sum, torch.zeros(50, D)])
    else:
        extended.feature_sum = torch.cat([made.feature_sum, torch.zeros(50)])
        extended.output_sum = made.output_sum
    cls = STRUCTURES[structure]
    assert cls.from_curvature(extended, 3.0).prior_precision == pytest.approx(
        cls.from_curvature(made, 3.0).prior_precision, rel=1e-6
    )


@pytest.mark.parametrize("structure", ["diag", "kron"])
def test_from_curvature_keeps_means_per_anchor(structure):
    made = curvature(structure)
    posterior = STRUCTURES[structure].from_curvature(made, 3.0)
    if structure == "diag":
        assert_close(posterior.fisher.double(), made.fisher_sum / made.count, **SINGLE)
        return
    vectors = posterior.feature_vectors.double()
    a = vectors @ torch.diag(posterior.feature_values.double()) @ vectors.T
    assert_close(a, made.feature_sum / made.count, rtol=1e-4, atol=1e-6)
    assert_close(posterior.output_factor.double(), made.output_sum / made.count, **SINGLE)


@every_posterior
def test_variance_is_linear_in_scale_and_quadratic_in_features(make):
    g = numbers(4, INPUTS, seed=3).float()
    variance = make().output_variance(g)
    assert_close(make(scale=7.0).output_variance(g), 7 * variance, **SINGLE)
    assert_close(replace(make(), scale=0.1).output_variance(g), 0.1 * variance, **SINGLE)
    assert_close(make().output_variance(3 * g), 9 * variance, **SINGLE)


@every_posterior
def test_more_calibration_texts_mean_less_variance(make):
    g = numbers(4, INPUTS, seed=3).float()
    variances = [make(count=n).output_variance(g) for n in (10, 100, 1000)]
    assert (variances[0] > variances[1]).all() and (variances[1] > variances[2]).all()


def test_mistake_07_unseen_token_has_the_largest_variance_not_zero():
    tokens = torch.eye(INPUTS).to_sparse()
    fisher = numbers(INPUTS, D).abs().float()
    fisher[0] = 0
    posterior = diagonal(fisher=fisher)
    variance = posterior.output_variance(tokens)
    assert_close(variance[0], torch.full((D,), 1 / posterior.prior_precision), **SINGLE)  # the prior's
    assert (variance[0] > variance[1:]).all()

    posterior = token_kronecker()
    variance = posterior.output_variance(tokens)
    expected = posterior.profile / posterior.damping[0]  # A~ of it is the damping alone
    assert_close(variance[0], expected, **SINGLE)
    assert (variance[0] > variance[1:]).all()
    flat = token_kronecker(output_factor=torch.eye(D) * 1e-12)  # no curvature: the prior again
    prior = torch.full((D,), 1 / flat.prior_precision)
    assert_close(flat.output_variance(tokens)[0], prior, rtol=1e-4, atol=0)


@pytest.mark.parametrize("structure", ["diag", "kron"])
@pytest.mark.parametrize("sparse", [False, True])
def test_degenerate_curvature_is_refused(structure, sparse):
    made = curvature(structure, sparse, features=torch.zeros(8, INPUTS, dtype=torch.float64))
    with pytest.raises(InvalidInputError, match="no curvature"):
        STRUCTURES[structure].from_curvature(made, 3.0)


@pytest.mark.parametrize("structure", ["diag", "kron"])
def test_missing_weights_or_pairs_are_refused(structure):
    with pytest.raises(InvalidInputError, match="no curvature"):
        STRUCTURES[structure].from_curvature(curvature(structure), 0.0)
    with pytest.raises(InvalidInputError, match="no calibration pairs"):
        STRUCTURES[structure].from_curvature(Curvature(structure, 0.05), 3.0)


def test_rounding_errors_are_no_curvature():
    with pytest.raises(InvalidInputError, match="no curvature"):
        curvature = Curvature("kron", 0.05)
        same = (torch.ones(8, 4), torch.ones(8, 3), torch.ones(3))
        curvature.update_pairs(same, same)
        KroneckerPosterior.from_curvature(curvature, 10.0)


def test_directions_that_damping_drowns_are_left_out_without_changing_variances():
    generator = torch.Generator().manual_seed(3)
    curvature = Curvature("kron", 0.05)
    sides = [
        (torch.randn(6, 40, generator=generator), torch.randn(6, 5, generator=generator), torch.ones(5))
        for _ in range(2)
    ]
    curvature.update_pairs(*sides)
    posterior = KroneckerPosterior.from_curvature(curvature, 10.0)
    assert posterior.feature_vectors.shape == (40, 12)  # as many as there were texts
    whole = torch.linalg.inv((curvature.feature_sum / 12).double() + posterior.damping[0] * torch.eye(40))
    features = torch.randn(9, 40, generator=generator)
    naive = ((features.double() @ whole) * features).sum(1)
    torch.testing.assert_close(posterior.feature_uncertainty(features).double(), naive, rtol=1e-4, atol=0)
