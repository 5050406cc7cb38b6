"""Relevance: the probability that one hit is a right text, monotone in its score and comparable between queries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uec_retriever.checks.rows import FINITE_ROW
from uec_retriever.confidence.odds import probabilities
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array

FEATURES = {  # higher is better; none falls as the score rises, within a query
    "score": "raw score",
    "relative": "minus the standard deviations of the query's candidates that it is behind the best",
    "place": "minus the natural logarithm of its place in the ranking",
}
DEPTH = 10
"""How many hits of each query a relevance model is fitted on."""
_LEAST_SPREAD = 1e-6  # below it, scores differ by rounding


def relevance_features(raw: Array, among: Sequence[int] | None = None) -> Array:
    """`[3, m]` features of each candidate of one query, in the order of `FEATURES`.

    Args:
        raw: `[m]` raw scores of the query's candidates, m >= 1, in any order.
        among: those of them that say how far scores spread; all if None.
    """
    raw = np.asarray(raw, dtype=np.float64)
    known = raw if among is None else raw[list(among)]
    spread, place = float(known.std()), len(raw) - np.searchsorted(np.sort(raw), raw)  # the last of its tie
    behind = (known.max() - raw) / max(spread, _LEAST_SPREAD)
    return np.stack([raw, -behind, -np.log(place)])


@dataclass(frozen=True)
class RelevanceModel:
    """Logistic regression from standardised features of a hit to P(it is a right text).

    Attributes:
        means: `[3]` of the features at calibration.
        scales: `[3]` their standard deviations, > 0.
        weights: `[3]` of the standardised features, >= 0, so that a higher score is never less relevant.
        intercept: log odds at the means.
    """

    __pydantic_config__ = FINITE_ROW

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        for name in ("means", "scales", "weights"):
            values = getattr(self, name)
            if len(values) != len(FEATURES) or not all(map(math.isfinite, values)):
                raise InvalidInputError(f"{name} must be {len(FEATURES)} finite numbers, got {values}")
        if not (min(self.scales) > 0 and min(self.weights) >= 0 and math.isfinite(self.intercept)):
            raise InvalidInputError("scales must be positive, weights at least 0 and the intercept finite")

    def probabilities(self, raw: Array, among: Sequence[int] | None = None) -> Array:
        """`[m]` P(it is a right text) of each candidate, in [LEAST, 1 - LEAST] (`confidence.odds`), in the order of `raw`.

        Args:
            raw: `[m]` raw scores of the query's candidates, m >= 1.
            among: those of them that a search at calibration would have had; all if None.
        """
        factors = [weight / scale for weight, scale in zip(self.weights, self.scales, strict=True)]
        offset = self.intercept - sum(f * mean for f, mean in zip(factors, self.means, strict=True))
        return probabilities(np.asarray(factors) @ relevance_features(raw, among) + offset)
