"""The `uec` program: its commands, and how errors reach people."""

from __future__ import annotations

import sys

import typer
from rich.text import Text

from uec_retriever.cli import check, confidence, evaluate, fit, index, label, manage, search, train
from uec_retriever.cli.common import errors
from uec_retriever.errors import UECError

_INTERRUPTED = 130  # typer's exit code for Ctrl-C
app = typer.Typer(
    name="uec",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=(
        "Retrieval with several embedding models at once, weighted per query by how sure each one is.\n\n"
        "Start with `uec index --index my-index --corpus corpus.jsonl --expert MODEL`, "
        'then `uec search --index my-index "a question"`.\n\n'
        "Exit codes: 0 done, 1 refused with a message that names the fix, 2 wrong usage, 130 interrupted."
    ),
)
app.command("index")(index.index)
app.command("search")(search.search)
app.command("fit")(fit.fit)
app.add_typer(label.app, name="label")
app.command("train")(train.train)
app.add_typer(evaluate.app, name="eval")
app.command("info")(manage.info)
app.command("delete")(manage.delete)
app.command("check")(check.check)
app.command("repair")(check.repair)
app.command("recalibrate")(fit.recalibrate)
app.command("calibrate-confidence")(confidence.calibrate_confidence)
app.command("reindex")(index.reindex)


def main() -> None:
    """Entry point of the `uec` program."""
    try:
        app()
    except UECError as error:
        errors.print(Text.assemble(("error:", "bold red"), " ", str(error)), soft_wrap=True)
        sys.exit(1)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:
            errors.print(
                "interrupted: run the same command again; index, reindex and label go on where they stopped, train with --resume"
            )
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
