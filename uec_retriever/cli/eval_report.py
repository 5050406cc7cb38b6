"""`uec eval report`: a page and figures from result files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uec_retriever.cli.common import JSON, output, print_json, status


def register(app: typer.Typer) -> None:
    """Add the command to `uec eval`."""
    app.command("report")(report)


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="JSON files that `uec eval` or the benchmarks wrote.",
            metavar="RESULT.json...",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.html and the figures.", show_default=False)],
    title: Annotated[str, typer.Option(help="Of the page.")] = "uec-retriever: evaluation",
    json: JSON = False,
) -> None:
    """Write one self-contained HTML page, and its figures as PNG files.

    Example: `uec eval report results/retrieval.json results/sts.json --out report`
    """
    with status("Drawing"):
        from uec_retriever.evaluation.report_page import read_results, write_report

        written = write_report(read_results(results), out, title)
    if json:
        print_json({"page": str(written.page), "figures": [str(f) for f in written.figures]})
        return
    output.print(f"written to {written.page}, and {len(written.figures)} figures beside it", soft_wrap=True)
