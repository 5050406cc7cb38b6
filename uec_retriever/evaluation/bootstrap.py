"""Percentile bootstrap over queries, pairs or texts: every method is scored on the same draws, so differences are paired.

Ours and not `scipy.stats.bootstrap`, which refuses a set of one query and renamed the argument of its seed in 1.15.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Values = NDArray[np.float64]
Rows = NDArray[np.int_]
SAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A value on all items, and its 95 % percentile interval.

    Attributes:
        mean: the value, usually a mean.
        low: lower end.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def resample(
    statistic: Callable[[Rows], Any], number: int, seed: int = 0, samples: int = SAMPLES
) -> NDArray[Any]:
    """A statistic of n items drawn with replacement, time and again.

    Args:
        statistic: rows -> a value, or an array with one for each method.
        number: n items.
        seed: of the draws; sets of equal size are resampled alike.
        samples: S draws.

    Returns:
        `[S, ...]` what the statistic gave; NaN where a draw has no value.
    """
    return np.array([statistic(rows) for rows in _draws(number, seed, samples)])


def resample_means(values: Values, seed: int = 0) -> Values:
    """`[S]` means of `[n]` values, as `resample` gives them, by one product of matrices."""
    return np.asarray(_shares(len(values), seed) @ values)


def interval(value: float, draws: NDArray[Any]) -> Interval:
    """A value and the interval of its draws, those without a value left out."""
    if np.isnan(draws).all():
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def wilson(successes: int, number: int) -> Interval:
    """A share of n independent trials, and Wilson's 95 % interval; [0, 1] without trials.

    Args:
        successes: in [0, n].
        number: n trials.
    """
    if number == 0:
        return Interval(float("nan"), 0.0, 1.0)
    ends = binomtest(successes, number).proportion_ci(method="wilson")
    return Interval(successes / number, float(ends.low), float(ends.high))


def compare(
    value: float, draws: NDArray[Any], baseline: float, baseline_draws: NDArray[Any]
) -> dict[str, Any]:
    """A result file's entry: value and interval, and the paired difference to the baseline."""
    difference = interval(value - baseline, draws - baseline_draws)
    return {**asdict(interval(value, draws)), "difference": asdict(difference)}


def mean_cell(values: Values, baseline: Values, seed: int = 0) -> dict[str, Any]:
    """The entry of a mean over n queries, with n.

    Args:
        values: `[n]`.
        baseline: `[n]`, query by query.
        seed: of the draws.
    """
    draws = (resample_means(v, seed) for v in (values, baseline))
    return {**compare(values.mean(), next(draws), baseline.mean(), next(draws)), "n": len(values)}


def _draws(number: int, seed: int, samples: int) -> Rows:
    return np.random.default_rng(seed).integers(0, number, (samples, number))


@lru_cache(maxsize=4)
def _shares(number: int, seed: int) -> Values:
    """`[S, n]` share of each item in each draw."""
    places = np.arange(SAMPLES)[:, None] * number + _draws(number, seed, SAMPLES)
    counts = np.bincount(places.ravel(), minlength=SAMPLES * number)
    return np.asarray(counts.reshape(SAMPLES, number) / number)
