"""Calibration: makes the variances, and the trust, of different experts comparable.

Everything here is estimated on held-out calibration pairs (query, positive).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array, GaussianEmbedding

_TEMPERATURES = np.geomspace(0.005, 0.5, 41)


def variance_scale(queries: GaussianEmbedding, positives: GaussianEmbedding) -> float:
    """The factor on all variances under which held-out pairs lie as far apart as they should.

    If `mu_q - mu_c ~ N(0, a (Sigma_q + Sigma_c))` for two texts that mean the same, then
    `E|mu_q - mu_c|^2 = a E[tr Sigma_q + tr Sigma_c]`. This moment estimate of `a` holds up where a
    model has dead dimensions, unlike the mean of standardised residuals.

    Args:
        queries: n Gaussians, variances under scale 1.
        positives: n Gaussians, row by row their positives.

    Returns:
        a > 0. A single expert's scale changes no ranking by coefficients on log-traces; it gives
        the deviation of a score its unit.

    Raises:
        InvalidInputError: without pairs, or if every pair is the same text twice.
    """
    if len(queries) == 0 or len(queries) != len(positives):
        raise InvalidInputError("calibration needs held-out pairs: give more pairs")
    distance = float(((queries.mean - positives.mean).astype(np.float64) ** 2).sum())
    total = float(queries.trace.sum(dtype=np.float64) + positives.trace.sum(dtype=np.float64))
    if not total > 0:
        raise InvalidInputError("the posterior gives these pairs no variance: fit it on other pairs")
    scale = distance / total
    if not scale > 0:
        raise InvalidInputError("every calibration pair is one text twice: give pairs that differ")
    return scale


@dataclass(frozen=True, eq=False)
class PairLikelihood:
    """How well embeddings pick the right candidate on held-out pairs.

    Attributes:
        values: `[n]` log softmax of the positive among its group, nats, <= 0.
        tau: the temperature at which their mean is highest, so that compressed cosines cost nothing.
    """

    values: Array
    tau: float

    @property
    def mean(self) -> float:
        """Mean log-likelihood of a pair."""
        return float(self.values.mean())


def pair_likelihood(queries: Array, positives: Array, *, candidates: int = 32) -> PairLikelihood:
    """Held-out log-likelihood of the positives in groups of about `candidates` pairs.

    Args:
        queries: `[n, D]` unit vectors, or any whose dot products are similarities.
        positives: `[n, D]`, row by row their positives.
        candidates: pairs in one group.
    """
    groups = np.array_split(np.arange(len(queries)), max(1, len(queries) // candidates))
    cosines = [(queries[g] @ positives[g].T).astype(np.float64) for g in groups]
    tried = [
        PairLikelihood(
            np.concatenate([np.diagonal(log_softmax(c / tau, axis=1)) for c in cosines]), float(tau)
        )
        for tau in _TEMPERATURES
    ]
    return max(tried, key=lambda likelihood: likelihood.mean)


def reference_zero(reference: GaussianEmbedding) -> tuple[float, float]:
    """Mean and deviation of log tr(Sigma) over a reference set: the zero of an expert's uncertainty.

    The set must be the same for all experts, and broad: one from a single domain would erase
    the signal (design, step 2).
    """
    log_trace = np.log(reference.trace.astype(np.float64))
    return float(log_trace.mean()), float(log_trace.std())


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
    """The temperature of the coefficients, by the one-standard-error rule.

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
