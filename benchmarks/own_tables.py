"""Tables of results that only the benchmarks write: labels, endurance, words."""

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


def endurance(content: Content) -> list[Table]:
    """Kills by kind, the full disk, and many processes on one index."""
    found = []
    if kills := content.get("kills"):
        kinds: Mapping[str, Mapping[str, float]] = kills["kinds"]
        columns = _columns(kinds)
        most = {
            "all": {c: (max if "longest" in c else sum)(row[c] for row in kinds.values()) for c in columns}
        }
        title = f"Kills of a process that works on an index of about {content['texts']:,} texts"
        found.append(_table("kills", title, "change in flight", columns, {**kinds, **most}))
    disk = content.get("disk")
    if disk and "steps" in disk:
        columns = [c for c in disk if c != "seconds"]
        found.append(_table("disk", "A full disk", "", columns, {"add, update, delete": disk}))
    crowds = {name: content[name] for name in ("embedded", "server") if name in content}
    if crowds:
        writers, deleters, readers = content["crowd"]
        title = f"{writers} writers, {deleters} deleters and {readers} readers on one index"
        columns = list(dict.fromkeys(c for row in crowds.values() for c in sorted(row)))
        rows = {
            name: {**row, "problems": sum(p.startswith(f"{name}:") for p in content["problems"])}
            for name, row in crowds.items()
        }
        found.append(_table("crowd", title, "", [*columns, "problems"], rows))
    return found


def words(content: Content) -> list[Table]:
    """What train queries choose for each ensemble, and the grids behind it."""
    found, chosen = [], {}
    for name, one in content["ensembles"].items():
        for part in ("by saturation", "by share"):
            title = f"{name} and words, nDCG@10 on train queries {part}"
            columns = list(dict.fromkeys(column for row in one[part].values() for column in row))
            found.append(_table(f"{name} {part}", title, "", columns, one[part]))
        gain = one["by variance"]["gain over constant"]
        chosen[name] = {
            "chosen constants": one["constant"]["setting"],
            "nDCG@10": one["constant"]["nDCG@10"],
            "left out": one["left out, constant"],
            "by variance": one["by variance"]["setting"],
            "its nDCG@10": one["by variance"]["nDCG@10"],
            "its left out": one["left out, by variance"],
            "gain": f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]",
        }
    joint = content["jointly"]
    title = f"All ensembles together choose {joint['setting']}; not clearly worse, nDCG@10 on train queries"
    alike = joint["not clearly worse"]
    tables = [_table("chosen", "Chosen on train queries", "ensemble", _columns(chosen), chosen)]
    if alike:
        tables.append(_table("alike", title, "setting", _columns(alike), alike))
    return [*tables, *found]


# file -> its tables
OWN_TABLES: dict[str, Callable[[Content], list[Table]]] = {
    "endurance": endurance,
    "labels": labels,
    "labels_noise": labels,
    "labels_precision": labels,
    "words": words,
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
