"""The figures that a result has something for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from uec_retriever.evaluation.report_page.looks import Drawing
from uec_retriever.evaluation.report_page.plots import Line, bars, curves, dots, heat
from uec_retriever.evaluation.report_page.results import KIND_NAMES, Result
from uec_retriever.evaluation.report_page.tables import coefficients, metric_name

_MOST = 8  # curves or parts that a reader can tell apart
_STROKES = ("-", "--", ":", "-.")
_MARKS = "osD^vPX*"
_INTERVALS = "Filled: the paired 95 % interval of the difference to it leaves out 0; hollow: it does not, or there is none."
_COVERAGE_NOTE = "From right to left the queries with the lowest best score are left unanswered. The steeper the rise to the left, the better the score knows when it is wrong."
_TIME_NOTE = "Wall-clock seconds on the machine of the run. Embeddings that a cache held cost nothing here."


def figures(result: Result) -> list[Drawing]:
    """All of them, in the order of the page."""
    found: list[Drawing | None] = []
    if result.metric:
        found += [_methods(result, result.metric), _ablation(result, result.metric)]
        found += [_coefficients(result), _risk_coverage(result, result.metric)]
    if result.kind == "uae":
        found += _systems(result)
    found += _curves(result)
    if result.metric:
        found.append(_time(result))
    return [drawing for drawing in found if drawing is not None]


def _methods(result: Result, metric: str) -> Drawing:
    """The main metric of each method on each set, ablations aside."""
    kinds, reference = result.methods, result.baseline
    shown = [m for m, kind in kinds.items() if kind != "ablation"] or list(kinds)
    rows = sorted(shown, key=lambda m: (kinds[m] != "oracle", -result.average(m, metric)))
    best = next((m for m in rows if kinds[m] != "oracle"), rows[0])
    alt = f"{metric} of {len(rows)} methods on {', '.join(result.sets)}, with 95 % intervals. Highest mean: {best}, {result.average(best, metric):.3f}"
    note = "Sorted by the mean over sets"
    note += "; upper bounds, which see the right answers, on top." if "oracle" in kinds.values() else "."
    if reference:
        alt += f"; the baseline {reference} has {result.average(reference, metric):.3f}"
        note += f" The dashed line is the baseline, {reference}. {_INTERVALS}"
    draw = partial(
        dots, _with_headings(result, metric), rows, kinds, reference=reference or "", named=KIND_NAMES
    )
    return Drawing(metric_name(metric), f"{metric} by method and set", f"{alt}.", note, draw)


def _with_headings(result: Result, metric: str) -> dict[str, Mapping[str, Any]]:
    return {"mean over sets" if n == "mean" else n: c for n, c in result.columns(metric).items()}


def _ablation(result: Result, metric: str) -> Drawing | None:
    """Difference of UEC, whole and without its parts, to the baseline."""
    rows = result.ablations
    columns = {
        name: {m: cells[m]["difference"] for m in rows if cells.get(m, {}).get("difference")}
        for name, cells in _with_headings(result, metric).items()
    }
    columns = {name: cells for name, cells in columns.items() if cells}
    if not columns or result.baseline is None:
        return None
    tops = {name: max(cells, key=lambda m: cells[m]["mean"]) for name, cells in columns.items()}
    parts = "; ".join(f"{name}: {top} {columns[name][top]['mean']:+.3f}" for name, top in tops.items())
    alt = f"Difference of {metric} to {result.baseline}, UEC whole and without its parts; highest on each set: {parts}."
    note = f"Difference to {result.baseline} on the same queries, with its paired 95 % interval; filled: that leaves out 0."
    draw = partial(dots, columns, list(rows), result.methods)
    return Drawing("ablation", "What each part of UEC does", alt, note, draw)


def _coefficients(result: Result) -> Drawing | None:
    """Mean coefficients of each UEC method, experts against sets."""
    found = coefficients(result)
    if not found:
        return None
    sets = list(result.sets)
    experts = list(dict.fromkeys(e for held in found.values() for weights in held.values() for e in weights))
    maps = {
        label: [[held.get(name, {}).get(expert, float("nan")) for name in sets] for expert in experts]
        for label, held in found.items()
    }
    domains = [one.get("domain") for one in result.sets.values()]
    own = [(experts.index(d), column) for column, d in enumerate(domains) if d in experts]
    label, held = next(reversed(found.items()))
    tops = {name: max(weights, key=lambda e: weights[e]) for name, weights in held.items()}
    parts = "; ".join(f"{name}: {top} {held[name][top]:.2f}" for name, top in tops.items())
    alt = f"Mean coefficient of each expert on the queries of each set. Highest with {label}: {parts}."
    note = "Rows: experts. Columns: the set that the queries are from. A column sums to 1."
    note += " Outlined: the expert of that domain." if own else ""
    return Drawing("coefficients", "Whom UEC trusts", alt, note, partial(heat, maps, experts, sets, own))


def _risk_coverage(result: Result, metric: str) -> Drawing | None:
    """The main metric of the queries that are answered, against their share."""
    sets = {
        name: {m: s["curve"] for m, s in (one.get("abstention") or {}).items() if s.get("curve")}
        for name, one in result.sets.items()
    }
    kinds = {m: result.methods.get(m, "other") for found in sets.values() for m in found}
    order = ("uec", "ensemble", "fusion", "merged", "single", "other", "oracle", "ablation")
    labels = sorted(kinds, key=lambda m: (m != result.baseline, order.index(kinds[m])))[:_MOST]
    strokes: dict[str, str] = {}
    for label in reversed(labels):  # the last of a kind is drawn through
        alike = [m for m in strokes if kinds[m] == kinds[label]]
        strokes[label] = _STROKES[len(alike) % len(_STROKES)]

    def line(label: str, curve: Mapping[str, Any]) -> Line:
        width = 2.2 if kinds[label] == "uec" else 1.5
        return Line(curve["coverage"], curve[metric], kinds[label], strokes[label], width=width)

    panels = {
        name: {m: line(m, found[m]) for m in labels if m in found} for name, found in sets.items() if found
    }
    alt = f"{metric} of the most confident share of queries, by the score of the best hit, on {', '.join(panels)}, for {', '.join(labels)}."
    draw = partial(curves, panels, "share of queries answered", f"{metric} of these", legend=True)
    return Drawing("risk-coverage", "Risk and coverage", alt, _COVERAGE_NOTE, draw) if panels else None


def _systems(result: Result) -> Iterator[Drawing]:
    """Hit@1 and MAP of each system in each scope, one drawing for each study."""
    for index, (heading, study) in enumerate(result.studies, 1):
        scopes: Mapping[str, Mapping[str, Any]] = study["scopes"]
        reference = study["baseline"]
        rows = list(dict.fromkeys(label for systems in scopes.values() for label in systems))
        kinds = {m: "other" if m == reference else "ablation" if " + " in m else "ensemble" for m in rows}
        columns = {
            f"{metric}, {scope}": {label: system[metric] for label, system in systems.items()}
            for scope, systems in scopes.items()
            for metric in ("Hit@1", "MAP")
        }
        tops = {s: max(systems, key=lambda m: systems[m]["MAP"]["mean"]) for s, systems in scopes.items()}
        parts = "; ".join(f"{s}: {top} {scopes[s][top]['MAP']['mean']:.3f}" for s, top in tops.items())
        alt = (
            f"Hit@1 and MAP of {len(rows)} systems on {heading}. Highest MAP, {parts}; baseline {reference}."
        )
        note = f"Lines: 95 % intervals. Dashed: the baseline, {reference}. {_INTERVALS} Orange: with a re-ranker at query time."
        name = "systems" if len(result.studies) == 1 else f"systems-{index}"
        draw = partial(dots, columns, rows, kinds, reference=reference, across=2)
        yield Drawing(name, f"Systems on {heading}", alt, note, draw)


def _curves(result: Result) -> Iterator[Drawing]:
    """Curves that a result brings, such as time against size, or outcomes against confidence."""
    for given in result.content.get("curves") or ():
        labels = list(dict.fromkeys(m for panel in given["panels"].values() for m in panel["lines"]))
        panels, ends = {}, []
        for heading, one in given["panels"].items():
            total = sum(one.get("counts") or ()) or 1
            sizes = [18 + 260 * count / total for count in one["counts"]] if one.get("counts") else None
            panels[heading] = {
                m: Line(
                    one["x"],
                    y,
                    one["kind"] if one.get("kind") in KIND_NAMES else labels.index(m),
                    marker="" if sizes else _MARKS[labels.index(m) % len(_MARKS)],
                    sizes=sizes,
                    band=_band(one, m),
                )
                for m, y in one["lines"].items()
            }
            largest, size = max(y[-1] for y in one["lines"].values()), one["x"][-1]
            ends.append(f"{heading}: {one.get('remark') or f'{largest:.3g} at most at {size:.6g}'}")
        draw = partial(
            curves,
            panels,
            given.get("x", ""),
            given["y"],
            legend=any(len(lines) > 1 for lines in panels.values()),
            diagonal=bool(given.get("diagonal")),
            logarithmic=bool(given.get("logarithmic")),
            remarks={heading: one.get("remark", "") for heading, one in given["panels"].items()},
        )
        alt = f"{given['y']} against {given.get('x') or 'size'}. {'; '.join(ends)}."
        yield Drawing(given["name"], given["title"], alt, given.get("note", ""), draw)


def _band(panel: Mapping[str, Any], label: str) -> tuple[Sequence[float], Sequence[float]] | None:
    band = (panel.get("bands") or {}).get(label)
    return None if band is None else (band["low"], band["high"])


def _time(result: Result) -> Drawing | None:
    """Seconds of each stage, stacked, one bar for each set."""
    sets: dict[str, Mapping[str, float]] = {n: s["stages"] for n, s in result.sets.items() if s.get("stages")}
    totals: dict[str, float] = {}
    for stage, seconds in (item for stages in sets.values() for item in stages.items()):
        totals[stage] = totals.get(stage, 0) + seconds
    parts = list(totals)
    if len(parts) > _MOST:
        kept = sorted(totals, key=lambda s: -totals[s])[: _MOST - 1]
        parts = [*(s for s in totals if s in kept), "other stages"]
        sets = {n: {**s, parts[-1]: sum(v for k, v in s.items() if k not in kept)} for n, s in sets.items()}
    everything = sum(totals.values()) or 1
    shares = ", ".join(f"{stage} {seconds / everything:.0%}" for stage, seconds in totals.items())
    alt = f"Seconds by stage on {', '.join(sets)}; shares of all time: {shares}."
    draw = partial(bars, sets, parts, "seconds")
    return Drawing("time", "Time by stage", alt, _TIME_NOTE, draw) if sets else None
