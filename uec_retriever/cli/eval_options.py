"""Options that the evaluations share, and how each of them shows its result and writes it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from uec_retriever.cli.common import (
    EXPERT_HELP,
    WrongUsageError,
    errors,
    finite,
    output,
    print_json,
    result_table,
)

EXPERT = Annotated[
    list[str],
    typer.Option("--expert", help=EXPERT_HELP, show_default=False),
]
SPLIT = Annotated[str, typer.Option(help="Which qrels. Choose on train, report on test.")]
QUERIES = Annotated[
    int | None, typer.Option(min=1, help="At most this many queries of each set, a random sample.")
]
OUT = Annotated[Path | None, typer.Option(help="Folder for the JSON, a file with the name of the command.")]
SEED = Annotated[int, typer.Option(help="Of samples and bootstrap.")]
_SHOWN = {"retrieval": 1}  # tables; of other results all but those of settings


def split_labels(option: str, specs: Sequence[str] | None, value: str = "PATH") -> dict[str, list[str]]:
    """LABEL=VALUE, as given -> label -> its values, in their order.

    Raises:
        WrongUsageError: for one without a label or a value.
    """
    found: dict[str, list[str]] = {}
    for spec in specs or ():
        label, _, given = spec.partition("=")
        if not (label and given):
            raise WrongUsageError(f"{option} {spec!r}: say LABEL={value}")
        found.setdefault(label, []).append(given)
    return found


def finish(name: str, result: Mapping[str, Any], out: Path | None, json: bool) -> None:
    """Write a result where it is wanted, and show it: as JSON, or as the report's first tables.

    Raises:
        StorageError: if it cannot be written.
    """
    content = finite(result)
    if out:
        from uec_retriever.evaluation.provenance import write_result

        errors.print(f"written to {write_result(out, name, content)}", soft_wrap=True)
    if json:
        print_json(content)
    else:
        show_tables(content, name)


def show_tables(content: Mapping[str, Any], name: str) -> None:
    """The report's first tables of a result."""
    from uec_retriever.evaluation.report_page import check_result
    from uec_retriever.evaluation.report_page.tables import tables

    shown = [table for table in tables(check_result(content, name)) if not table.minor]
    for table in shown[: _SHOWN.get(name)]:
        rows = [
            [row.label, *(f"{e.text}{'*' * e.clear}\n{e.interval}".rstrip() for e in row.entries)]
            for row in table.rows
        ]
        split = f", {content['split']} split" if content["split"] else ""
        output.print(result_table(f"{table.title}{split}", table.columns, rows))
        for note in table.notes:
            output.print(note)
