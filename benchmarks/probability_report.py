"""Tables, curves and sentences on similarities as probabilities, in the form that `uec eval report` takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from uec_retriever.evaluation.reliability import RELIABILITY_NOTE, reliability_panel
from uec_retriever.evaluation.report_page.results import is_number
from uec_retriever.evaluation.report_page.tables import interval, number

_VARIANCE = "On the dashed line the variance is the squared error that it promises; a rising curve tells which errors are large, a flat one does not."
Group = Mapping[str, Mapping[str, Any]]  # label -> cell of `probability.calibration_cell`


def probability_report(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a result file holds beside the cells: `headline`, `tables` and `curves`.

    Args:
        sets: name -> what was measured, cells under `reliability`.
    """
    groups = {name: found["reliability"] for name, found in sets.items()}
    cells = {f"{name}: {label}": cell for name, group in groups.items() for label, cell in group.items()}
    curves = [c for i, (name, group) in enumerate(groups.items(), 1) for c in _curves(i, name, group)]
    return {
        "headline": [_headline(name, group) for name, group in groups.items()],
        "tables": [_table("calibration", "Calibration", "score", cells), *_further_tables(sets)],
        "curves": curves,
    }


def _curves(number_of_set: int, name: str, group: Group) -> Iterator[dict[str, Any]]:
    yield {
        "name": f"reliability-{number_of_set}",
        "title": f"Reliability, {name}",
        "note": RELIABILITY_NOTE,
        "x": "confidence",
        "y": "share that was right",
        "diagonal": True,
        "panels": {
            label: reliability_panel(label, cell["bins"], _kind(label), _remark(cell))
            for label, cell in group.items()
        },
    }
    distinct: dict[str, Any] = {}
    for label, cell in group.items():
        found = cell.get("variance bins") or []
        if len(found) > 1 and found not in distinct.values():
            distinct[label] = found
    if distinct:
        yield {
            "name": f"variance-{number_of_set}",
            "title": f"Does the variance tell the error, {name}?",
            "note": _VARIANCE,
            "x": "predicted variance",
            "y": "mean squared error",
            "diagonal": True,
            "panels": {
                label: {
                    "x": [b["variance"] for b in found],
                    "lines": {label: [b["squared error"] for b in found]},
                    "kind": _kind(label),
                }
                for label, found in distinct.items()
            },
        }


def _remark(cell: Mapping[str, Any]) -> str:
    return "   ".join(f"{k} {number(cell[k])}" for k in ("ECE", "Var-ECE") if cell.get(k) is not None)


def _kind(label: str) -> str:
    return "uec" if label.startswith("UEC") else "ensemble"


def _headline(name: str, group: Group) -> str:
    errors = {label: cell["ECE"] for label, cell in group.items()}
    low, high = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    ends = f"from {number(errors[low])} ({low}) to {number(errors[high])} ({high})"
    return f"ECE, {name}: {ends}, {len(errors)} readings."


def _further_tables(sets: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """What else was measured on the sets: label -> figures, or a figure with its interval."""
    for key in dict.fromkeys(k for one in sets.values() for k in one if k not in ("reliability", "chosen")):
        lines: dict[str, Mapping[str, Any]] = {}
        for name, one in sets.items():
            group = one.get(key)
            for label, value in group.items() if isinstance(group, Mapping) else ():
                if _is_figure(value):
                    lines[f"{name}: {label}"] = {key: value}
                elif isinstance(value, Mapping) and "Spearman" not in value:
                    lines[f"{name}: {label}"] = value
        if lines:
            yield _table(key.replace(" ", "-"), key[:1].upper() + key[1:], "", lines)


def _table(name: str, title: str, first: str, lines: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    heads = list(dict.fromkeys(k for line in lines.values() for k, v in line.items() if _is_figure(v)))
    rows = [[label, *(_show_value(line.get(h)) for h in heads)] for label, line in lines.items()]
    return {"name": name, "title": title, "columns": [first, *heads], "rows": rows}


def _is_figure(value: object) -> bool:
    return value is None or is_number(value) or (isinstance(value, Mapping) and is_number(value.get("mean")))


def _show_value(value: Any) -> Any:
    return f"{number(float(value['mean']))} {interval(value)}" if isinstance(value, Mapping) else value
