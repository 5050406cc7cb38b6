"""Bootstrap of statistics that are not means of one value per item, such as a rank correlation or an AUROC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uec_retriever.evaluation.metrics import Interval, Values

SAMPLES = 1000
Rows = NDArray[np.int_]


def resampled(statistic: Callable[[Rows], Values], number: int, seed: int, samples: int = SAMPLES) -> Values:
    """Statistics of n items drawn with replacement, time and again.

    Args:
        statistic: rows -> `[M]` values, one of each method: all methods see the same draws.
        number: n items.
        seed: of the draws.
        samples: S draws.

    Returns:
        `[S, M]`; NaN where a draw has no value.
    """
    generator = np.random.default_rng(seed)
    return np.array([statistic(generator.integers(number, size=number)) for _ in range(samples)])


def interval(value: float, draws: Values) -> Interval:
    """The value on all items, with the 95 % percentile interval of its draws (those without a value left out)."""
    if np.isnan(draws).all():
        return Interval(value, float("nan"), float("nan"))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def cells(labels: Mapping[str, int], values: Values, draws: Values, n: int, baseline: str) -> dict[str, Any]:
    """Result cells of methods, each with its paired difference to the baseline.

    Args:
        labels: method -> its column.
        values: `[M]` on all items.
        draws: `[S, M]`.
        n: items.
        baseline: label of the method that all are compared to.
    """
    base = labels[baseline]
    return {
        label: {
            **asdict(interval(float(values[column]), draws[:, column])),
            "n": n,
            "difference": asdict(
                interval(float(values[column] - values[base]), draws[:, column] - draws[:, base])
            ),
        }
        for label, column in labels.items()
    }
