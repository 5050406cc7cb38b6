"""Tables of a result, as text in cells: the report's page and Markdown show the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uec_retriever.evaluation.report_page.method_tables import method_tables
from uec_retriever.evaluation.report_page.place import is_number
from uec_retriever.evaluation.report_page.result_files import MAIN_METRIC, Result, reliability, studies
from uec_retriever.evaluation.report_page.scaling import scaling_tables
from uec_retriever.evaluation.report_page.table import Entry, Row, Table, entry, number, star_note

_UAE_METRICS = ("Hit@1", "Recall@1", "MAP", "nDCG@10", "Token F1")
_SCOPES = {"corpus": "over the whole corpus", "group": "inside each question's group"}


def tables(result: Result) -> list[Table]:
    """All tables of a result, the main one first."""
    found: list[Table] = []
    if result.kind in MAIN_METRIC:
        found += method_tables(result)
    if result.kind == "uae":
        found += _uae_tables(result)
    if result.kind == "scaling":
        found += scaling_tables(result)
    found += _reliability_tables(result)
    if result.kind == "calibration":
        found += _figure_tables(result)
    for given in result.content.get("tables", ()):
        rows = tuple(Row(number(r[0]), tuple(Entry(number(v)) for v in r[1:])) for r in given["rows"])
        heads = tuple(map(str, given["columns"]))
        notes = (str(given["note"]),) if given.get("note") else ()
        found.append(Table(str(given["name"]), str(given["title"]), heads, rows, notes))
    return found


def _reliability_tables(result: Result) -> list[Table]:
    rows = []
    heads: dict[str, None] = {}
    groups = reliability(result)
    for _, group in groups:
        heads.update({k: None for one in group.values() for k, v in one.items() if _shown(v)})
    for title, group in groups:
        for label, one in group.items():
            cells = tuple(_figure(one.get(k)) for k in heads)
            rows.append(Row(f"{title}: {label}" if title else label, cells))
    return [Table("calibration", "Calibration", ("score", *heads), tuple(rows))] if rows and heads else []


def _figure_tables(result: Result) -> list[Table]:
    """What else a calibration measured on its sets: label -> figures, or a figure with its interval."""
    sets: Mapping[str, Any] = result.content.get("sets") or {}
    parts = [one for one in sets.values() if isinstance(one, Mapping)]
    found = []
    for key in dict.fromkeys(k for one in parts for k in one if k not in ("reliability", "chosen")):
        lines: dict[str, Mapping[str, Any]] = {}
        for name, one in sets.items():
            group = one.get(key)
            for label, value in group.items() if isinstance(group, Mapping) else ():
                if _shown(value):
                    lines[f"{name}: {label}"] = {key: value}
                elif isinstance(value, Mapping) and "bins" not in value:
                    lines[f"{name}: {label}"] = {k: v for k, v in value.items() if _shown(v)}
        heads = list(dict.fromkeys(k for line in lines.values() for k in line))
        rows = tuple(Row(n, tuple(_figure(line.get(h)) for h in heads)) for n, line in lines.items())
        if heads:
            title = key[:1].upper() + key[1:]
            found.append(Table(key.replace(" ", "-"), title, ("", *heads), rows))
    return found


def _shown(value: object) -> bool:
    return value is None or is_number(value) or (isinstance(value, Mapping) and is_number(value.get("mean")))


def _figure(value: Any) -> Entry:
    return entry(value) if isinstance(value, Mapping) else Entry(number(value))


def _uae_tables(result: Result) -> list[Table]:
    found = []
    for title, study in studies(result):
        for scope, systems in study["scopes"].items():
            names = [m for m in _UAE_METRICS if all(m in s for s in systems.values())]
            rows = []
            for label, system in systems.items():
                cells = [entry(system[m]) for m in names] + [Entry(number(system.get("milliseconds"), 1))]
                rows.append(Row(label, tuple(cells)))
            name = f"{title} {scope}".lower().replace(",", "").replace(" ", "-")
            heading = f"{title}, {_SCOPES.get(scope, scope)}"
            heads = ("system", *names, "ms per query")
            found.append(Table(name, heading, heads, tuple(rows), (star_note(str(study["baseline"])),)))
    return found
