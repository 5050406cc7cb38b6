"""Tables of a result, as text in cells: the report's page and Markdown show the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uec_retriever.evaluation.report_page.results import Cell, Result, is_clear, is_number

NOTHING = "–"
_UAE_METRICS = ("Hit@1", "Recall@1", "MAP", "nDCG@10", "Token F1")
_SCOPES = {"corpus": "over the whole corpus", "group": "inside each question's group"}


@dataclass(frozen=True)
class Entry:
    """A cell as it is shown.

    Attributes:
        text: a number, usually.
        interval: `[low, high]`, or empty.
        clear: whether the paired interval of the difference to the baseline leaves out 0.
        best: whether it is the highest of its column, upper bounds aside.
    """

    text: str = NOTHING
    interval: str = ""
    clear: bool = False
    best: bool = False

    def __str__(self) -> str:
        return f"{self.text}{'*' if self.clear else ''}{f' {self.interval}' if self.interval else ''}"


@dataclass(frozen=True)
class Row:
    """A line of a table: its label, its cells, the kind of method (for its colour; empty for none)."""

    label: str
    entries: tuple[Entry, ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: for markers in Markdown, unique in a result.
        title: of the table.
        columns: headings; the first is that of the rows' labels.
        rows: each with one cell fewer than there are columns.
        notes: what the signs in it mean.
        minor: whether the page folds it away.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    minor: bool = False


def tables(result: Result) -> list[Table]:
    """All tables of a result, the main one first; none that would be empty."""
    found = _method_tables(result) if result.metric else []
    if result.kind == "uae":
        found += _uae_tables(result)
    for given in result.content.get("tables", ()):
        rows = tuple(Row(number(r[0]), tuple(map(entry, r[1:]))) for r in given["rows"])
        notes = (str(given["note"]),) if given.get("note") else ()
        heads = tuple(map(str, given["columns"]))
        minor = bool(given.get("minor"))
        found.append(Table(str(given["name"]), str(given["title"]), heads, rows, notes, minor))
    return [table for table in found if table.rows]


def number(value: Any, digits: int = 3) -> str:
    """A value for people: floats rounded, what is not there or not finite as a dash."""
    if isinstance(value, str | bool):
        return str(value)
    if not is_number(value):
        return NOTHING
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def interval(cell: Mapping[str, Any], sign: str = "", digits: int = 3) -> str:
    """The interval of a cell or difference; empty if it has none.

    Args:
        cell: with `low` and `high`.
        sign: format of the sign, `+z` for differences.
        digits: after the point.
    """
    if not (is_number(cell.get("low")) and is_number(cell.get("high"))):
        return ""
    return f"[{cell['low']:{sign}.{digits}f}, {cell['high']:{sign}.{digits}f}]"


def entry(value: Any, best: bool = False) -> Entry:
    """A cell with its interval, or a bare number."""
    if isinstance(value, Mapping):
        return Entry(number(float(value["mean"])), interval(value), is_clear(value), best)
    return Entry(number(value))


def star_note(baseline: str) -> str:
    """What `*` means."""
    return f"* the paired 95 % interval of the difference to {baseline} leaves out 0"


def _method_tables(result: Result) -> list[Table]:
    """Of a result with methods on sets: retrieval, STS or classification."""
    main, *others = result.metrics
    return [
        _metric_table(result, main, f"{main} by method and set"),
        _ablation_table(result, main),
        _coefficient_table(result),
        _abstention_table(result),
        _scalar_table(result),
        _out_of_scope_table(result),
        _sets_table(result),
        *(_metric_table(result, metric, metric, minor=True) for metric in others),
    ]


def _metric_table(result: Result, metric: str, title: str, minor: bool = False) -> Table:
    columns = result.columns(metric)
    tops = {
        name: max((c["mean"] for m, c in cells.items() if result.methods[m] != "oracle"), default=None)
        for name, cells in columns.items()
    }
    rows = []
    for label, kind in result.methods.items():
        found = [(tops[name], cells.get(label)) for name, cells in columns.items()]
        entries = (entry(c, kind != "oracle" and c is not None and c["mean"] == top) for top, c in found)
        rows.append(Row(label, tuple(entries), kind))
    notes = (star_note(result.baseline),) if result.baseline else ()
    return Table(metric_name(metric), title, ("method", *columns), tuple(rows), notes, minor)


def metric_name(metric: str) -> str:
    """A metric in names of tables and files: `nDCG@10` is `ndcg10`."""
    return metric.lower().replace("@", "")


def _ablation_table(result: Result, metric: str) -> Table:
    columns = result.columns(metric)

    def difference(cell: Cell | None) -> Entry:
        found = (cell or {}).get("difference")
        if not found:
            return Entry()
        return Entry(f"{found['mean']:+z.4f}", interval(found, "+z", 4), is_clear(cell))

    rows = tuple(
        Row(
            label, tuple(difference(c.get(label)) for c in columns.values()), "ablation" if without else "uec"
        )
        for label, without in result.ablations.items()
    )
    title = f"What each part does: difference of {metric} to {result.baseline}"
    notes = ("* the paired 95 % interval leaves out 0",)
    return Table("ablation", title, ("method", *columns), rows if result.baseline else (), notes)


def _coefficient_table(result: Result) -> Table:
    rows = []
    for label, held in coefficients(result).items():
        for expert in dict.fromkeys(e for weights in held.values() for e in weights):
            cells = (Entry(number(held.get(name, {}).get(expert), 2)) for name in result.sets)
            rows.append(Row(f"{label}: {expert}", tuple(cells), "uec"))
    title = "Mean coefficients of the experts, by the set that queries are from"
    return Table("coefficients", title, ("expert", *result.sets), tuple(rows))


def coefficients(result: Result) -> dict[str, dict[str, Mapping[str, float]]]:
    """UEC method -> set -> expert -> mean coefficient."""
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for label in (m for m, kind in result.methods.items() if kind == "uec"):
        for name, one in result.sets.items():
            if weights := one["methods"].get(label, {}).get("coefficients"):
                found.setdefault(label, {})[name] = weights
    return found


def _abstention_table(result: Result) -> Table:
    rows = []
    for measure in ("nAUC", "AUC@10"):
        for label, kind in result.methods.items():
            held = [(one.get("abstention") or {}).get(label, {}) for one in result.sets.values()]
            if any(measure in signal for signal in held):
                cells = tuple(Entry(number(signal.get(measure))) for signal in held)
                rows.append(Row(f"{measure}: {label}", cells, kind))
    note = "nAUC: 0 if leaving out the least confident queries helps no more than leaving out any, 1 for the best order (MTEB)"
    heads = ("method", *result.sets)
    return Table("abstention", "Abstention by the score of the best hit", heads, tuple(rows), (note,))


def _scalar_table(result: Result) -> Table:
    """Figures of methods that come without an interval, such as macro F1."""
    rows = []
    for label, kind in result.methods.items():
        held = [one["methods"].get(label, {}) for one in result.sets.values()]
        names = dict.fromkeys(k for method in held for k, v in method.items() if is_number(v))
        rows += [Row(f"{n}: {label}", tuple(Entry(number(m.get(n))) for m in held), kind) for n in names]
    rows.sort(key=lambda row: row.label.partition(":")[0])
    return Table("more", "Further figures", ("figure", *result.sets), tuple(rows))


def _out_of_scope_table(result: Result) -> Table:
    found = {n: one["out_of_scope"] for n, one in result.sets.items() if one.get("out_of_scope")}
    rows = []
    for signal in dict.fromkeys(s for signals in found.values() for s in signals):
        held = [signals.get(signal) or {} for signals in found.values()]
        rows.append(Row(signal, tuple(Entry(number(h.get("AUROC")), interval(h)) for h in held)))
    title = "Out-of-scope detection, AUROC by signal"
    return Table("out-of-scope", title, ("signal", *found), tuple(rows))


def _sets_table(result: Result) -> Table:
    facts = dict.fromkeys(
        k for one in result.sets.values() for k, v in one.items() if isinstance(v, str) or is_number(v)
    )
    rows = tuple(Row(n, tuple(Entry(number(one.get(f))) for f in facts)) for n, one in result.sets.items())
    return Table("sets", "Sets", ("set", *facts), rows, minor=True)


def _uae_tables(result: Result) -> list[Table]:
    found = []
    for title, study in result.studies:
        for scope, systems in study["scopes"].items():
            names = [m for m in _UAE_METRICS if all(m in s for s in systems.values())]
            rows = [
                Row(label, (*(entry(s[m]) for m in names), Entry(number(s.get("milliseconds"), 1))))
                for label, s in systems.items()
            ]
            name = f"{title} {scope}".lower().replace(",", "").replace(" ", "-")
            heading, heads = f"{title}, {_SCOPES.get(scope, scope)}", ("system", *names, "ms per query")
            found.append(Table(name, heading, heads, tuple(rows), (star_note(str(study["baseline"])),)))
    return found
