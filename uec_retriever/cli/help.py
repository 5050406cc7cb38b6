"""Help that fits a narrow terminal: names in one column, at most two lines of text beside each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from uec_retriever.cli.verbose import verbose_option

WIDEST = 100  # characters of a line: longer ones are read with effort
NAMES = 27  # characters of an option with what it takes, at most
_NAME = "bold cyan"
_TEXT = "TEXT"
_KINDS = {"int": "N", "float": "X", "path": "PATH", "str": _TEXT, "text": _TEXT}
_NAMES = re.compile(r"((?:--?[\w-]+(?:, | / )?)+) ?(.*)")
_OFF = re.compile(r"\s*\[default: no-[^;\]]*\]")  # a switch that is off, which goes without saying
Row = tuple[str, str]


def fit_help(app: typer.Typer) -> None:
    """Have an app and all its commands show their help as here.

    Args:
        app: whose commands and groups are all there.
    """
    app.info.cls = _Group
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            group.cls = _Group
            fit_help(group.typer_instance)


def show_help(command: Any, context: Any) -> None:
    """Print the help of a command or a group.

    Args:
        command: of click, as typer builds it.
        context: its own.
    """
    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    console.print(Text.assemble(("Usage: ", "bold"), context.command_path, " ", _usage(command, context)))
    for paragraph in filter(None, inspect.cleandoc(command.help or "").split("\n\n")):
        console.print()
        console.print(Markdown(paragraph))
    for title, rows in (
        ("Arguments", help_rows(command, context, "argument")),
        ("Options", help_rows(command, context, "option")),
    ):
        _show_rows(console, title, rows)
    if isinstance(command, TyperGroup):
        _show_rows(console, "Commands", [(n, c.get_short_help_str(200)) for n, c in command.commands.items()])


def help_rows(command: Any, context: Any, kind: str) -> list[Row]:
    """What the parameters of a command are called and what is said of each.

    Args:
        command: of click, as typer builds it.
        context: its own.
        kind: `argument` or `option`.
    """
    rows = (_row(p, context) for p in command.get_params(context) if p.param_type_name == kind)
    return [row for row in rows if row is not None]


def _usage(command: Any, context: Any) -> str:
    usage = re.sub("[{}]", "", " ".join(command.collect_usage_pieces(context))).upper()
    return usage.replace("......", "...")


def _row(parameter: Any, context: Any) -> Row | None:
    """What a parameter is called and what is said of it; None if it is hidden."""
    record = parameter.get_help_record(context)
    if record is None:
        return None
    said = _OFF.sub("", record[1])
    if parameter.param_type_name == "argument":
        return record[0].split(" ")[0].upper(), said
    names, values = _NAMES.fullmatch(record[0]).groups()  # type: ignore[union-attr]
    positive, _, negative = names.strip().partition(" / ")
    name = positive.replace("--", "--[no-]", 1) if negative else positive
    if not values:
        return name, said
    plain = _plain_values(values)
    if "|" in plain and len(f"{name} {plain}") > NAMES:
        return f"{name} {_TEXT}", f"{plain}: {said}"
    return f"{name} {plain}", said


def _plain_values(values: str) -> str:
    """What an option takes, in few letters: click and typer say `INTEGER RANGE`, `<list[Path]>` and the like."""
    if "|" in values:
        return values.strip("<>[]")
    kind = values.lower().strip("<>[]").removeprefix("list[")
    return next((short for name, short in _KINDS.items() if kind.startswith(name)), values)


def _show_rows(console: Console, title: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    console.print()
    console.print(Text(f"{title}:", style="bold"))
    beside = max(len(name) for name, _ in rows)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=beside)
    table.add_column(overflow="fold")
    for name, said in rows:
        table.add_row(Text(name, style=_NAME), Text(said))
    console.print(Padding(table, (0, 0, 0, 2)))


_WRAPPED = "Value error, "  # what pydantic puts before the message of another library


class _Verbose:
    """Takes `-v` beside its own options."""

    def __init__(self, *args: Any, params: Sequence[Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, params=[*(params or ()), verbose_option()], **kwargs)  # type: ignore[call-arg]


class _Command(_Verbose, TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            message = getattr(error, "message", None)  # of click, vendored by some versions of typer
            if isinstance(message, str):
                error.message = message.replace(_WRAPPED, "", 1)  # type: ignore[attr-defined]
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        show_help(self, ctx)


class _Group(_Verbose, TyperGroup):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        show_help(self, ctx)
