"""Reliability: how often what is said with a probability is so, in bins, and how far the two are apart.

| name | what it compares | source |
|---|---|---|
| ECE | confidence with how often it is right | Naeini et al., AAAI 2015 |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uec_retriever.confidence.fit import expected_calibration_error
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import Interval, Rows, interval, resample, wilson
from uec_retriever.gaussian import Array

BINS = 10
RELIABILITY_NOTE = "On the dashed line a score is a probability. Points: bins, the larger the more items they hold; upright lines: the gap. ECE: mean gap, weighted by items."


@dataclass(frozen=True)
class Bin:
    """Items of like confidence.

    Attributes:
        low: lower end of the confidence.
        high: upper end.
        confidence: mean confidence of the items.
        accuracy: mean outcome of the items.
        count: how many.
    """

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class Reliability:
    """Confidence against outcomes.

    Attributes:
        ece: expected calibration error, in [0, 1]; 0 is best.
        bins: of equal width, empty ones left out.
    """

    ece: float
    bins: tuple[Bin, ...]


def reliability(outcomes: Array, confidence: Array, *, bins: int = BINS) -> Reliability:
    """ECE and the bins of a reliability diagram.

    Args:
        outcomes: `[n]` in [0, 1]: whether an item is right, or how right (a gold similarity), n >= 1.
        confidence: `[n]` in [0, 1].
        bins: how many.

    Raises:
        InvalidInputError: for shapes or values out of range.
    """
    outcomes, confidence = _unit_vectors(outcomes, confidence)
    bin_of = _bins_of(confidence, bins)
    found = []
    for number in np.unique(bin_of):
        inside = bin_of == number
        found.append(
            Bin(
                number / bins,
                (number + 1) / bins,
                float(confidence[inside].mean()),
                float(outcomes[inside].mean()),
                int(inside.sum()),
            )
        )
    return Reliability(expected_calibration_error(outcomes, confidence, bins=bins), tuple(found))


def ece_interval(
    outcomes: Array,
    confidence: Array,
    seed: int,
    groups: NDArray[Any] | None = None,
    *,
    bins: int = BINS,
    samples: int = 1000,
) -> Interval:
    """ECE and its 95 % bootstrap interval. A draw's ECE is higher on average, as that of any small sample is.

    Args:
        outcomes: `[n]` in [0, 1], n >= 1.
        confidence: `[n]` in [0, 1].
        seed: of the draws.
        groups: `[n]`, e.g. the query of a hit: whole groups are drawn. Items by themselves if absent.
        bins: how many.
        samples: draws.

    Raises:
        InvalidInputError: for shapes or values out of range.
    """
    outcomes, confidence = _unit_vectors(outcomes, confidence)
    _, group = np.unique(np.arange(len(outcomes)) if groups is None else groups, return_inverse=True)
    number = int(group.max()) + 1
    gaps = np.zeros((number, bins))
    np.add.at(gaps, (group, _bins_of(confidence, bins)), confidence - outcomes)
    counts = np.bincount(group, minlength=number)

    def statistic(rows: Rows) -> float:
        return float(np.abs(gaps[rows].sum(axis=0)).sum() / counts[rows].sum())

    value = expected_calibration_error(outcomes, confidence, bins=bins)
    return interval(value, resample(statistic, number, seed, samples))


def reliability_panel(
    label: str, bins: Iterable[Mapping[str, Any]], kind: str, remark: str, *, intervals: bool = False
) -> dict[str, Any]:
    """A reliability diagram, as a panel of a result's curves that are drawn with the diagonal.

    Args:
        label: of the curve.
        bins: with `confidence`, `accuracy` and `count`; empty ones are left out.
        kind: of method, for the colour.
        remark: in a corner.
        intervals: whether outcomes are right or wrong, so that each share has Wilson's 95 % interval.
    """
    shown = [b for b in bins if b["count"]]
    accuracy = [b["accuracy"] for b in shown]
    panel: dict[str, Any] = {
        "x": [b["confidence"] for b in shown],
        "lines": {label: accuracy},
        "counts": [b["count"] for b in shown],
        "kind": kind,
        "remark": remark,
    }
    if intervals:
        ends = [wilson(round(b["accuracy"] * b["count"]), b["count"]) for b in shown]
        panel["bands"] = {label: {"low": [e.low for e in ends], "high": [e.high for e in ends]}}
    return panel


def _bins_of(confidence: Array, bins: int) -> NDArray[np.int_]:
    return np.asarray(np.minimum((confidence * bins).astype(int), bins - 1))


def _unit_vectors(outcomes: Array, confidence: Array) -> tuple[Array, Array]:
    outcomes, confidence = (np.asarray(v, np.float64) for v in (outcomes, confidence))
    if outcomes.ndim != 1 or outcomes.shape != confidence.shape or len(outcomes) == 0:
        raise InvalidInputError(
            f"outcomes {outcomes.shape} and confidence {confidence.shape} must be vectors of one length"
        )
    if not all(((v >= 0) & (v <= 1)).all() for v in (outcomes, confidence)):
        raise InvalidInputError("outcomes and confidence must lie in [0, 1]")
    return outcomes, confidence
