"""AUROC of signals over questions that were searched with and without their evidence, and the tables of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import SEED
from benchmarks.confidence_ablation import area
from uec_retriever.evaluation.bootstrap import interval, resample

DRAWS = 1000
OUTCOMES = {"mixed": "AUROC, evidence among the first k", "there": "AUROC, evidence in the index"}
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals of n questions, each searched twice.

    Attributes:
        values: name -> `[2, n]`, with the evidence and without; the first one is what others are compared with.
        hits: `[n]` whether the former search had it among the first k.
    """

    values: Mapping[str, Floats]
    hits: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Areas:
    """AUROC of S signals, for both `OUTCOMES`.

    Attributes:
        names: S of them.
        values: `[S, 2]`.
        draws: `[D, S, 2]` of questions drawn with replacement; NaN where a draw has no value.
    """

    names: tuple[str, ...]
    values: Floats
    draws: Floats

    @property
    def gains(self) -> tuple[Floats, Floats]:
        """`[S, 2]` and `[D, S, 2]`: the first signal less each."""
        return self.values[:1] - self.values, self.draws[:, :1] - self.draws

    def among(self, names: Sequence[str]) -> Areas:
        """Some of the signals."""
        rows = [self.names.index(name) for name in names]
        return Areas(tuple(names), self.values[rows], self.draws[:, rows])


def measure(signals: Signals) -> Areas:
    """AUROC of every signal on one set."""
    number, every = len(signals.hits), list(signals.values.values())

    def areas(rows: NDArray[np.int_]) -> Floats:
        hits, there = signals.hits[rows], np.ones(len(rows), bool)
        labels = [np.concatenate([one, np.zeros(len(rows), bool)]) for one in (hits, there)]
        return np.array([[area(each, values[:, rows].ravel()) for each in labels] for values in every])

    draws = resample(areas, number, SEED, DRAWS)
    return Areas(tuple(signals.values), areas(np.arange(number)), draws)


def average(parts: Sequence[Areas]) -> Areas:
    """Means over sets, of the signals that all of them have."""
    names = [name for name in parts[0].names if all(name in part.names for part in parts)]
    same = [part.among(names) for part in parts]
    values = np.mean([part.values for part in same], axis=0)
    return Areas(tuple(names), values, np.mean([part.draws for part in same], axis=0))


def describe(areas: Areas) -> dict[str, Any]:
    """Signal -> outcome -> AUROC, and the first signal less it, each with the ends of its interval."""
    gains, gain_draws = areas.gains
    return {
        name: {
            outcome: {
                "auroc": _ends(areas.values[row, column], areas.draws[:, row, column]),
                "gain": _ends(gains[row, column], gain_draws[:, row, column]),
            }
            for column, outcome in enumerate(OUTCOMES)
        }
        for row, name in enumerate(areas.names)
    }


def _ends(value: float, draws: Floats) -> list[float]:
    found = interval(value, draws)
    return [found.mean, found.low, found.high]


def areas_table(measured: Mapping[str, Areas]) -> dict[str, Any]:
    """A table of a result file: every set, and the means over sets."""
    parts = dict(measured)
    if len(parts) > 1:
        parts["mean"] = average(list(measured.values()))
    rows = []
    for name, areas in parts.items():
        gains, gain_draws = areas.gains
        for row, signal in enumerate(areas.names):
            cells = [f"{name}: {signal}"]
            for column in range(len(OUTCOMES)):
                own = interval(areas.values[row, column], areas.draws[:, row, column])
                gain = interval(gains[row, column], gain_draws[:, row, column])
                cells.append(f"{own.mean:.3f} [{own.low:.3f}, {own.high:.3f}]")
                cells.append(f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" if row else "-")
            rows.append(cells)
    first = next(iter(measured.values())).names[0]
    return {
        "name": "areas",
        "title": "Which questions have their evidence: confidence, and a language model of its own answer",
        "columns": ["set: signal", *(c for title in OUTCOMES.values() for c in (title, "ours less it"))],
        "rows": rows,
        "note": f"ours: {first}; [...]: 95 % paired bootstrap interval over questions; each set counts alike",
    }


def cost_table(milliseconds: Mapping[str, float]) -> dict[str, Any]:
    """A table of a result file: processor time of a question.

    Args:
        milliseconds: stage -> median.
    """
    answer = milliseconds["LLM, answer"]
    return {
        "name": "cost",
        "title": "Processor time of a question, medians",
        "columns": ["", "ms", "share of the LLM's answer"],
        "rows": [[stage, f"{value:.2f}", f"{value / answer:.5f}"] for stage, value in milliseconds.items()],
        "note": "search: with its confidence; confidence: its own share, from scores to the probability",
    }
