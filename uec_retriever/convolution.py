"""Step 2, convolution: how far each expert is trusted, and how their Gaussians are joined.

Prior and temperature are chosen on held-out calibration pairs (query, positive).

| paper | here |
|---|---|
| pi_k(x) | `coefficients` |
| pi0 | `prior`, see `likelihood_prior` |
| T | `temperature`, see `choose_temperature` |
| u_k(x) = tr(Sigma_k(x)) | `traces` |
| N(mu_k, Sigma_k) | `GaussianEmbedding` |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import block_diag
from scipy.special import log_softmax, softmax

from uec_retriever.checks.numbers import check_temperature
from uec_retriever.errors import InvalidInputError, show
from uec_retriever.gaussian import Array, FactoredVariance, GaussianEmbedding, normalise

Layout = Literal["block", "sum"]
Uncertainty = Literal["log", "raw"]
LAYOUTS: tuple[Layout, ...] = ("block", "sum")
_TAUS = np.geomspace(0.005, 0.5, 41)
_INFORMATIVE = 0.1  # of what pairs could tell


def coefficients(
    traces: Array,
    temperature: float,
    *,
    zero: Array | None = None,
    prior: Array | None = None,
    uncertainty: Uncertainty = "log",
) -> Array:
    """Closed-form coefficients of the entropy-regularised surrogate, `pi = pi0 exp(-(u - u0) / T)`.

    Args:
        traces: `[n, K]` tr(Sigma_k) of each text under each expert, > 0.
        temperature: T >= 0. `inf` gives `prior`, 0 the surest expert alone.
        zero: `[K]` u0, what u is for an ordinary text (the mean over a common reference set), in
            the units of `uncertainty`. Zeros if absent.
        prior: `[K]` pi0, positive; uniform if absent. It is normalised here.
        uncertainty: `log` takes u = log tr(Sigma), free of each expert's scale; `raw` the paper's
            u = tr(Sigma).

    Returns:
        `[n, K]` positive, each row summing to 1.

    Raises:
        InvalidInputError: for shapes, temperatures, traces, zeros or priors out of range.

    Source: UEC paper, section 3.2; zero and prior: design, step 2.
    """
    traces = np.asarray(traces, dtype=np.float64)
    if traces.ndim != 2:
        raise InvalidInputError(f"traces must be [n, K], got {traces.shape}")
    if not (np.isfinite(traces).all() and (traces > 0).all()):
        raise InvalidInputError("traces must be finite and positive")
    temperature = check_temperature(temperature)
    experts = traces.shape[1]
    log_prior = np.zeros(experts)
    if prior is not None:
        prior = np.asarray(prior, dtype=np.float64)
        if prior.shape != (experts,) or not ((prior > 0) & np.isfinite(prior)).all():
            raise InvalidInputError(f"prior must be {experts} positive numbers, one per expert")
        log_prior = np.log(prior)
    if uncertainty not in ("log", "raw"):
        raise InvalidInputError(f"uncertainty must be 'log' or 'raw', got {show(uncertainty)}")
    u = np.log(traces) if uncertainty == "log" else traces
    if zero is not None:
        zero = np.asarray(zero, dtype=np.float64)
        if zero.shape != (experts,) or not np.isfinite(zero).all():
            raise InvalidInputError(f"zero must be {experts} finite numbers, one per expert")
        u = u - zero
    u = u - u.min(axis=1, keepdims=True)  # changes nothing but keeps u / T finite below 0 / T
    if temperature == 0:
        return np.asarray(np.eye(experts)[np.argmin(u, axis=1)])
    with np.errstate(over="ignore"):
        return np.asarray(softmax(log_prior - u / temperature, axis=1))


def convolve_block(experts: Sequence[GaussianEmbedding], weights: Array | None = None) -> GaussianEmbedding:
    """Block layout: each expert keeps its own coordinates, `[pi_1 mu_1; ...; pi_K mu_K]`.

    The dot product of a weighted query with unweighted documents is
    `sum_k pi_k(query) cos_k(query, document)`, so the weights of a query need no re-indexing.

    Args:
        experts: K batches of n texts, of any dimensions D_k.
        weights: `[n, K]` coefficients, or None for the unweighted form that documents are stored in.

    Returns:
        A batch of n Gaussians of dimension `sum_k D_k`; variances carry `pi_k^2`.

    Raises:
        InvalidInputError: if the experts disagree on n, or `weights` has another shape.
    """
    pi = _check(experts, weights)
    mean = np.concatenate([p * e.mean for p, e in zip(pi, experts, strict=True)], axis=1)
    if factors := _factors(experts, pi):
        return GaussianEmbedding(mean, FactoredVariance(_side_by_side(factors), _diagonal(factors)))
    variances = [p**2 * e.variance for p, e in zip(pi, experts, strict=True)]
    return GaussianEmbedding(mean, np.concatenate(variances, axis=1))


def convolve_sum(experts: Sequence[GaussianEmbedding], weights: Array) -> GaussianEmbedding:
    """Sum layout (the paper): `N(sum_k pi_k mu_k, sum_k pi_k^2 Sigma_k)`, brought back to unit length.

    Only meaningful for experts that share a coordinate system (fine-tuned from one
    initialisation): otherwise the cross terms `mu_k . mu_j` are noise.

    Args:
        experts: K batches of n texts of one dimension D.
        weights: `[n, K]` coefficients of each text.

    Raises:
        InvalidInputError: if the dimensions differ.

    Source: UEC paper, section 3.2 (Gaussian convolution).
    """
    pi = _check(experts, weights)
    dimensions = sorted({e.dimension for e in experts})
    if len(dimensions) > 1:
        raise InvalidInputError(
            f"the sum layout needs experts of one dimension, got {dimensions}: use layout='block'"
        )
    mean = np.asarray(sum(p * e.mean for p, e in zip(pi, experts, strict=True)))
    if factors := _factors(experts, pi):
        basis = np.concatenate([f.basis for f in factors])
        return normalise(mean, FactoredVariance(_side_by_side(factors), basis))
    return normalise(mean, np.asarray(sum(p**2 * e.variance for p, e in zip(pi, experts, strict=True))))


def _factors(experts: Sequence[GaussianEmbedding], pi: Sequence[Array]) -> list[FactoredVariance]:
    """The experts' variances times pi^2, if all are factored."""
    factors = [
        e.spread * p**2 for p, e in zip(pi, experts, strict=True) if isinstance(e.spread, FactoredVariance)
    ]
    return factors if len(factors) == len(experts) else []


def _side_by_side(factors: Sequence[FactoredVariance]) -> Array:
    return np.concatenate([f.coefficients for f in factors], axis=1)


def _diagonal(factors: Sequence[FactoredVariance]) -> Array:
    """The bases, as blocks on the diagonal."""
    if len(factors) == 1:
        return factors[0].basis
    basis: Array = block_diag(*(f.basis for f in factors))
    return basis.astype(factors[0].basis.dtype)


def _check(experts: Sequence[GaussianEmbedding], weights: Array | None) -> list[Array]:
    """K columns `[n, 1]` of weights, or refusal."""
    if not experts:
        raise InvalidInputError("at least one expert is needed")
    texts = len(experts[0])
    if any(len(e) != texts for e in experts):
        raise InvalidInputError(f"experts disagree on the number of texts: {[len(e) for e in experts]}")
    if weights is None:
        return [np.ones((texts, 1), dtype=np.float32)] * len(experts)
    if weights.shape != (texts, len(experts)):
        raise InvalidInputError(f"weights must be {(texts, len(experts))}, got {weights.shape}")
    weights = weights.astype(experts[0].mean.dtype)
    return [weights[:, k : k + 1] for k in range(len(experts))]


@dataclass(frozen=True, eq=False)
class PairLikelihood:
    """How well embeddings pick the right candidate on held-out pairs.

    Attributes:
        values: `[n]` log softmax of the positive among its group, nats, <= 0.
        tau: the temperature at which their mean is highest, so that compressed cosines cost nothing.
        chance: mean log-likelihood of a guess, `-log(group size)`.
    """

    values: Array
    tau: float
    chance: float

    @property
    def mean(self) -> float:
        """Mean log-likelihood of a pair."""
        return float(self.values.mean())

    @property
    def told(self) -> float:
        """How much of what could be told the embeddings tell: 0 (or a little below) for guesses, 1 for no error."""
        return 1 - self.mean / self.chance

    @property
    def informative(self) -> bool:
        """Whether the pairs belong together in any way that the embeddings see.

        The limit of a tenth lies between what was measured on pairs without signal (-.03 to .04, whatever
        their number) and on first sentences, titles and halves of ordinary corpora (.34 to .86). Where the pairs
        are not informative, a variance scale tells how far apart any two texts are, not two that mean the same.
        """
        return self.told > _INFORMATIVE


def pair_likelihood(queries: Array, positives: Array, *, candidates: int = 32) -> PairLikelihood:
    """Held-out log-likelihood of the positives in groups of about `candidates` pairs.

    Args:
        queries: `[n, D]` unit vectors, or any whose dot products are similarities.
        positives: `[n, D]`, row by row their positives.
        candidates: pairs in one group.
    """
    groups = np.array_split(np.arange(len(queries)), max(1, len(queries) // candidates))
    cosines = [(queries[g] @ positives[g].T).astype(np.float64) for g in groups]
    chance = -float(np.repeat([np.log(len(g)) for g in groups], [len(g) for g in groups]).mean())
    tried = [
        PairLikelihood(
            np.concatenate([np.diagonal(log_softmax(c / tau, axis=1)) for c in cosines]), float(tau), chance
        )
        for tau in _TAUS
    ]
    return max(tried, key=lambda likelihood: likelihood.mean)


def likelihood_prior(pair_log_likelihoods: Sequence[Array]) -> Array:
    """The prior pi0 over experts: lower for one that is plainly weaker on held-out pairs.

    `pi0_k ~ exp(-max(0, gap_k - e_k))`, with gap_k the mean log-likelihood that expert k falls
    short of the best one and e_k the standard error of that: what the pairs cannot tell apart is
    trusted alike.

    Args:
        pair_log_likelihoods: per expert, `[n]` log-likelihood of the same held-out pairs.

    Returns:
        `[K]` positive, summing to 1.
    """
    best = max(pair_log_likelihoods, key=lambda values: float(values.mean()))
    gaps = [best - values for values in pair_log_likelihoods]
    sure = [max(0.0, float(gap.mean() - gap.std() / np.sqrt(len(gap)))) for gap in gaps]
    return np.asarray(softmax(-np.array(sure)))


def choose_temperature(pair_log_likelihoods: Mapping[float, Array]) -> float:
    """Temperature selection: T of the coefficients, by the one-standard-error rule.

    Of the temperatures whose held-out likelihood cannot be told from the best one's, the highest:
    coefficients depart from the prior only as far as the held-out pairs give reason to.

    Args:
        pair_log_likelihoods: temperature -> `[n]` log-likelihood of each held-out pair under the
            fused experts at that temperature.
    """
    best = max(pair_log_likelihoods, key=lambda t: float(pair_log_likelihoods[t].mean()))
    good = []
    for temperature, values in pair_log_likelihoods.items():
        loss = pair_log_likelihoods[best] - values
        if float(loss.mean()) <= float(loss.std() / np.sqrt(len(loss))):
            good.append(temperature)
    return max([best, *good])
