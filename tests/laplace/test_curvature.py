"""Oracles: naive loops, and torch's automatic differentiation. All in float64; tolerances relative."""

import pytest
import torch
from torch.autograd.functional import hessian, jacobian
from torch.nn.functional import cross_entropy, normalize
from torch.testing import assert_close

from uec_retriever.errors import InvalidInputError
from uec_retriever.laplace.curvature import (
    Curvature,
    hessian_diagonal,
    hessian_sum,
    softmax_over_candidates,
)

N, D, INPUTS = 5, 4, 6
EXACT = {"rtol": 1e-10, "atol": 1e-12}
TAUS = (0.05, 0.3, 1.0)


def gaussian_numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape, seed=0):
    return normalize(gaussian_numbers(*shape, seed=seed), dim=1)


def naive_hessian(z, candidates, tau):
    """J (Y^T diag(p) Y - Y^T p p^T Y) J / tau^2 of one anchor, as the design has it."""
    norm = z.norm()
    mu = z / norm
    p = torch.softmax(candidates @ mu / tau, dim=0)
    projection = (torch.eye(len(z), dtype=z.dtype) - torch.outer(mu, mu)) / norm
    mean = candidates.T @ p
    inner = candidates.T @ torch.diag(p) @ candidates - torch.outer(mean, mean)
    return projection @ inner @ projection / tau**2


def autograd_hessian(z, candidates, tau):
    """J^T Lambda J: J of the logits in z, and Lambda of cross-entropy in the logits, by autograd."""

    def logits(x):
        return candidates @ normalize(x, dim=0) / tau

    target = torch.tensor(0)  # which one is right does not matter to Lambda
    j = jacobian(logits, z)
    return j.T @ hessian(lambda values: cross_entropy(values, target), logits(z)) @ j


def layer(inputs=INPUTS, seed=9):
    linear = torch.nn.Linear(inputs, D, bias=False, dtype=torch.float64)
    linear.weight.data = gaussian_numbers(D, inputs, seed=seed)
    return linear


def side(linear, seed, gain, features=None):
    """Features, embeddings and gain of texts whose embedding is residual + gain * W g."""
    g = gaussian_numbers(N, linear.in_features, seed=seed) if features is None else features
    residual = gaussian_numbers(N, D, seed=seed + 100)
    z = residual + gain * linear(g.to_dense()).detach()
    return g, z, gain


def per_sample_ggn(linear, anchors, others, tau):
    """Diagonal GGN of W, `[I, D]`: one Jacobian of the logits in W per anchor, candidates detached."""
    features, z, gain = anchors
    features, candidates = features.to_dense(), normalize(others[1], dim=1)
    total = torch.zeros_like(linear.weight)
    for n in range(len(z)):
        scale = gain[n] if gain.ndim == 2 else gain
        rest = z[n] - scale * linear(features[n]).detach()

        def logits(weight, n=n, scale=scale, rest=rest):
            output = torch.func.functional_call(linear, {"weight": weight}, (features[n],))
            return candidates @ normalize(rest + scale * output, dim=0) / tau

        j = jacobian(logits, linear.weight.detach())
        p = torch.softmax(logits(linear.weight.detach()), dim=0)
        total += torch.einsum("mdi,mk,kdi->di", j, torch.diag(p) - torch.outer(p, p), j)
    return total.T.detach()


def sparse_features(seed, inputs=INPUTS):
    dense = gaussian_numbers(N, inputs, seed=seed).abs()
    dense[dense < 0.8] = 0
    dense[:, -1] = 0  # a token no calibration text has
    return dense.to_sparse().coalesce()


def gains(kind):
    if kind == "constant":
        return gaussian_numbers(D, seed=20).abs(), gaussian_numbers(D, seed=20).abs()
    return gaussian_numbers(N, D, seed=21).abs(), gaussian_numbers(N, D, seed=22).abs()


def batch(gain_kind="constant", sparse=False, seed=1, linear=None):
    linear = linear or layer()
    gain_q, gain_p = gains(gain_kind)
    return (
        side(linear, seed, gain_q, sparse_features(seed) if sparse else None),
        side(linear, seed + 1, gain_p, sparse_features(seed + 1) if sparse else None),
    )


def accumulate(structure, *batches, tau=0.3):
    curvature = Curvature(structure, tau)
    for queries, positives in batches:
        curvature.update_pairs(queries, positives)
    return curvature


def test_softmax_over_candidates_matches_cosines_by_hand():
    z = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    candidates = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    odds = torch.exp(torch.tensor([1 / 0.5, 0.0], dtype=torch.float64))
    assert_close(softmax_over_candidates(z, candidates, 0.5)[0], odds / odds.sum(), **EXACT)


@pytest.mark.parametrize("oracle", [naive_hessian, autograd_hessian])
@pytest.mark.parametrize("tau", TAUS)
def test_hessian_diagonal_and_sum_match_naive_loop_and_autograd_hessian(oracle, tau):
    z, candidates = 3 * gaussian_numbers(N, D), unit(7, D, seed=1)
    each = torch.stack([oracle(row, candidates, tau) for row in z])
    assert_close(hessian_diagonal(z, candidates, tau), each.diagonal(dim1=1, dim2=2), **EXACT)
    assert_close(hessian_sum(z, candidates, tau), each.sum(0), **EXACT)


def test_hessian_is_positive_semidefinite_and_ignores_the_anchors_own_direction():
    z, candidates = gaussian_numbers(1, D), unit(7, D, seed=1)
    h = hessian_sum(z, candidates, 0.1)
    assert torch.linalg.eigvalsh(h).min() > -1e-10 * h.norm()
    assert (h @ z[0]).norm() < 1e-10 * h.norm()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("gain_kind", ["constant", "per text"])
@pytest.mark.parametrize("tau", TAUS)
def test_diagonal_ggn_matches_per_sample_autograd(gain_kind, sparse, tau):
    linear = layer()
    queries, positives = batch(gain_kind, sparse, linear=linear)
    expected = per_sample_ggn(linear, queries, positives, tau)
    expected += per_sample_ggn(linear, positives, queries, tau)
    curvature = accumulate("diag", (queries, positives), tau=tau)
    assert_close(curvature.fisher_sum, expected, **EXACT)
    assert curvature.count == 2 * N


@pytest.mark.parametrize("gain_kind", ["constant", "per text"])
def test_kron_factors_match_naive_sums(gain_kind):
    queries, positives = batch(gain_kind)
    feature_sum = torch.zeros(INPUTS, INPUTS, dtype=torch.float64)
    output_sum = torch.zeros(D, D, dtype=torch.float64)
    for (g, z, gain), others in ((queries, positives), (positives, queries)):
        candidates = normalize(others[1], dim=1)
        for n in range(N):
            scale = torch.diag(gain[n] if gain.ndim == 2 else gain)
            feature_sum += torch.outer(g[n], g[n])
            output_sum += scale @ naive_hessian(z[n], candidates, 0.3) @ scale
    curvature = accumulate("kron", (queries, positives))
    assert_close(curvature.feature_sum, feature_sum, **EXACT)
    assert_close(curvature.output_sum, output_sum, **EXACT)
    assert curvature.count == 2 * N


def test_kron_of_one_anchor_matches_the_full_ggn_by_autograd():
    """For a single anchor the Kronecker form g g^T (x) gamma H gamma is the whole GGN, no approximation."""
    linear, gain = layer(), gaussian_numbers(D, seed=20).abs()
    g, candidates = gaussian_numbers(INPUTS, seed=3), unit(7, D, seed=4)
    tau = 0.3

    def logits(weight):
        return candidates @ normalize(gain * (weight @ g), dim=0) / tau

    weight = linear.weight.detach()
    j = jacobian(logits, weight).transpose(1, 2).flatten(1)  # weights in the order (i, d)
    p = torch.softmax(logits(weight), dim=0)
    full = j.T @ (torch.diag(p) - torch.outer(p, p)) @ j
    output = gain[:, None] * hessian_sum((gain * (weight @ g))[None], candidates, tau) * gain
    assert_close(torch.kron(torch.outer(g, g), output), full, **EXACT)


@pytest.mark.parametrize("structure", ["diag", "kron"])
@pytest.mark.parametrize("sparse", [False, True])
def test_streaming_over_batches_equals_sum_of_single_updates(structure, sparse):
    batches = [batch("per text", sparse, seed=10 * k) for k in range(3)]
    streamed = accumulate(structure, *batches)
    singles = [accumulate(structure, b) for b in batches]
    for name in ("fisher_sum", "feature_sum", "output_sum"):
        if getattr(streamed, name) is not None:
            assert_close(getattr(streamed, name), sum(getattr(s, name) for s in singles), **EXACT)
    assert streamed.count == sum(s.count for s in singles) == 6 * N


@pytest.mark.parametrize("gain_kind", ["constant", "per text"])
def test_sparse_features_equal_dense_ones_and_keep_the_diagonal_of_a(gain_kind):
    sparse = batch(gain_kind, sparse=True)
    dense = [(g.to_dense(), z, gain) for g, z, gain in sparse]
    assert_close(accumulate("diag", sparse).fisher_sum, accumulate("diag", dense).fisher_sum, **EXACT)
    kron, full = accumulate("kron", sparse), accumulate("kron", dense)
    assert kron.feature_sum.shape == (INPUTS,)
    assert_close(kron.feature_sum, full.feature_sum.diagonal(), **EXACT)
    assert_close(kron.output_sum, full.output_sum, **EXACT)


@pytest.mark.parametrize("structure", ["diag", "kron"])
def test_float32_input_is_accumulated_in_double(structure):
    exact = batch()
    single = [tuple(t.float() for t in part) for part in exact]
    a, b = accumulate(structure, exact), accumulate(structure, single)
    for name in ("fisher_sum", "feature_sum", "output_sum"):
        if getattr(a, name) is not None:
            assert getattr(b, name).dtype == torch.float64
            assert_close(getattr(b, name), getattr(a, name), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("structure", "tau"), [("full", 0.05), ("diag", 0.0), ("kron", -1.0)])
def test_unknown_structure_or_temperature_is_refused(structure, tau):
    with pytest.raises(InvalidInputError):
        Curvature(structure, tau)
