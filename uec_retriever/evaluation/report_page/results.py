"""A result of `uec eval` or a benchmark: what methods, metrics and cells it holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# kind -> the metric of its first table and figure
MAIN_METRIC = {"retrieval": "nDCG@10", "sts": "Spearman", "classification": "accuracy"}
KINDS = (*MAIN_METRIC, "uae", "tables")
KIND_NAMES = {
    "single": "one expert",
    "ensemble": "ensemble",
    "fusion": "rank fusion",
    "merged": "merged parameters",
    "uec": "UEC",
    "ablation": "UEC without a part",
    "oracle": "upper bound (sees answers)",
    "other": "other",
}
INTERVAL = ("mean", "low", "high")
Cell = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Result:
    """A result that was checked: what tables and figures rely on is there.

    Attributes:
        name: of the file, for messages and headings.
        kind: one of `KINDS`.
        content: as in the file.
    """

    name: str
    kind: str
    content: Mapping[str, Any]

    @property
    def metric(self) -> str | None:
        """The main one of a result with methods side by side."""
        return MAIN_METRIC.get(self.kind)

    @property
    def sets(self) -> Mapping[str, Any]:
        """Name -> what was measured on it; empty for results without sets."""
        return self.content.get("sets") or {}

    @cached_property
    def methods(self) -> dict[str, str]:
        """Method -> its kind, in the order of `KIND_NAMES` and then of the file."""
        found: dict[str, str] = {}
        for one in self.sets.values() if self.metric else ():
            for label, method in one["methods"].items():
                kind = method.get("kind", "other")
                found.setdefault(label, kind if kind in KIND_NAMES else "other")
        return dict(sorted(found.items(), key=lambda item: list(KIND_NAMES).index(item[1])))

    @property
    def metrics(self) -> list[str]:
        """Metrics that have cells, the main one first."""
        names = {self.metric: None}
        for one in self.sets.values():
            for label in one["methods"]:
                held = self._held(one, label)
                names.update({k: None for k, v in held.items() if isinstance(v, Mapping) and "mean" in v})
        return [name for name in names if name]

    @property
    def baseline(self) -> str | None:
        """The method that differences are taken to."""
        found = self.content.get("baseline")
        return str(found) if found in self.methods else None

    @property
    def ablations(self) -> dict[str, str]:
        """UEC methods of which parts were left out, each followed by itself without them -> what is left out."""
        found: dict[str, dict[str, str]] = {}
        for label, kind in self.methods.items():
            whole, _, without = label.partition(", ")
            if kind == "ablation" and whole in self.methods:
                found.setdefault(whole, {whole: ""})[label] = without
        return {label: without for rows in found.values() for label, without in rows.items()}

    def columns(self, metric: str) -> dict[str, dict[str, Cell]]:
        """Set (and `mean` before them, where there are several) -> method -> cell."""
        found: dict[str, dict[str, Cell]] = {}
        if len(self.sets) > 1:
            found["mean"] = {m: c for m in self.methods if (c := self.mean_cell(m, metric))}
        for name, one in self.sets.items():
            cells = {m: self._held(one, m).get(metric) for m in self.methods}
            found[name] = {m: c for m, c in cells.items() if isinstance(c, Mapping)}
        return {name: cells for name, cells in found.items() if cells or name != "mean"}

    def mean_cell(self, label: str, metric: str) -> Cell | None:
        """A method's cell for the mean over all sets, if the result has one."""
        found = (self.content.get("mean") or {}).get(label, {}).get(metric)
        return found if isinstance(found, Mapping) and set(INTERVAL) <= set(found) else None

    def average(self, label: str, metric: str) -> float:
        """What methods are sorted by: the mean over sets, minus infinity for a method without a cell."""
        if (found := self.mean_cell(label, metric)) is not None:
            return float(found["mean"])
        cells = [self._held(one, label).get(metric) for one in self.sets.values()]
        values = [float(c["mean"]) for c in cells if isinstance(c, Mapping)]
        return sum(values) / len(values) if values else float("-inf")

    def _held(self, one: Mapping[str, Any], label: str) -> Mapping[str, Any]:
        method = one["methods"].get(label, {})
        found: Mapping[str, Any] = method.get("metrics", {}) if self.kind == "retrieval" else method
        return found

    @property
    def studies(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Title and content of each study in a UAE result: one of `uec eval uae`, or all of `benchmarks.uae`."""
        if "scopes" in self.content:
            return [(str(self.content.get("dataset", self.name)), self.content)]
        return list(self.content["results"].items())


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_clear(cell: Cell | None) -> bool:
    """Whether the paired interval of a cell's difference leaves out 0."""
    difference = (cell or {}).get("difference")
    return difference is not None and bool(difference["low"] > 0 or difference["high"] < 0)
