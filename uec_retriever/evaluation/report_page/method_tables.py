"""Tables of methods side by side on sets."""

from __future__ import annotations

from uec_retriever.evaluation.report_page import side_by_side
from uec_retriever.evaluation.report_page.place import is_number
from uec_retriever.evaluation.report_page.result_files import MAIN_METRIC, Result
from uec_retriever.evaluation.report_page.table import Entry, Row, Table, entry, interval, number, star_note


def method_tables(result: Result) -> list[Table]:
    """Of a result with methods on sets: retrieval, STS or classification."""
    main = MAIN_METRIC[result.kind]
    title = f"{main} by method and set"
    found = [_metric_table(result, main, main.lower().replace("@", ""), title)]
    found += _ablation_table(result, main)
    found += _coefficient_table(result)
    found += _abstention_table(result)
    found += _scalar_table(result)
    found += _out_of_scope_table(result)
    found.append(_sets_table(result))
    for metric in side_by_side.metrics(result)[1:]:
        found.append(_metric_table(result, metric, metric.lower().replace("@", ""), metric, minor=True))
    return found


def _metric_table(result: Result, metric: str, name: str, title: str, minor: bool = False) -> Table:
    columns = side_by_side.columns(result, metric)
    rows = []
    labels = side_by_side.kinds(result)
    tops = {
        name: max((c["mean"] for m, c in cells.items() if labels[m] != "oracle"), default=None)
        for name, cells in columns.items()
    }
    for label, kind in labels.items():
        cells = [
            entry(
                column.get(label),
                kind != "oracle" and label in column and column[label]["mean"] == tops[name],
            )
            for name, column in columns.items()
        ]
        rows.append(Row(label, tuple(cells), kind))
    reference = side_by_side.baseline(result)
    notes = (star_note(reference),) if reference else ()
    return Table(name, title, ("method", *columns), tuple(rows), notes, minor)


def _ablation_table(result: Result, metric: str) -> list[Table]:
    columns = side_by_side.columns(result, metric)
    reference = side_by_side.baseline(result)
    rows = []
    for labels in side_by_side.ablations(result).values():
        for label, without in labels.items():
            cells = []
            for column in columns.values():
                difference = (column.get(label) or {}).get("difference")
                clear = difference is not None and side_by_side.is_clear(column[label])
                cells.append(
                    Entry(f"{difference['mean']:+z.4f}", interval(difference, "+z", 4), clear)
                    if difference
                    else Entry()
                )
            rows.append(Row(label, tuple(cells), "ablation" if without else "uec"))
    if not rows or reference is None:
        return []
    heads = ("method", *columns)
    title = f"What each part does: difference of {metric} to {reference}"
    return [Table("ablation", title, heads, tuple(rows), ("* the paired 95 % interval leaves out 0",))]


def _coefficient_table(result: Result) -> list[Table]:
    sets = result.content["sets"]
    rows = []
    for label, kind in side_by_side.kinds(result).items():
        held = [one["methods"].get(label, {}).get("coefficients") or {} for one in sets.values()]
        if kind == "uec" and any(held):
            experts = dict.fromkeys(e for coefficients in held for e in coefficients)
            rows += [
                Row(f"{label}: {e}", tuple(Entry(number(c.get(e), 2)) for c in held), "uec") for e in experts
            ]
    title = "Mean coefficients of the experts, by the set that queries are from"
    return [Table("coefficients", title, ("expert", *sets), tuple(rows))] if rows else []


def _abstention_table(result: Result) -> list[Table]:
    sets = result.content["sets"]
    rows = []
    for measure in ("nAUC", "AUC@10"):
        for label, kind in side_by_side.kinds(result).items():
            held = [(one.get("abstention") or {}).get(label, {}) for one in sets.values()]
            if any(measure in signal for signal in held):
                cells = tuple(Entry(number(signal.get(measure))) for signal in held)
                rows.append(Row(f"{measure}: {label}", cells, kind))
    title = "Abstention by the score of the best hit"
    note = "nAUC: 0 if leaving out the least confident queries helps no more than leaving out any, 1 for the best order (MTEB)"
    return [Table("abstention", title, ("method", *sets), tuple(rows), (note,))] if rows else []


def _scalar_table(result: Result) -> list[Table]:
    """Figures of methods that come without an interval, such as macro F1."""
    sets = result.content["sets"]
    rows = []
    for label, kind in side_by_side.kinds(result).items():
        held = [one["methods"].get(label, {}) for one in sets.values()]
        names = dict.fromkeys(k for method in held for k, v in method.items() if is_number(v))
        rows += [Row(f"{n}: {label}", tuple(Entry(number(m.get(n))) for m in held), kind) for n in names]
    rows.sort(key=lambda row: row.label.partition(":")[0])
    return [Table("more", "Further figures", ("figure", *sets), tuple(rows))] if rows else []


def _out_of_scope_table(result: Result) -> list[Table]:
    found = {n: one["out_of_scope"] for n, one in result.content["sets"].items() if one.get("out_of_scope")}
    rows = []
    for signal in dict.fromkeys(s for signals in found.values() for s in signals):
        cells = []
        for signals in found.values():
            held = signals.get(signal) or {}
            cells.append(Entry(number(held.get("AUROC")), interval(held)))
        rows.append(Row(signal, tuple(cells)))
    title = "Out-of-scope detection, AUROC by signal"
    return [Table("out-of-scope", title, ("signal", *found), tuple(rows))] if rows else []


def _sets_table(result: Result) -> Table:
    sets = result.content["sets"]
    skipped = ("methods", "stages", "abstention", "out_of_scope", "reliability")
    facts = dict.fromkeys(
        k
        for one in sets.values()
        for k, v in one.items()
        if k not in skipped and (isinstance(v, str) or is_number(v))
    )
    rows = tuple(Row(n, tuple(Entry(number(one.get(f))) for f in facts)) for n, one in sets.items())
    return Table("sets", "Sets", ("set", *facts), rows, minor=True)
