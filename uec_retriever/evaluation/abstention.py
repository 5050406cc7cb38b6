"""Abstention: does leaving out the least confident queries raise the mean metric of the rest?

MTEB has the nAUC alone, in a private module; the curve that the report draws is the rest of the work. Equal to it where
it has both (tests).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.integrate import trapezoid

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import Values

_RATES = np.linspace(0, 1, 11)[:-1]  # shares of the queries that are left out, as in MTEB


def abstention_curve(values: Values, confidence: Values) -> Values:
    """`[10]` mean metric of what is kept when 0, .1, ..., .9 of n queries are left out, the least confident first.

    Where queries of equal confidence are cut apart, each counts with their mean metric: what a random order among them
    would give on average.

    Args:
        values: `[n]` metric of each query, say nDCG@10, n >= 1.
        confidence: `[n]`, higher is surer, any scale.

    Raises:
        InvalidInputError: for no queries, two shapes, or values that are not finite.
    """
    if values.ndim != 1 or values.shape != confidence.shape or len(values) == 0:
        raise InvalidInputError(
            f"values {values.shape} and confidence {confidence.shape} must be two vectors, a number for each query"
        )
    if not np.isfinite(values).all() or np.isnan(confidence).any():
        raise InvalidInputError("values must be finite and confidence must not be NaN")
    _, group, sizes = np.unique(confidence, return_inverse=True, return_counts=True)
    expected = np.repeat(np.bincount(group, values) / sizes, sizes)  # np.unique sorts: least confident first
    out = [min(round(rate * len(values)), len(values) - 1) for rate in _RATES]
    return np.array([expected[number:].mean() for number in out])


def nauc(values: Values, confidence: Values) -> float:
    """Normalised area under the abstention curve, at most 1.

    0 where confidence tells nothing, 1 where it leaves out the worst queries first, negative where it misleads; NaN if no
    order of the queries changes anything.

    Source: MTEB's `nauc` (2.26), after Gisserot-Boukhlef et al., arXiv 2402.12997.
    """
    area, best = (trapezoid(abstention_curve(values, by), _RATES) for by in (confidence, values))
    flat = values.mean() * (_RATES[-1] - _RATES[0])
    return float("nan") if np.isclose(best, flat) else float((area - flat) / (best - flat))


def abstention(values: Values, confidence: Values, metric: str) -> dict[str, Any]:
    """What a result file holds: nAUC (null where it is not defined), mean height of the curve, and the curve.

    Source of AUC@10, the area over its width: the UEC paper, whose own code takes it from similarities alone, whatever is
    relevant; not so here.
    """
    curve, area = abstention_curve(values, confidence), nauc(values, confidence)
    return {
        "nAUC": None if np.isnan(area) else area,
        "AUC@10": float(trapezoid(curve, _RATES) / (_RATES[-1] - _RATES[0])),
        "curve": {"coverage": np.round(1 - _RATES, 10).tolist(), metric: curve.tolist()},
    }
