"""Abstention: does leaving out the least confident queries raise the mean metric of the rest?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from uec_retriever.errors import InvalidInputError

RATES = np.linspace(0, 1, 11)[:-1]  # shares of the queries that are left out, as in MTEB


@dataclass(frozen=True)
class RiskCoverage:
    """How a metric rises while the least confident queries are left out, share by share.

    Attributes:
        nauc: normalised area under the abstention curve, at most 1: 0 where confidence tells nothing (the
            flat curve), 1 where it leaves out the worst queries first (the oracle's), negative where it
            misleads; NaN if no order of the queries changes anything.
        auc: the area itself over the width of its range, so the mean height of the curve, in the unit of the
            metric: AUC@10 if the metric is nDCG@10.
        coverage: share of the queries that is kept, 1, .9, ..., .1.
        retained: mean metric of those that are kept.
    """

    nauc: float
    auc: float
    coverage: tuple[float, ...]
    retained: tuple[float, ...]

    def to_json(self, metric: str = "nDCG@10") -> dict[str, Any]:
        """What a result file holds; null where the nAUC is not defined."""
        return {
            "nAUC": None if np.isnan(self.nauc) else self.nauc,
            "AUC@10": self.auc,
            "curve": {"coverage": list(self.coverage), metric: list(self.retained)},
        }


def risk_coverage(values: NDArray[np.float64], confidence: NDArray[np.float64]) -> RiskCoverage:
    """Leave out shares of 0, .1, ..., .9 of n queries, those with the least confidence first.

    Where queries of equal confidence are cut apart, each counts with their mean metric: what a random order
    among them would give on average.

    Args:
        values: `[n]` metric of each query, say nDCG@10, n >= 1.
        confidence: `[n]`, higher is surer, any scale.

    Raises:
        InvalidInputError: for no queries, two shapes, or values that are not finite.

    Source: MTEB's `nauc` (2.26), after Gisserot-Boukhlef et al., arXiv 2402.12997. The UEC paper's own code computes
    its AUC@10 from similarities alone, whatever is relevant; this one does not follow it there.
    """
    values, confidence = np.asarray(values, np.float64), np.asarray(confidence, np.float64)
    if values.ndim != 1 or values.shape != confidence.shape or len(values) == 0:
        raise InvalidInputError(
            f"values {values.shape} and confidence {confidence.shape} must be two vectors, a number for each query"
        )
    if not np.isfinite(values).all() or np.isnan(confidence).any():
        raise InvalidInputError("values must be finite and confidence must not be NaN")
    curve, oracle = _curve(values, confidence), _curve(values, values)
    area, best = trapezoid(curve, RATES), trapezoid(oracle, RATES)
    width = RATES[-1] - RATES[0]
    flat = values.mean() * width
    nauc = float("nan") if np.isclose(best, flat) else float((area - flat) / (best - flat))
    return RiskCoverage(
        nauc, float(area / width), tuple(np.round(1 - RATES, 10).tolist()), tuple(curve.tolist())
    )


def _curve(values: NDArray[np.float64], confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[10]` mean metric of what is left at each rate."""
    _, group, sizes = np.unique(confidence, return_inverse=True, return_counts=True)
    means = np.bincount(group, values) / sizes
    expected = np.repeat(means, sizes)  # np.unique sorts: least confident first
    kept = [min(round(rate * len(values)), len(values) - 1) for rate in RATES]
    return np.array([expected[number:].mean() for number in kept])
