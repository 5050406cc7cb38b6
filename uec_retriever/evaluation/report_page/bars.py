"""Bars: time by stage, and the systems of a UAE study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uec_retriever.evaluation.report_page.looks import (
    Drawing,
    Theme,
    dress,
    legend,
    new_figure,
    plain,
    short_numbers,
    title,
)
from uec_retriever.evaluation.report_page.result_files import Result, studies
from uec_retriever.evaluation.report_page.side_by_side import is_clear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UAE_METRICS = ("Hit@1", "MAP")


def time_bars(result: Result) -> Drawing | None:
    """Seconds of each stage, stacked, one bar for each set; None if the result has none."""
    sets: dict[str, Mapping[str, float]] = {
        name: one["stages"] for name, one in result.content["sets"].items() if one.get("stages")
    }
    if not sets:
        return None
    totals: dict[str, float] = {}
    for stages in sets.values():
        for stage, seconds in stages.items():
            totals[stage] = totals.get(stage, 0) + seconds
    everything = sum(totals.values()) or 1
    shares = [f"{stage} {seconds / everything:.0%}" for stage, seconds in totals.items()]
    alt = f"Seconds by stage on {', '.join(sets)}; shares of all time: {', '.join(shares)}."

    def draw(theme: Theme) -> Figure:
        from matplotlib.patches import Patch

        kept = sorted(totals, key=lambda s: -totals[s])[: len(theme.parts)]
        parts = [stage for stage in totals if stage in kept[: len(theme.parts) - 1]]
        if len(totals) <= len(theme.parts):
            parts = list(totals)
        colours = dict(zip(parts, theme.parts, strict=False))
        rest = theme.muted
        top = 0.3 + 0.22 * -(-(len(parts) + 1) // 4)
        figure = new_figure(8.2, 0.6 + top + 0.36 * len(sets), theme)
        axes = figure.subplots()
        dress(axes, theme)
        for row, stages in enumerate(reversed(sets.values())):
            left = 0.0
            for stage in [*parts, *(s for s in stages if s not in colours)]:
                seconds = stages.get(stage, 0)
                colour = colours.get(stage, rest)
                axes.barh([row], [seconds], left=left, height=0.66, color=colour, ec=theme.surface, lw=0.8)
                left += seconds
            axes.annotate(
                _seconds(left), (left, row), xytext=(4, 0), textcoords="offset points", va="center",
                fontsize=9, color=theme.ink,
                bbox={"facecolor": theme.surface, "edgecolor": "none", "pad": 1},
            )  # fmt: skip
        axes.set_yticks(range(len(sets)), [plain(n, 30) for n in reversed(sets)])
        axes.set_xlabel("seconds", fontsize=9, color=theme.muted)
        axes.grid(axis="x", color=theme.grid, lw=0.8)
        axes.margins(x=0.1)
        entries: list[tuple[Artist, str]] = [(Patch(color=colours[s]), s) for s in parts]
        if len(parts) < len(totals):
            entries.append((Patch(color=rest), "other stages"))
        legend(figure, entries, theme)
        return figure

    note = "Wall-clock seconds on the machine of the run. Embeddings that a cache held cost nothing here."
    return Drawing("time", "Time by stage", alt, note, draw)


def uae_bars(result: Result) -> list[Drawing]:
    """Hit@1 and MAP of each system in each scope, one drawing for each study."""
    found = []
    every = studies(result)
    for index, (heading, study) in enumerate(every, 1):
        name = "systems" if len(every) == 1 else f"systems-{index}"
        found.append(_systems(name, heading, study))
    return found


def _systems(name: str, heading: str, study: Mapping[str, Any]) -> Drawing:
    scopes: Mapping[str, Mapping[str, Any]] = study["scopes"]
    reference = study["baseline"]
    labels = list(dict.fromkeys(label for systems in scopes.values() for label in systems))
    parts = []
    for scope, systems in scopes.items():
        top = max(systems, key=lambda s: systems[s]["MAP"]["mean"])
        parts.append(f"{scope}: {top} {systems[top]['MAP']['mean']:.3f}")
    alt = f"Hit@1 and MAP of {len(labels)} systems on {heading}. Highest MAP, {'; '.join(parts)}; baseline {reference}."

    def draw(theme: Theme) -> Figure:
        height = 0.65 + 0.3 * len(labels)
        figure = new_figure(8.6, height * len(scopes), theme)
        grid = figure.subplots(len(scopes), len(_UAE_METRICS), squeeze=False, sharey=True)
        for line, (scope, systems) in zip(grid, scopes.items(), strict=True):
            for one, metric in zip(line, _UAE_METRICS, strict=True):
                dress(one, theme)
                for row, label in enumerate(reversed(labels)):
                    if label in systems:
                        _system(one, row, label, systems[label][metric], label == reference, theme)
                if reference in systems:
                    at = systems[reference][metric]["mean"]
                    one.axvline(at, color=theme.muted, lw=1, ls=(0, (4, 3)), zorder=1)
                title(one, f"{metric}, {scope}", theme)
                one.set_yticks(range(len(labels)), [plain(m, 32) for m in reversed(labels)])
                one.set_xlim(left=0)
                one.grid(axis="x", color=theme.grid, lw=0.8)
                short_numbers(one.xaxis, 6)
        return figure

    note = f"Lines: 95 % intervals. Dashed: the baseline, {reference}. Full colour: the paired interval of the difference to it leaves out 0. Orange: with a re-ranker at query time."
    return Drawing(name, f"Systems on {heading}", alt, note, draw)


def _system(axes: Axes, row: int, label: str, cell: Mapping[str, Any], base: bool, theme: Theme) -> None:
    colour = theme.kinds["ablation" if " + " in label else "ensemble"]
    strong = base or is_clear(cell)
    axes.barh(
        [row], [cell["mean"]], height=0.64, zorder=2, facecolor=theme.muted if base else colour,
        alpha=1 if strong else 0.35,
    )  # fmt: skip
    limits = [cell["low"], cell["high"]]
    axes.plot(limits, [row, row], color=theme.ink, lw=1.3, solid_capstyle="round", zorder=3)


def _seconds(value: float) -> str:
    if value >= 90:
        return f"{value / 60:.0f} min"
    return f"{value:.0f} s" if value >= 10 else f"{value:.2g} s"
