"""Tables of results that only the benchmarks write: labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from uec_retriever.evaluation.report_page.tables import NOTHING, Entry, Row, Table, number

Content = Mapping[str, Any]


def labels(content: Content) -> list[Table]:
    """Speed, cheaper numbers and definitions of utility, set by set."""
    found = []
    for name, parts in content["sets"].items():
        if speed := parts.get("speed"):
            title = f"{name}: labelling {speed['pairs']} pairs of {speed['passages']} passages"
            found.append(_table(f"{name}-speed", title, "way", _columns(speed["ways"]), speed["ways"]))
        if precision := parts.get("precision"):
            rows = precision["variants"]
            title = (
                f"{name}: cheaper numbers against float32 (gold first {precision['float32_gold_first']:.3f})"
            )
            found.append(_table(f"{name}-precision", title, "numbers", _columns(rows), rows))
        if noise := parts.get("noise"):
            rows = noise["variants"]
            chance = next(iter(rows.values()))["chance"]
            title = (
                f"{name}: definitions of utility, {noise['questions']} questions, {noise['pairs']} pairs, "
                f"gold first by chance {chance:.3f}"
            )
            columns = [c for c in _columns(rows) if c != "chance"]
            found.append(_table(f"{name}-noise", title, "utility", columns, rows))
    return found


# file -> its tables
OWN_TABLES: dict[str, Callable[[Content], list[Table]]] = {
    "labels": labels,
    "labels_noise": labels,
    "labels_precision": labels,
}


def _columns(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(next(iter(rows.values())))


def _table(
    name: str,
    title: str,
    first: str,
    columns: list[str],
    rows: Mapping[str, Mapping[str, Any]],
) -> Table:
    def cell(column: str, value: Any) -> Entry:
        if isinstance(value, float) and "difference" in column:
            return Entry(f"{value:.1e}")
        return Entry(NOTHING if value is None else number(value))

    shown = tuple(Row(label, tuple(cell(c, row.get(c)) for c in columns)) for label, row in rows.items())
    return Table(name, title, (first, *(c.replace("_", " ") for c in columns)), shown)
