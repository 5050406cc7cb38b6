"""Four plots: dots with intervals, curves, a heat map, stacked bars."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uec_retriever.evaluation.report_page.looks import Theme
from uec_retriever.evaluation.report_page.results import is_clear

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_ACROSS = 4
_DASHES = (0, (4, 3))
MARKERS = {
    "single": "o", "ensemble": "s", "fusion": "^", "merged": "v",
    "uec": "D", "ablation": "d", "oracle": "*", "other": "o",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A curve: its points, colour (see `Theme.colour`), stroke, points of unequal size or none, and its interval."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str | int
    stroke: str = "-"
    marker: str = ""
    width: float = 1.5
    sizes: Sequence[float] | None = None
    band: tuple[Sequence[float], Sequence[float]] | None = None


def dots(
    columns: Mapping[str, Mapping[str, Mapping[str, Any]]],
    rows: Sequence[str],
    kinds: Mapping[str, str],
    theme: Theme,
    *,
    reference: str | None = None,
    named: Mapping[str, str] | None = None,
    across: int | None = None,
) -> Figure:
    """Means with their 95 % intervals, a panel for each column (heading -> label -> cell), the rows from above.

    A dashed line marks the reference's mean; what clearly differs from it is filled. If it is None, cells are differences:
    the line is 0, and what leaves it out is filled. `named` names the kinds in a legend.
    """
    width = max(1.95, 5.4 / min(len(columns), across or len(columns)))
    height = 0.55 + 0.235 * len(rows)
    figure, axes = _panels(
        list(columns), width, height, left=1.9, top=0.35 if named else 0, across=across, share=True
    )
    for one, cells in zip(axes, columns.values(), strict=True):
        for row, label in enumerate(reversed(rows)):
            if (cell := cells.get(label)) is None:
                continue
            kind, clear = (
                kinds[label],
                is_clear({"difference": cell}) if reference is None else is_clear(cell),
            )
            colour = theme.kinds[kind]
            one.plot([cell["low"], cell["high"]], [row, row], color=colour, lw=1.5)
            one.plot(
                [cell["mean"]], [row], MARKERS[kind], ms=8 if kind == "oracle" else 5.5, mec=colour, mew=1.3,
                mfc=colour if clear or label == reference else theme.surface, zorder=3,
            )  # fmt: skip
        at = 0.0 if reference is None else cells.get(reference, {}).get("mean")
        if at is not None:
            one.axvline(at, color=theme.muted, lw=1, ls=_DASHES, zorder=1)
        one.set_yticks(
            range(len(rows)), [plain(r, 30) + " (baseline)" * (r == reference) for r in reversed(rows)]
        )
        one.set_ylim(-0.6, len(rows) - 0.4)
        one.grid(False, axis="x")
        _few_ticks(one, "x", 4)
    if named:
        from matplotlib.lines import Line2D

        shown = [k for k in named if k in {kinds[r] for r in rows}]
        handles = [Line2D([], [], ls="", marker=MARKERS[k], ms=6, color=theme.kinds[k]) for k in shown]
        _legend(figure, handles, [named[k] for k in shown])
    return figure


def curves(
    panels: Mapping[str, Mapping[str, Line]],
    x: str,
    y: str,
    theme: Theme,
    *,
    legend: bool = False,
    diagonal: bool = False,
    logarithmic: bool = False,
    remarks: Mapping[str, str] | None = None,
) -> Figure:
    """Curves, `panels[heading][label]`.

    The diagonal marks where y is x; curves with sizes get upright lines to it, and thin
    ones for their intervals, which are shaded otherwise. `remarks[heading]` stand in a corner.
    """
    labels = {label: line for lines in panels.values() for label, line in lines.items()}
    top = 0.2 + 0.22 * -(-len(labels) // 4) if legend else 0
    figure, axes = _panels(list(panels), 2.9 if logarithmic else 2.5, 2.6, left=0.3, top=top)
    for one, (heading, lines) in zip(axes, panels.items(), strict=True):
        for line in lines.values():
            _draw(one, line, theme)
            if diagonal:
                ends = [0, 1] if line.sizes is not None else [min(*line.x, *line.y), max(*line.x, *line.y)]
                one.plot(ends, ends, color=theme.muted, lw=1, ls=_DASHES, zorder=1)
            if logarithmic:
                one.loglog()
                one.set_xticks(line.x, [f"{v:,}" for v in line.x], fontsize=8)
                one.minorticks_off()
                one.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        if not logarithmic:
            _few_ticks(one, "x")
            _few_ticks(one, "y")
        if remark := (remarks or {}).get(heading):
            one.margins(y=0.12)
            one.text(0.03, 0.99, remark, transform=one.transAxes, fontsize=9, color=theme.muted, va="top")
        one.set_xlabel(x)
    axes[0].set_ylabel(y)
    if legend:
        from matplotlib.lines import Line2D

        _legend(figure, [Line2D([], [], **_look(line, theme)) for line in labels.values()], list(labels))
    return figure


def _draw(axes: Axes, line: Line, theme: Theme) -> None:
    """A curve, and its interval."""
    look = _look(line, theme)
    axes.plot(line.x, line.y, **look)
    if line.sizes is not None:
        axes.scatter(line.x, line.y, s=line.sizes, color=look["color"], zorder=4, alpha=0.9)
        axes.vlines(line.x, line.x, line.y, color=look["color"], lw=1.2, alpha=0.6)
        if line.band is not None:
            axes.vlines(line.x, *line.band, color=theme.ink, lw=0.8, zorder=5)
    elif line.band is not None:
        axes.fill_between(line.x, *line.band, color=look["color"], alpha=0.15, lw=0)


def heat(
    maps: Mapping[str, Sequence[Sequence[float]]],
    rows: Sequence[str],
    columns: Sequence[str],
    outlined: Sequence[tuple[int, int]],
    theme: Theme,
) -> Figure:
    """Numbers in cells, `maps[heading][row][column]` (NaN for none), some of them outlined."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    ramp = LinearSegmentedColormap.from_list("ramp", list(theme.ramp))
    highest = max(float(np.nanmax(values)) for values in maps.values()) or 1.0
    stacked = len(columns) > 5
    height, width = 0.36 * len(rows) + 0.55, max(0.62 * len(columns), 2.6)
    figure, axes = _panels(
        list(maps), width, height, left=1.5, top=0.9, across=1 if stacked else None, share=not stacked
    )
    for one, values in zip(axes, maps.values(), strict=True):
        one.imshow(np.asarray(values, dtype=float), cmap=ramp, vmin=0, vmax=highest, aspect="auto")
        one.spines[:].set_visible(False)
        last = not stacked or one is axes[-1]
        one.set_xticks(
            range(len(columns)), [plain(c, 22) if last else "" for c in columns], rotation=35, ha="right"
        )
        one.set_yticks(range(len(rows)), [plain(r, 26) for r in rows])
        one.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
        one.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
        one.grid(False)
        one.grid(which="minor", color=theme.surface, lw=2)
        for row, column in np.argwhere(np.isfinite(np.asarray(values, dtype=float))).tolist():
            red, green, blue, _ = ramp(values[row][column] / highest)
            ink = "#14181d" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "#ffffff"
            one.text(
                column, row, f"{values[row][column]:.2f}", ha="center", va="center", fontsize=9, color=ink
            )
        for row, column in outlined:
            corner, edge = (column - 0.46, row - 0.46), theme.kinds["uec"]
            one.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=edge, lw=2.2, zorder=3))
    return figure


def bars(rows: dict[str, Mapping[str, float]], parts: Sequence[str], x: str, theme: Theme) -> Figure:
    """Stacked bars, a row each; what is in none of the parts is the last one, named as it is."""
    from matplotlib.patches import Patch

    figure, [axes] = _panels([""], 7, 0.6 + 0.36 * len(rows), left=1.2, top=0.3 + 0.22 * -(-len(parts) // 4))
    for row, values in enumerate(reversed(rows.values())):
        left = 0.0
        for number, part in enumerate(parts):
            size = values.get(part, 0.0)
            axes.barh(
                [row], [size], left=left, height=0.66, color=theme.colour(number), ec=theme.surface, lw=0.8
            )
            left += size
        axes.annotate(
            _duration(left), (left, row), (4, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(range(len(rows)), [plain(r, 30) for r in reversed(rows)])
    axes.set_xlabel(x)
    axes.grid(False, axis="y")
    axes.margins(x=0.1)
    _legend(figure, [Patch(color=theme.colour(n)) for n in range(len(parts))], list(parts))
    return figure


def plain(text: str, limit: int = 44) -> str:
    """A label on one line, not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _panels(
    headings: Sequence[str],
    width: float,
    height: float,
    *,
    left: float = 0,
    top: float = 0,
    across: int | None = None,
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of axes, each so many inches large, beside room for labels and a legend."""
    from matplotlib.figure import Figure

    number = len(headings)
    across = across or -(-number // -(-number // _MOST_ACROSS))
    down = -(-number // across)
    figure = Figure(figsize=(left + across * width, top + down * height), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey="row" if share else "none")
    axes = list(grid.flat)
    for spare in axes[number:]:
        spare.set_visible(False)
    for one, heading in zip(axes, headings, strict=False):
        one.set_title("\n".join(textwrap.wrap(plain(heading, 52), 27)))
    return figure, axes[:number]


def _legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    names = [plain(text).lstrip("_") or " " for text in labels]
    columns = max(1, int(figure.get_figwidth() // 2.2))
    figure.legend(handles, names, loc="outside upper left", ncols=columns)


def _few_ticks(axes: Axes, axis: str, most: int = 5) -> None:
    from matplotlib.ticker import MaxNLocator

    found = axes.xaxis if axis == "x" else axes.yaxis
    found.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]))
    found.set_major_formatter(lambda value, _: f"{value:.4g}")


def _look(line: Line, theme: Theme) -> dict[str, Any]:
    colour = theme.colour(line.colour)
    return {"color": colour, "ls": line.stroke, "marker": line.marker, "ms": 5, "lw": line.width}


def _duration(seconds: float) -> str:
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
