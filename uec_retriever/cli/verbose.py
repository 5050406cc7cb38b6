"""How much is said while a command runs: `-v`, before or after the command."""

from __future__ import annotations

import functools
import logging
from typing import Annotated, Any

import typer
from typer.main import get_command

import uec_retriever

_ASKED = f"{uec_retriever.__name__}.verbose"  # in what a command and its groups have in common


@functools.cache
def verbose_option() -> Any:
    """The option, for a command or a group of click: typer makes it, in whatever way its version does."""
    only = typer.Typer(add_completion=False)
    only.command()(_takes_it)
    return get_command(only).params[0]


def _say_more(context: typer.Context, times: int) -> None:
    """Say more until the program ends; what was asked before the command and after it adds up."""
    if not times or context.resilient_parsing:
        return
    context.meta[_ASKED] = asked = context.meta.get(_ASKED, 0) + times
    logger = logging.getLogger(None if asked > 1 else uec_retriever.__name__)
    context.find_root().call_on_close(functools.partial(logger.setLevel, logger.level))
    logger.setLevel(logging.INFO)


def _takes_it(
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            is_eager=True,
            expose_value=False,
            callback=_say_more,
            help="Say more of what is done; -vv, what libraries say too.",
        ),
    ] = 0,
) -> None: ...
