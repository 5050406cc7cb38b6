"""Bootstrap of statistics that are not means of one value per item, such as a rank correlation or an AUROC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from uec_retriever.evaluation.metrics import Interval, Values
from uec_retriever.gaussian import Array

SAMPLES = 500
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


def rank_correlation(
    one: Array, other: Array, seed: int, groups: NDArray[Any] | None = None, samples: int = 200
) -> Interval | None:
    """Spearman's correlation of two values of n items, with its interval; None where one of them is constant.

    Args:
        one: `[n]`.
        other: `[n]`.
        seed: of the draws.
        groups: `[n]`, e.g. the query of an item: whole groups are drawn. Items by themselves if absent.
        samples: draws.
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    _, group = np.unique(np.arange(len(one)) if groups is None else groups, return_inverse=True)
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)

    def statistic(chosen: Rows) -> Values:
        rows = np.concatenate([members[i] for i in chosen])
        return spearman(one[rows, None], other[rows])

    value = float(spearman(one[:, None], other)[0])
    return interval(value, resampled(statistic, len(members), seed, samples)[:, 0])


def spearman(scores: Array, truth: Array) -> Values:
    """`[M]` rank correlation of each column of `[n, M]` scores with `[n]` values; NaN where one does not vary."""
    ranks, wanted = rankdata(scores, axis=0), rankdata(truth)
    ranks, wanted = ranks - ranks.mean(axis=0), wanted - wanted.mean()
    with np.errstate(invalid="ignore"):
        return np.asarray(wanted @ ranks / np.sqrt((ranks**2).sum(axis=0) * (wanted**2).sum()))


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
