"""Tables and curves of `benchmarks.scaling`, in the form that `uec eval report` takes from any result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uec_retriever.evaluation.report_page.results import is_number
from uec_retriever.evaluation.report_page.tables import NOTHING, interval, number

_NAMES = {"K": "K, experts", "D": "D, dimensions of an expert", "N": "N, candidates"}


def scaling_report(sweeps: Mapping[str, Any], shares: Mapping[str, Any]) -> dict[str, Any]:
    """What a result file holds beside the figures themselves: `kind`, `title`, `tables` and `curves`."""
    times = {symbol: sweep["milliseconds"]["values"] for symbol, sweep in sweeps.items()}
    return {
        "kind": "tables",
        "title": "Efficiency",
        "tables": [
            _growth(sweeps),
            *([_shares(shares)] if shares else []),
            *(
                {
                    "name": f"milliseconds-{symbol.lower()}",
                    "title": f"Milliseconds against {_NAMES[symbol]}",
                    "columns": ["stage", *(f"{size:,}" for size in sweeps[symbol]["sizes"])],
                    "rows": [[stage, *row] for stage, row in values.items()],
                    "minor": True,
                }
                for symbol, values in times.items()
            ),
        ],
        "curves": [
            {
                "name": "growth",
                "title": "Time against size",
                "note": "Both axes logarithmic: a straight line is a power, its slope the exponent of the table.",
                "y": "milliseconds",
                "logarithmic": True,
                "panels": {
                    _NAMES[symbol]: {"x": sweeps[symbol]["sizes"], "lines": values}
                    for symbol, values in times.items()
                },
            }
        ],
    }


def _growth(sweeps: Mapping[str, Any]) -> dict[str, Any]:
    rows: dict[str, list[str]] = {}
    for position, sweep in enumerate(sweeps.values()):
        for kind, measured in sweep.items():
            for stage, grown in measured.get("growth", {}).items() if isinstance(measured, Mapping) else ():
                row = rows.setdefault(f"{kind}: {stage}", [NOTHING] * len(sweeps))
                row[position] = f"{number(grown['exponent'], 2)} {interval(grown, digits=2)}".rstrip()
    return {
        "name": "growth",
        "title": "Growth exponents of time and memory",
        "columns": ["stage", *(f"against {_NAMES[symbol]}" for symbol in sweeps)],
        "rows": [[label, *cells] for label, cells in rows.items()],
        "note": "An exponent of 1 is linear growth; its 95 % interval is Student's, of a line through logarithms",
    }


def _shares(shares: Mapping[str, Any]) -> dict[str, Any]:
    sizes = list(dict.fromkeys(size for found in shares.values() for size in found["candidates"]))
    rows = []
    for name, found in shares.items():
        for what in dict.fromkeys(w for parts in found["candidates"].values() for w in parts):
            values = [found["candidates"].get(size, {}).get(what) for size in sizes]
            rows.append([f"{name}, {what}", *(f"{v:.2%}" if is_number(v) else NOTHING for v in values)])
    return {
        "name": "share",
        "title": "What the similarity adds to a query",
        "columns": ["share of a query with N candidates", *(f"{int(size):,}" for size in sizes)],
        "rows": rows,
    }
