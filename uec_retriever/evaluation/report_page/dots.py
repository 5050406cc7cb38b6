"""Dots with intervals for methods on sets, and bars for what each part of UEC does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uec_retriever.evaluation.report_page import side_by_side
from uec_retriever.evaluation.report_page.looks import (
    MARKERS,
    Drawing,
    Theme,
    legend,
    panels,
    plain,
    short_numbers,
    title,
)
from uec_retriever.evaluation.report_page.result_files import MAIN_METRIC, Result
from uec_retriever.evaluation.report_page.side_by_side import Cell

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.235  # inches for a method


def dots(result: Result) -> Drawing:
    """The main metric of each method on each set, with 95 % intervals, ablations aside."""
    metric = MAIN_METRIC[result.kind]
    kinds = side_by_side.kinds(result)
    shown = [m for m, kind in kinds.items() if kind != "ablation"] or list(kinds)
    order = sorted(
        shown, key=lambda m: (kinds[m] == "oracle", side_by_side.average(result, m, metric))
    )  # from below
    columns = side_by_side.columns(result, metric)
    reference = side_by_side.baseline(result)
    best = next((m for m in reversed(order) if kinds[m] != "oracle"), order[-1])
    where = f"{len(result.content['sets'])} set{'s' * (len(result.content['sets']) > 1)}"
    alt = f"{metric} of {len(order)} methods on {where}, with 95 % intervals. Highest mean: {best}, {side_by_side.average(result, best, metric):.3f}"
    if reference:
        alt += f"; the baseline {reference} has {side_by_side.average(result, reference, metric):.3f}"
    note = (
        "Sorted by the mean over sets; upper bounds, which see the right answers, on top."
        if "oracle" in kinds.values()
        else "Sorted by the mean over sets."
    )
    if reference:
        note += f" The dashed line is the baseline, {reference}. Filled: the paired 95 % interval of the difference to it leaves out 0; hollow: it does not, or there is none."

    def draw(theme: Theme) -> Figure:
        height = 0.55 + _ROW * len(order)
        figure, axes = panels(
            len(columns), theme, width=_width(len(columns)), height=height, left=1.9, top=0.35, share=True
        )
        for one, (name, cells) in zip(axes, columns.items(), strict=True):
            for row, label in enumerate(order):
                if label in cells:
                    _dot(one, row, cells[label], kinds[label], theme, filled=reference in (None, label))
            if reference in cells:
                one.axvline(cells[reference]["mean"], color=theme.muted, lw=1, ls=(0, (4, 3)), zorder=1)
            title(one, "mean over sets" if name == "mean" else name, theme)
            one.set_yticks(range(len(order)), [_label(m, reference) for m in order])
            one.set_ylim(-0.6, len(order) - 0.4)
            one.grid(axis="y", color=theme.grid, lw=0.8)
            short_numbers(one.xaxis, 4)
        _kind_legend(figure, [kinds[m] for m in shown], theme)
        return figure

    name = metric.lower().replace("@", "")
    return Drawing(name, f"{metric} by method and set", alt + ".", note, draw)


def ablation_bars(result: Result) -> Drawing | None:
    """Difference of UEC, whole and without its parts, to the baseline; None if there are none."""
    metric = MAIN_METRIC[result.kind]
    reference = side_by_side.baseline(result)
    rows = [m for labels in side_by_side.ablations(result).values() for m in labels][::-1]
    columns = {
        name: {m: c for m, c in cells.items() if m in rows and c.get("difference")}
        for name, cells in side_by_side.columns(result, metric).items()
    }
    columns = {name: cells for name, cells in columns.items() if cells}
    if not columns or reference is None:
        return None
    kinds = side_by_side.kinds(result)
    parts = []
    for name, cells in columns.items():
        top = max(cells, key=lambda m: cells[m]["difference"]["mean"])
        parts.append(f"{name}: {top} {cells[top]['difference']['mean']:+.3f}")
    alt = f"Difference of {metric} to {reference}, UEC whole and without its parts; highest on each set: {'; '.join(parts)}."

    def draw(theme: Theme) -> Figure:
        height = 0.55 + 0.28 * len(rows)
        figure, axes = panels(
            len(columns), theme, width=_width(len(columns)), height=height, left=1.9, share=True
        )
        for one, (name, cells) in zip(axes, columns.items(), strict=True):
            for row, label in enumerate(rows):
                if label in cells:
                    _bar(one, row, cells[label]["difference"], theme, theme.kinds[kinds[label]])
            one.axvline(0, color=theme.muted, lw=1)
            title(one, "mean over sets" if name == "mean" else name, theme)
            one.set_yticks(range(len(rows)), [plain(m, 32) for m in rows])
            one.set_ylim(-0.6, len(rows) - 0.4)
            one.grid(axis="x", color=theme.grid, lw=0.8)
            one.locator_params(axis="x", nbins=4)
            one.xaxis.set_major_formatter(lambda value, _: f"{value:+.2g}" if value else "0")
        return figure

    note = f"Bars: difference to {reference} on the same queries; lines: its paired 95 % interval."
    return Drawing("ablation", "What each part of UEC does", alt, note, draw)


def _dot(axes: Axes, row: int, cell: Cell, kind: str, theme: Theme, *, filled: bool) -> None:
    colour = theme.kinds[kind]
    solid = filled or side_by_side.is_clear(cell)
    axes.plot([cell["low"], cell["high"]], [row, row], color=colour, lw=1.5, solid_capstyle="round", zorder=2)
    axes.plot(
        [cell["mean"]], [row], MARKERS[kind], ms=8 if kind == "oracle" else 5.5, mec=colour, mew=1.3,
        mfc=colour if solid else theme.surface, zorder=3,
    )  # fmt: skip


def _bar(axes: Axes, row: int, difference: Cell, theme: Theme, colour: str) -> None:
    axes.barh([row], [difference["mean"]], height=0.62, color=colour, zorder=2)
    limits = [difference["low"], difference["high"]]
    axes.plot(limits, [row, row], color=theme.ink, lw=1.3, solid_capstyle="round", zorder=3)


def _width(columns: int) -> float:
    """Of a panel, in inches: the fewer, the wider."""
    return max(1.95, 5.4 / columns)


def _label(method: str, reference: str | None) -> str:
    return plain(method, 30) + (" (baseline)" if method == reference else "")


def _kind_legend(figure: Figure, kinds: list[str], theme: Theme) -> None:
    from matplotlib.lines import Line2D

    order = [k for k in side_by_side.KIND_NAMES if k in kinds]
    entries: list[tuple[Artist, str]] = [
        (Line2D([], [], ls="", marker=MARKERS[k], ms=6, color=theme.kinds[k]), side_by_side.KIND_NAMES[k])
        for k in order
    ]
    legend(figure, entries, theme)
