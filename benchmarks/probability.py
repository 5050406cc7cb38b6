"""Is a similarity a probability, and does its variance say how far it is off?

| name | what it compares | source |
|---|---|---|
| ECE | confidence in a pair with how often such pairs are right | Naeini et al., AAAI 2015 |
| Var-ECE | predicted variance of the similarity with its mean squared error | UCE of Laves et al., MIDL 2020 |

Both are means of absolute gaps over bins, weighted by what the bins hold. The UEC paper reports both for the
similarity's mean and variance. A similarity is read as a probability in two ways: *stated*, cut off to [0, 1] as it
is; and *fitted*, through a logistic map that other queries' pairs decide (`logistic_map.cross_fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.logistic_map import cross_fit
from benchmarks.sts_data import spearman
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import Interval, Rows, interval, resample
from uec_retriever.evaluation.reliability import reliability
from uec_retriever.gaussian import Array


@dataclass(frozen=True)
class VarianceCalibration:
    """Predicted variance against squared errors.

    Attributes:
        var_ece: mean gap of variance and mean squared error over bins of like variance, in the unit of the
            variance; 0 is best. A constant variance of the right size would have 0, so read it with the next two.
        scaled: the same after one factor on all variances gave them the mean of the squared errors: what no
            rescaling repairs.
        rank_correlation: Spearman's, of variance and squared error; None where the variance is constant.
        bins: (mean variance, mean squared error, count), of equal counts but for ties.
    """

    var_ece: float
    scaled: float
    rank_correlation: float | None
    bins: tuple[tuple[float, float, int], ...]


def variance_calibration(variance: Array, squared_error: Array, *, bins: int = 10) -> VarianceCalibration:
    """Whether predicted variances are the mean squared errors that they promise.

    Args:
        variance: `[n]` predicted, > 0, n >= 1.
        squared_error: `[n]` observed, >= 0.
        bins: how many; equal variances are never parted.

    Raises:
        InvalidInputError: for shapes or values out of range.
    """
    variance, squared_error = (np.asarray(v, np.float64) for v in (variance, squared_error))
    if variance.ndim != 1 or variance.shape != squared_error.shape or len(variance) == 0:
        raise InvalidInputError(
            f"variances {variance.shape} and squared errors {squared_error.shape} must be vectors of one length"
        )
    if not (np.isfinite(variance).all() and (variance > 0).all() and (squared_error >= 0).all()):
        raise InvalidInputError("variances must be positive and finite, squared errors at least 0")
    edges = np.unique(np.quantile(variance, np.linspace(0, 1, bins + 1)[1:-1]))
    bin_of = np.searchsorted(edges, variance)
    groups = [bin_of == number for number in np.unique(bin_of)]
    table = [(float(variance[g].mean()), float(squared_error[g].mean()), int(g.sum())) for g in groups]
    factor = float(squared_error.mean() / variance.mean())
    varied = np.ptp(variance) > 0 and np.ptp(squared_error) > 0
    return VarianceCalibration(
        _gap(table, 1.0),
        _gap(table, factor),
        float(spearmanr(variance, squared_error).statistic) if varied else None,
        tuple(table),
    )


def _gap(table: Sequence[tuple[float, float, int]], factor: float) -> float:
    total = sum(count for _, _, count in table)
    return sum(count * abs(factor * variance - error) for variance, error, count in table) / total


def calibration_cell(
    outcomes: Array, confidence: Array, *, mean: Array | None = None, variance: Array | None = None
) -> dict[str, Any]:
    """What a result file holds of one similarity.

    Args:
        outcomes: `[n]` in [0, 1].
        confidence: `[n]` in [0, 1].
        mean: `[n]` similarities whose squared distance to the outcome is the error; with `variance`.
        variance: `[n]` of them; without, Var-ECE is null.
    """
    found = reliability(outcomes, confidence)
    cell: dict[str, Any] = {
        "ECE": found.ece,
        "Var-ECE": None,
        "Brier": float(np.mean((confidence - outcomes) ** 2)),
        "bins": [asdict(b) for b in found.bins],
    }
    if variance is not None and mean is not None:
        told = variance_calibration(variance, (outcomes - mean) ** 2)
        cell |= {
            "Var-ECE": told.var_ece,
            "Var-ECE scaled": told.scaled,
            "rank correlation": told.rank_correlation,
            "variance bins": [{"variance": v, "squared error": e, "count": c} for v, e, c in told.bins],
        }
    return cell


def cut_off(similarity: Array) -> Array:
    """A similarity read as a probability as it is: cut off to [0, 1]."""
    return np.asarray(np.clip(similarity, 0.0, 1.0))


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

    def statistic(chosen: Rows) -> float:
        rows = np.concatenate([members[i] for i in chosen])
        return float(spearman(one[rows, None], other[rows])[0])

    value = float(spearman(one[:, None], other)[0])
    return interval(value, resample(statistic, len(members), seed, samples))


def readings(
    outcomes: Array,
    score: Array,
    mean: Array,
    variance: Array | None,
    seed: int,
    groups: NDArray[Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Cells of a similarity read as a probability: `stated`, `fitted` and, with variances, `fitted with variance`.

    Args:
        outcomes: `[n]` in [0, 1].
        score: `[n]` similarities.
        mean: `[n]` before their variance counts.
        variance: `[n]` of them, or None.
        seed: of cross-fitting and bootstrap.
        groups: `[n]`, e.g. the query of a pair.
    """
    fitted = cross_fit(outcomes, score, groups=groups, seed=seed)
    every = {"stated": cut_off(score), "fitted": fitted}
    if variance is not None:
        every["fitted with variance"] = cross_fit(outcomes, mean, variance, groups=groups, seed=seed)
    found = {n: calibration_cell(outcomes, c, mean=mean, variance=variance) for n, c in every.items()}
    if variance is not None:
        told = rank_correlation(variance, np.abs(outcomes - fitted), seed, groups=groups)
        found["fitted"]["variance predicts error"] = asdict(told) if told else None
    return found
