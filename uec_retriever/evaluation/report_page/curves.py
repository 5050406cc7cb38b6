"""Curves: reliability of scores as probabilities, and what leaving queries unanswered gains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uec_retriever.evaluation.report_page import side_by_side
from uec_retriever.evaluation.report_page.looks import (
    STROKES,
    Drawing,
    Theme,
    legend,
    panels,
    short_numbers,
    title,
)
from uec_retriever.evaluation.report_page.result_files import MAIN_METRIC, Result, reliability
from uec_retriever.evaluation.report_page.table import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_MOST_CURVES = 8


def reliability_diagrams(result: Result) -> list[Drawing]:
    """One for each group of scores."""
    kinds = side_by_side.kinds(result) if result.kind in MAIN_METRIC else {}
    found = []
    groups = reliability(result)
    for index, (heading, group) in enumerate(groups, 1):
        name = "reliability" if len(groups) == 1 else f"reliability-{index}"
        about = f"Reliability{f', {heading}' if heading else ''}"
        found.append(_reliability(name, about, group, kinds))
    return found


def risk_coverage(result: Result) -> Drawing | None:
    """nDCG@10 of the queries that are answered, against their share; None if the result has no curves."""
    sets = {
        name: {m: s["curve"] for m, s in (one.get("abstention") or {}).items() if s.get("curve")}
        for name, one in result.content["sets"].items()
    }
    sets = {name: curves for name, curves in sets.items() if curves}
    if not sets:
        return None
    kinds = side_by_side.kinds(result)
    labels = _drawn(sets, kinds, side_by_side.baseline(result))
    looks = {m: (kinds.get(m, "other"), _stroke(m, labels, kinds)) for m in labels}
    alt = f"nDCG@10 of the most confident share of queries, by the score of the best hit, on {', '.join(sets)}, for {', '.join(labels)}."

    def draw(theme: Theme) -> Figure:
        from matplotlib.lines import Line2D

        top = 0.2 + 0.22 * -(-len(labels) // 4)
        figure, axes = panels(len(sets), theme, width=2.5, height=2.3, top=top, left=0.3)
        for one, (name, curves) in zip(axes, sets.items(), strict=True):
            for label in (m for m in labels if m in curves):
                curve = curves[label]
                kind, stroke = looks[label]
                width = 2.2 if kind == "uec" else 1.5
                one.plot(curve["coverage"], curve["nDCG@10"], color=theme.kinds[kind], ls=stroke, lw=width)
            title(one, name, theme)
            one.set_xlim(0, 1)
            one.grid(color=theme.grid, lw=0.8)
            short_numbers(one.xaxis)
            short_numbers(one.yaxis)
            one.set_xlabel("share of queries answered", fontsize=9, color=theme.muted)
        axes[0].set_ylabel("nDCG@10 of these", fontsize=9, color=theme.muted)
        lines = [
            (Line2D([], [], color=theme.kinds[k], ls=s, lw=2.2 if k == "uec" else 1.5), m)
            for m, (k, s) in looks.items()
        ]
        legend(figure, lines, theme)
        return figure

    note = "From right to left the queries with the lowest best score are left unanswered. The steeper the rise to the left, the better the score knows when it is wrong."
    return Drawing("risk-coverage", "Risk and coverage", alt, note, draw)


def _drawn(
    sets: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, str], reference: str | None
) -> list[str]:
    """At most so many methods as a reader can tell apart: the baseline, UEC, and then the others."""
    found = dict.fromkeys(m for curves in sets.values() for m in curves)
    order = ("uec", "ensemble", "fusion", "merged", "single", "other", "oracle", "ablation")
    ranked = sorted(found, key=lambda m: (m != reference, order.index(kinds.get(m, "other"))))
    return ranked[:_MOST_CURVES]


def _stroke(label: str, labels: list[str], kinds: Mapping[str, str]) -> str:
    """Drawn through for the last of its kind."""
    alike = [m for m in reversed(labels) if kinds.get(m, "other") == kinds.get(label, "other")]
    return STROKES[alike.index(label) % len(STROKES)]


def _reliability(name: str, about: str, group: Mapping[str, Any], kinds: Mapping[str, str]) -> Drawing:
    figures = [f"{label}: ECE {number(one.get('ECE'))}" for label, one in group.items()]
    alt = f"{about}: share that was right against confidence, in bins. {'; '.join(figures)}."

    def draw(theme: Theme) -> Figure:
        figure, axes = panels(len(group), theme, width=2.5, height=2.75, left=0.3)
        for one, (label, entry) in zip(axes, group.items(), strict=True):
            _bins(one, entry["bins"], theme, theme.kinds[_kind(label, kinds)])
            title(one, label, theme)
            said = f"ECE {number(entry.get('ECE'))}"
            if entry.get("Var-ECE") is not None:
                said += f"   Var-ECE {number(entry['Var-ECE'])}"
            one.text(0.03, 0.97, said, transform=one.transAxes, fontsize=9, color=theme.muted, va="top")
            one.set_xlabel("confidence", fontsize=9, color=theme.muted)
        axes[0].set_ylabel("share that was right", fontsize=9, color=theme.muted)
        return figure

    note = "On the dashed line a score is a probability. Points: bins, the larger the more items they hold; upright lines: the gap. ECE: mean gap, weighted by items."
    return Drawing(name, about, alt, note, draw)


def variance_diagrams(result: Result) -> list[Drawing]:
    """Squared error against the variance that was predicted, one for each group that has such bins."""
    found = []
    for index, (heading, group) in enumerate(reliability(result), 1):
        distinct: dict[str, Any] = {}
        for label, one in group.items():
            bins = one.get("variance bins")
            if bins and len(bins) > 1 and bins not in distinct.values():
                distinct[label] = bins
        if distinct:
            found.append(_variances(f"variance-{index}", heading, distinct, result))
    return found


def _variances(name: str, heading: str, group: Mapping[str, Any], result: Result) -> Drawing:
    kinds = side_by_side.kinds(result) if result.kind in MAIN_METRIC else {}
    about = f"Does the variance tell the error{f', {heading}' if heading else ''}"
    alt = f"Mean squared error against predicted variance, in bins, for {', '.join(group)}."

    def draw(theme: Theme) -> Figure:
        figure, axes = panels(len(group), theme, width=2.5, height=2.6, left=0.3)
        for one, (label, bins) in zip(axes, group.items(), strict=True):
            x, y = [b["variance"] for b in bins], [b["squared error"] for b in bins]
            one.plot(x, y, "o-", color=theme.kinds[_kind(label, kinds)], lw=1.2, ms=5)
            ends = [min(*x, *y), max(*x, *y)]
            one.plot(ends, ends, color=theme.muted, lw=1, ls=(0, (4, 3)), zorder=1)
            one.grid(color=theme.grid, lw=0.8)
            short_numbers(one.xaxis, 4)
            short_numbers(one.yaxis)
            title(one, label, theme)
            one.set_xlabel("predicted variance", fontsize=9, color=theme.muted)
        axes[0].set_ylabel("mean squared error", fontsize=9, color=theme.muted)
        return figure

    note = "On the dashed line the variance is the squared error that it promises; a rising curve tells which errors are large, a flat one does not."
    return Drawing(name, f"{about}?", alt, note, draw)


def _kind(label: str, kinds: Mapping[str, str]) -> str:
    """Of the method that a label begins with."""
    fitting = [m for m in kinds if label == m or label.startswith(f"{m}, ")]
    if fitting:
        return kinds[max(fitting, key=len)]
    return "uec" if label.startswith("UEC") else "ensemble"


def _bins(axes: Axes, bins: list[Mapping[str, Any]], theme: Theme, colour: str) -> None:
    full = [b for b in bins if b["count"]]
    total = sum(b["count"] for b in full) or 1
    axes.plot([0, 1], [0, 1], color=theme.muted, lw=1, ls=(0, (4, 3)), zorder=1)
    x = [b["confidence"] for b in full]
    y = [b["accuracy"] for b in full]
    axes.vlines(x, x, y, color=colour, lw=1.2, alpha=0.6, zorder=2)
    axes.plot(x, y, color=colour, lw=1.2, zorder=3)
    axes.scatter(x, y, s=[18 + 260 * b["count"] / total for b in full], color=colour, zorder=4, alpha=0.9)
    axes.set_xlim(min([0, *x]) - 0.03, max([1, *x]) + 0.03)
    axes.set_ylim(min([0, *y]) - 0.03, max([1, *y]) + 0.12)
    axes.grid(color=theme.grid, lw=0.8)
    short_numbers(axes.xaxis)
    short_numbers(axes.yaxis)
