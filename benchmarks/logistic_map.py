"""A logistic map from similarities, and their variances, to probabilities of being right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array
from uec_retriever.similarity import probit_score

_FOLDS = 5
_RIDGE = 1e-6  # keeps the slope finite where outcomes can be told apart without error


@dataclass(frozen=True)
class LogisticMap:
    """P(right) of a similarity with mean m and variance v: `sigmoid((a m + b) / sqrt(1 + pi a^2 c v / 8))`.

    MacKay's approximation of the mean of a sigmoid under a Gaussian, so the similarity's own variance draws the
    probability towards one half.

    Attributes:
        slope: a.
        intercept: b.
        factor: c on the variances; 0 leaves them out (Platt's scaling).
    """

    slope: float
    intercept: float
    factor: float = 0.0

    def probability(self, mean: Array, variance: Array | None = None) -> Array:
        """`[n]` in (0, 1)."""
        logit = self.slope * mean + self.intercept
        return np.asarray(
            expit(logit if variance is None else probit_score(logit, self.slope**2 * self.factor * variance))
        )


def fit_logistic_map(outcomes: Array, mean: Array, variance: Array | None = None) -> LogisticMap:
    """Maximum likelihood; the factor on the variances is fitted too, so their scale does not matter.

    Args:
        outcomes: `[n]` in [0, 1].
        mean: `[n]` similarities.
        variance: `[n]` of them; without, the factor is 0.
    """
    centre, spread = float(mean.mean()), float(mean.std()) or 1.0
    standard = (mean - centre) / spread
    unit = None if variance is None else variance / max(float(variance.mean()), 1e-300)

    def loss(parameters: Array) -> float:
        slope, intercept = parameters[:2]
        logits = slope * standard + intercept
        if unit is not None:
            logits = probit_score(logits, np.exp(parameters[2]) * slope**2 * unit)
        cross_entropy = np.logaddexp(0, logits) - outcomes * logits
        return float(cross_entropy.mean() + _RIDGE * slope**2)

    start = [1.0, 0.0] if unit is None else [1.0, 0.0, -3.0]
    bounds = [(None, None), (None, None), (-12.0, 6.0)][: len(start)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    slope = float(found[0]) / spread
    factor = 0.0
    if unit is not None and variance is not None:
        factor = float(np.exp(found[2])) * spread**2 / max(float(variance.mean()), 1e-300)
    return LogisticMap(slope, float(found[1]) - slope * centre, factor)


def cross_fit(
    outcomes: Array,
    mean: Array,
    variance: Array | None = None,
    *,
    groups: NDArray[Any] | None = None,
    seed: int = 0,
) -> Array:
    """Probabilities of similarities, each by a `LogisticMap` fitted without its own group.

    Args:
        outcomes: `[n]` in [0, 1].
        mean: `[n]` similarities.
        variance: `[n]` of them, or None.
        groups: `[n]` e.g. the query of a pair; each pair by itself if absent. At least two.
        seed: of the five parts.
    """
    outcomes, mean = np.asarray(outcomes, np.float64), np.asarray(mean, np.float64)
    _, group = np.unique(np.arange(len(mean)) if groups is None else groups, return_inverse=True)
    number = int(group.max()) + 1
    if number < 2:
        raise InvalidInputError("cross-fitting needs pairs of at least two queries: give more")
    part = np.random.default_rng(seed).permutation(number) % _FOLDS
    found = np.empty(len(mean))
    for fold in range(min(_FOLDS, number)):
        held = part[group] == fold
        rest = None if variance is None else variance[~held]
        fitted = fit_logistic_map(outcomes[~held], mean[~held], rest)
        found[held] = fitted.probability(mean[held], None if variance is None else variance[held])
    return found
