"""The `uec` program: its commands, and how errors reach people."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer
from rich.text import Text

import uec_retriever
from uec_retriever.cli import (
    check,
    confidence,
    evaluate,
    export_onnx,
    fit,
    index,
    label,
    manage,
    recalibrate,
    search,
    train,
    words,
)
from uec_retriever.cli.common import WrongUsageError, errors, output
from uec_retriever.cli.help import fit_help
from uec_retriever.cli.safe import set_up, stop_on_sigterm
from uec_retriever.errors import UECError

_USAGE = 2
_TERMINATED = 143  # 128 and the number of SIGTERM
_STOPPED = {130: "interrupted", _TERMINATED: "terminated"}  # 130 is typer's exit code for Ctrl-C
_GO_ON = (
    "what is stored stays; run the same command again: index, reindex and label go on where they stopped, train with "
    "--resume"
)
app = typer.Typer(
    name="uec",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=(
        "Retrieval with several embedding models at once, weighted per query by how sure each one is.\n\n"
        "Start with `uec index --index my-index --corpus corpus.jsonl --expert MODEL`, "
        'then `uec search --index my-index "a question"`.\n\n'
        "Exit codes: 0 done, 1 refused with a message that names the fix, 2 wrong usage, 3 abstained (`uec search --min-confidence`), 130 interrupted, 143 terminated."
    ),
)
app.command("index")(index.index)
app.command("search", context_settings={"allow_extra_args": True})(search.search)  # which it refuses itself
app.command("fit")(fit.fit)
app.add_typer(label.app, name="label")
app.command("train")(train.train)
app.add_typer(evaluate.app, name="eval")
app.command("export-onnx")(export_onnx.export_onnx)
app.command("info")(manage.info)
app.command("delete")(manage.delete)
app.command("check")(check.check)
app.command("repair")(check.repair)
app.command("words")(words.words)
app.command("recalibrate")(recalibrate.recalibrate)
app.command("calibrate-confidence")(confidence.calibrate_confidence)
app.command("reindex")(index.reindex)


def _tell_version(asked: bool) -> None:
    if asked:
        output.print(f"uec-retriever {uec_retriever.__version__}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


fit_help(app)


def main() -> None:
    """Entry point of the `uec` program."""
    try:
        with set_up(errors), stop_on_sigterm(_TERMINATED):
            app()
    except UECError as error:
        errors.print(Text.assemble(("error:", "bold red"), " ", str(error)), soft_wrap=True)
        sys.exit(_USAGE if isinstance(error, WrongUsageError) else 1)
    except SystemExit as stop:
        if stop.code in _STOPPED:
            errors.print(f"{_STOPPED[stop.code]}: {_GO_ON}", soft_wrap=True)
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception:
        errors.print(Text(traceback.format_exc().rstrip()), soft_wrap=True)
        sys.exit(1)
