"""Variance calibration: the unit and the zero of an expert's variances, on held-out calibration pairs."""

from __future__ import annotations

import numpy as np

from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import GaussianEmbedding


def variance_scale(queries: GaussianEmbedding, positives: GaussianEmbedding) -> float:
    """The factor on all variances under which held-out pairs lie as far apart as they should.

    If `mu_q - mu_c ~ N(0, a (Sigma_q + Sigma_c))` for two texts that mean the same, then
    `E|mu_q - mu_c|^2 = a E[tr Sigma_q + tr Sigma_c]`. This moment estimate of `a` holds up where a
    model has dead dimensions, unlike the mean of standardised residuals.

    For unit vectors the distance is at most 4, so the mean trace of a calibrated text is at most 2; that of a text unlike
    all of these pairs has no bound, hence `GaussianEmbedding.bounded`. Pairs that do not mean the same give the
    distance of any two texts, and a scale without meaning, see `PairLikelihood.informative`.

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
        raise InvalidInputError(
            "variance calibration needs held-out pairs, as many queries as positives: give more pairs"
        )
    distance = float(((queries.mean - positives.mean).astype(np.float64) ** 2).sum())
    total = float(queries.trace.sum(dtype=np.float64) + positives.trace.sum(dtype=np.float64))
    if not total > 0:
        raise InvalidInputError("the posterior gives these pairs no variance: fit it on other pairs")
    scale = distance / total
    if not scale > 0:
        raise InvalidInputError("every calibration pair is one text twice: give pairs that differ")
    return scale


def reference_zero(reference: GaussianEmbedding) -> tuple[float, float]:
    """Mean and deviation of log tr(Sigma) over a reference set: the zero of an expert's uncertainty.

    The set must be the same for all experts, and broad: one from a single domain would erase
    the signal (design, step 2).
    """
    log_trace = np.log(reference.trace.astype(np.float64))
    return float(log_trace.mean()), float(log_trace.std())
