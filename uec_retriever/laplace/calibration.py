"""Calibration: makes the variances, and the trust, of different experts comparable.

Everything here is estimated on held-out calibration pairs (query, positive).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

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
    scale = distance / float(queries.trace.sum(dtype=np.float64) + positives.trace.sum(dtype=np.float64))
    if not scale > 0:
        raise InvalidInputError("every calibration pair is one text twice: give pairs that differ")
    return scale


@dataclass(frozen=True)
class PairLikelihood:
    """How well an expert picks the right candidate on held-out pairs.

    Attributes:
        log_likelihood: mean log softmax of the positive among the batch, nats, <= 0.
        tau: the temperature at which it is highest, so that compressed cosines cost nothing.
    """

    log_likelihood: float
    tau: float


def pair_likelihood(queries: Array, positives: Array, *, candidates: int = 32) -> PairLikelihood:
    """Held-out log-likelihood of the positives in groups of `candidates` pairs.

    Args:
        queries: `[n, D]` unit vectors.
        positives: `[n, D]` unit vectors, row by row their positives.
        candidates: pairs in one group; the last group may be smaller but has at least two.
    """
    groups = np.array_split(np.arange(len(queries)), max(1, len(queries) // candidates))
    best = PairLikelihood(-np.inf, float(_TEMPERATURES[0]))
    cosines = [queries[g] @ positives[g].T for g in groups]
    for tau in _TEMPERATURES:
        right = np.concatenate([np.diagonal(log_softmax(c / tau, axis=1)) for c in cosines])
        if (value := float(right.mean())) > best.log_likelihood:
            best = PairLikelihood(value, float(tau))
    return best


def reference_zero(reference: GaussianEmbedding) -> tuple[float, float]:
    """Mean and deviation of log tr(Sigma) over a reference set: the zero of an expert's uncertainty.

    The set must be the same for all experts, and broad: one from a single domain would erase
    the signal (design, step 2).
    """
    log_trace = np.log(reference.trace.astype(np.float64))
    return float(log_trace.mean()), float(log_trace.std())
