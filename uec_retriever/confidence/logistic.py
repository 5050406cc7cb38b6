"""Logistic regression with weights that are at least 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from uec_retriever.confidence.odds import probabilities
from uec_retriever.gaussian import Array

_SMALLEST_SCALE = 1e-12  # a feature that hardly varies is left as it is


@dataclass(frozen=True, eq=False)
class Logistic:
    """Logistic regression on standardised features.

    Attributes:
        means: `[S]` of the features.
        scales: `[S]` their standard deviations, > 0.
        weights: `[S]` of the standardised features, >= 0.
        intercept: log odds at the means.
    """

    means: Array
    scales: Array
    weights: Array
    intercept: float

    def probabilities(self, table: Array) -> Array:
        """`[n]` in [LEAST, 1 - LEAST] (`confidence.odds`), from `[n, S]` features."""
        return probabilities((table - self.means) / self.scales @ self.weights + self.intercept)


def fit_logistic(table: Array, hits: NDArray[np.bool_], sample_weights: Array) -> Logistic:
    """Logistic regression (L2, C = 1) with weights >= 0: a signal that would get a negative one is left out, the worst first.

    Args:
        table: `[n, S]` features.
        hits: `[n]` outcomes, of both kinds.
        sample_weights: `[n]`, > 0.
    """
    means = np.average(table, axis=0, weights=sample_weights)
    scales = np.sqrt(np.average((table - means) ** 2, axis=0, weights=sample_weights))
    scales = np.where(scales < _SMALLEST_SCALE, 1.0, scales)
    standard = (table - means) / scales
    weights, kept = np.zeros(table.shape[1]), list(range(table.shape[1]))
    while kept:
        fitted = LogisticRegression().fit(standard[:, kept], hits, sample_weight=sample_weights)
        found = fitted.coef_[0]
        if found.min() >= 0:
            weights[kept] = found
            return Logistic(means, scales, weights, float(fitted.intercept_[0]))
        del kept[int(found.argmin())]
    share = float(np.average(hits, weights=sample_weights))
    return Logistic(means, scales, weights, float(logit(share)))
