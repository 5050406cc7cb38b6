"""Cost against size: tables and the figure of `benchmarks.scaling`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from uec_retriever.evaluation.report_page.looks import Drawing, Theme, legend, panels, title
from uec_retriever.evaluation.report_page.place import is_number
from uec_retriever.evaluation.report_page.result_files import Result
from uec_retriever.evaluation.report_page.table import Entry, Row, Table, interval, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIME = "milliseconds"
_NAMES = {"K": "K, experts", "D": "D, dimensions of an expert", "N": "N, candidates"}
_MARKS = "osD^vPX*"


def scaling_tables(result: Result) -> list[Table]:
    """Growth exponents, milliseconds by size, and the share of a real query."""
    sweeps: Mapping[str, Any] = result.content["sweeps"]
    rows: dict[str, list[Entry]] = {}
    for position, sweep in enumerate(sweeps.values()):
        for kind, measured in sweep.items():
            for stage, grown in measured.get("growth", {}).items() if isinstance(measured, Mapping) else ():
                row = rows.setdefault(f"{kind}: {stage}", [Entry()] * len(sweeps))
                row[position] = Entry(number(grown.get("exponent"), 2), interval(grown, digits=2))
    note = "An exponent of 1 is linear growth; its 95 % interval is Student's, of a line through logarithms"
    heads = ("stage", *(f"against {_NAMES.get(s, s)}" for s in sweeps))
    growth = tuple(Row(label, tuple(cells)) for label, cells in rows.items())
    found = [Table("growth", "Growth exponents of time and memory", heads, growth, (note,))]
    found += _shares(result)
    for symbol, sweep in sweeps.items():
        times = tuple(
            Row(stage, tuple(Entry(number(v)) for v in values))
            for stage, values in sweep[TIME]["values"].items()
        )
        heads = ("stage", *(f"{size:,}" for size in sweep["sizes"]))
        name = f"milliseconds-{symbol.lower()}"
        found.append(
            Table(name, f"Milliseconds against {_NAMES.get(symbol, symbol)}", heads, times, minor=True)
        )
    return found


def growth_drawing(result: Result) -> Drawing:
    """Milliseconds of each stage against K, D and N, both axes logarithmic."""
    sweeps: Mapping[str, Any] = result.content["sweeps"]
    stages = list(dict.fromkeys(stage for sweep in sweeps.values() for stage in sweep[TIME]["values"]))
    ends = [
        f"{s} {sweep['sizes'][-1]:,}: {max(v[-1] for v in sweep[TIME]['values'].values()):.3g} ms at most"
        for s, sweep in sweeps.items()
    ]
    alt = f"Milliseconds of {', '.join(stages)} against {', '.join(sweeps)}. At the largest size, {'; '.join(ends)}."

    def draw(theme: Theme) -> Figure:
        from matplotlib.lines import Line2D

        looks: dict[str, dict[str, Any]] = {
            stage: {
                "color": theme.parts[i % len(theme.parts)],
                "marker": _MARKS[i % len(_MARKS)],
                "ms": 5,
                "lw": 1.6,
            }
            for i, stage in enumerate(stages)
        }
        figure, axes = panels(len(sweeps), theme, width=3.0, height=2.9, left=0.3, top=0.35)
        for one, (symbol, sweep) in zip(axes, sweeps.items(), strict=True):
            for stage, values in sweep[TIME]["values"].items():
                one.plot(sweep["sizes"], values, **looks[stage])
            one.set_xscale("log")
            one.set_yscale("log")
            one.set_xticks(sweep["sizes"], [f"{size:,}" for size in sweep["sizes"]], fontsize=8)
            one.minorticks_off()
            one.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            one.grid(color=theme.grid, lw=0.8)
            title(one, _NAMES.get(symbol, symbol), theme)
        axes[0].set_ylabel("milliseconds", fontsize=9, color=theme.muted)
        legend(figure, [(Line2D([], [], **look), stage) for stage, look in looks.items()], theme)
        return figure

    note = "Both axes logarithmic: a straight line is a power, its slope the exponent of the table."
    return Drawing("growth", "Time against size", alt, note, draw)


def _shares(result: Result) -> list[Table]:
    shares: Mapping[str, Any] = result.content.get("share") or {}
    sizes = list(dict.fromkeys(size for found in shares.values() for size in found["candidates"]))
    rows = []
    for name, found in shares.items():
        for what in dict.fromkeys(w for parts in found["candidates"].values() for w in parts):
            values = [found["candidates"].get(size, {}).get(what) for size in sizes]
            cells = tuple(Entry(f"{v:.2%}") if is_number(v) else Entry() for v in values)
            rows.append(Row(f"{name}, {what}", cells))
    heads = ("share of a query with N candidates", *(f"{int(s):,}" if s.isdecimal() else s for s in sizes))
    return [Table("share", "What the similarity adds to a query", heads, tuple(rows))] if rows else []
