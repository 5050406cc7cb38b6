"""Abstention as MTEB measures it: does leaving out the least confident queries raise the mean metric?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RATES = np.linspace(0, 1, 11)[:-1]


def abstention_nauc(confidence: NDArray[np.float64], metric: NDArray[np.float64]) -> float:
    """Normalised area under the abstention curve of n queries.

    The curve is the mean metric of the queries that are left when a share of 0, .1, ..., .9 with the
    least confidence is left out. Its area lies between the flat one (confidence tells nothing, 0) and
    the oracle's, which leaves out the worst queries first (1); it may be negative.

    Args:
        confidence: `[n]`, any scale.
        metric: `[n]`, say nDCG@10.

    Returns:
        At most 1; NaN if no order of the queries changes anything.

    Source: MTEB's `nauc`, after Gisserot-Boukhlef et al., arXiv 2402.12997.
    """
    area, oracle = (np.trapezoid(_curve(by, metric), _RATES) for by in (confidence, metric))
    flat = float(metric.mean() * (_RATES[-1] - _RATES[0]))
    return float("nan") if np.isclose(oracle, flat) else float((area - flat) / (oracle - flat))


def _curve(confidence: NDArray[np.float64], metric: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(confidence, kind="stable")
    left_out = [min(round(rate * len(order)), len(order) - 1) for rate in _RATES]
    return np.array([metric[order[number:]].mean() for number in left_out])
