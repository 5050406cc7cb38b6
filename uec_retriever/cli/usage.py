"""What is wrong with a command line, whatever the index and the files hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from uec_retriever.checks.json_text import parse_object
from uec_retriever.cli.startup import without_collecting
from uec_retriever.errors import InvalidInputError


class WrongUsageError(InvalidInputError):
    """Options that contradict each other or cannot be read, whatever the index and the files hold: exit code 2."""


def must_exist(parameter: typer.CallbackParam, value: Any) -> Any:
    """Refuse files and folders to be read that are not there, before any work; a typer callback.

    Args:
        parameter: of the command.
        value: a path, several or none; `-` is standard input.

    Raises:
        WrongUsageError: naming the first that is missing.
    """
    for path in value if isinstance(value, list | tuple) else (value,):
        if path is not None and str(path) != "-" and not Path(path).exists():
            option = parameter.opts[0]
            raise WrongUsageError(f"{f'{option}: ' * option.startswith('-')}there is no {path}")
    return value


def device_there(device: str | None) -> str | None:
    """Refuse a torch device that is not there, before any work; a typer callback.

    Raises:
        WrongUsageError: for one that is none, or that this machine does not have.
    """
    if device not in (None, "cpu"):  # those are always there, and need no torch
        with without_collecting():
            from uec_retriever.checks.device import check_device
        try:
            check_device(device)
        except InvalidInputError as error:
            raise WrongUsageError(f"--device: {error}") from error
    return device


def refuse_unused(context: typer.Context, because: str, *names: str) -> None:
    """Refuse options that somebody gave and that would be passed over in silence.

    Args:
        context: of the command.
        because: the option that makes them useless, as it is typed.
        *names: their parameters.

    Raises:
        WrongUsageError: naming those that were given.
    """
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        options = " and ".join("--" + name.replace("_", "-") for name in given)
        raise WrongUsageError(f"{options} would change nothing with {because}: leave one of them out")


def parse_where(where: str | None) -> dict[str, Any] | None:
    """A metadata filter given as JSON.

    Raises:
        WrongUsageError: if it is not a JSON object, or no filter.
    """
    if where is None:
        return None
    try:
        condition = parse_object(where)
    except InvalidInputError as error:
        raise WrongUsageError(
            f'--where takes JSON such as \'{{"year": {{"$gte": 2020}}}}\', but that is {error}'
        ) from error
    with without_collecting():
        from uec_retriever.store.filters import chroma_where
    try:
        chroma_where(condition)
    except InvalidInputError as error:
        raise WrongUsageError(f"--where: {error}") from error
    return condition


def check_other_folder(option: str, path: Path, taken: Path) -> None:
    """Refuse to write into the folder that is read, whatever it is called.

    Args:
        option: with the folder to write, as it is typed.
        path: what was given with it.
        taken: the folder that is read.

    Raises:
        WrongUsageError: if both are one folder.
    """
    if _is_same(path, taken):
        raise WrongUsageError(f"{option} {path} is the index itself, which stays as it is: name a new folder")


def check_corpus_folder(index: Path, corpus: Path) -> None:
    """Refuse to put the files of an index among those of its corpus.

    Raises:
        WrongUsageError: if both are one folder.
    """
    if corpus.is_dir() and _is_same(index, corpus):
        raise WrongUsageError(
            f"--index {index} is the folder of the corpus, among whose files the index's would be: name another folder, "
            f"such as {index.resolve().name}-index"
        )


def _is_same(path: Path, other: Path) -> bool:
    one, two = path.expanduser().resolve(), other.expanduser().resolve()
    return one == two or (one.exists() and two.exists() and one.samefile(two))
