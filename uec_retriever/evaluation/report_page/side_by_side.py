"""Methods side by side: which there are, in which order, and their cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uec_retriever.evaluation.report_page.result_files import MAIN_METRIC, Result

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
Cell = Mapping[str, Any]


def kinds(result: Result) -> dict[str, str]:
    """Method -> its kind, in the order of kinds and then of the file."""
    found: dict[str, str] = {}
    for one in result.content["sets"].values():
        for label, method in one["methods"].items():
            kind = method.get("kind", "other")
            found.setdefault(label, kind if kind in KIND_NAMES else "other")
    order = list(KIND_NAMES)
    return dict(sorted(found.items(), key=lambda item: order.index(item[1])))


def metrics(result: Result) -> list[str]:
    """Metrics that have cells, the main one first."""
    main = MAIN_METRIC[result.kind]
    names = {main: None}
    for one in result.content["sets"].values():
        for method in one["methods"].values():
            held = method["metrics"] if result.kind == "retrieval" else method
            names.update({k: None for k, v in held.items() if isinstance(v, Mapping) and "mean" in v})
    return list(names)


def cell(result: Result, name: str, label: str, metric: str) -> Cell | None:
    """A method's cell on one set."""
    method = result.content["sets"][name]["methods"].get(label, {})
    held = method.get("metrics", {}) if result.kind == "retrieval" else method
    found = held.get(metric)
    return found if isinstance(found, Mapping) else None


def mean_cell(result: Result, label: str, metric: str) -> Cell | None:
    """A method's cell for the mean over all sets, if the result has one."""
    found = (result.content.get("mean") or {}).get(label, {}).get(metric)
    return found if isinstance(found, Mapping) and {"mean", "low", "high"} <= set(found) else None


def columns(result: Result, metric: str) -> dict[str, dict[str, Cell]]:
    """Set (or `mean`, first, where there are several) -> method -> cell."""
    labels = kinds(result)
    found: dict[str, dict[str, Cell]] = {}
    sets = result.content["sets"]
    means = {m: c for m in labels if (c := mean_cell(result, m, metric)) is not None}
    if means and len(sets) > 1:
        found["mean"] = means
    for name in sets:
        found[name] = {m: c for m in labels if (c := cell(result, name, m, metric)) is not None}
    return found


def average(result: Result, label: str, metric: str) -> float:
    """What methods are sorted by: the mean over sets, minus infinity for a method without a cell."""
    if (found := mean_cell(result, label, metric)) is not None:
        return float(found["mean"])
    cells = [cell(result, name, label, metric) for name in result.content["sets"]]
    values = [float(c["mean"]) for c in cells if c is not None]
    return sum(values) / len(values) if values else float("-inf")


def baseline(result: Result) -> str | None:
    """The method that differences are taken to."""
    found = result.content.get("baseline")
    return str(found) if found in kinds(result) else None


def is_clear(found: Cell) -> bool:
    """Whether the paired interval of a cell's difference leaves out 0."""
    difference = found.get("difference")
    return difference is not None and bool(difference["low"] > 0 or difference["high"] < 0)


def ablations(result: Result) -> dict[str, dict[str, str]]:
    """Whole method -> {label: what is left out}, the whole method (left out: nothing) first."""
    found: dict[str, dict[str, str]] = {}
    labels = kinds(result)
    for label, kind in labels.items():
        whole, _, without = label.partition(", ")
        if kind == "ablation" and whole in labels:
            found.setdefault(whole, {whole: ""})[label] = without
    return found
