"""Options, consoles and progress bars that the commands share."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from uec_retriever.cli.safe import SafeConsole
from uec_retriever.cli.startup import without_collecting
from uec_retriever.cli.usage import WrongUsageError as WrongUsageError
from uec_retriever.cli.usage import device_there as device_there
from uec_retriever.cli.usage import must_exist as must_exist
from uec_retriever.cli.usage import refuse_unused as refuse_unused
from uec_retriever.errors import InvalidInputError

if TYPE_CHECKING:
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.location import Location
    from uec_retriever.experts.expert import Expert

errors = SafeConsole(stderr=True, highlight=False, markup=False)
output = SafeConsole(highlight=False, markup=False)
HEADERS_VARIABLE = "UEC_HEADERS"

INDEX = Annotated[Path, typer.Option("--index", "-i", help="Folder of the index.", show_default=False)]
SERVER = Annotated[
    str | None,
    typer.Option(
        help="A Chroma server, such as http://localhost:8000, instead of the folder's own database."
    ),
]
HEADER = Annotated[
    list[str] | None,
    typer.Option(
        help=f"For that server, such as a token. Repeatable. {HEADERS_VARIABLE} takes the same, unseen.",
        metavar="'NAME: VALUE'",
    ),
]
TENANT = Annotated[str | None, typer.Option(help="Tenant of that server; its default one if absent.")]
DATABASE = Annotated[str | None, typer.Option(help="Database of the tenant; its default one if absent.")]
COLLECTION = Annotated[str, typer.Option(help="Name of the Chroma collection.")]
DEVICE = Annotated[
    str | None, typer.Option(callback=device_there, help="Torch device of the experts, e.g. cpu or cuda.")
]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
BATCH = Annotated[int, typer.Option(min=1, help="Texts in one forward pass.")]
ENGINE = Annotated[Literal["local", "ray"], typer.Option(help="Work here, or as a Ray Data job.")]
WORKERS = Annotated[int, typer.Option(min=1, help="Ray actors.")]
GPUS = Annotated[float, typer.Option(min=0, help="GPUs of each Ray actor, which sees no other.")]
TRUST = Annotated[bool, typer.Option(help="Run code that comes with a model.")]
MOVED = Annotated[
    list[str] | None,
    typer.Option("--expert", help="Where the model of an expert is now, as LABEL=MODEL. Repeatable."),
]
EXPERT_HELP_ONE = "A model: hub id, folder, openai:ID, onnx:FOLDER, model2vec:ID, fastembed:ID."
NO_EXPERT = (
    "a new index needs at least one --expert, a model such as --expert sentence-transformers/all-MiniLM-L6-v2"
)
EXPERT_HELP = f"{EXPERT_HELP_ONE} Repeat."


def locate(
    index: Path,
    server: str | None,
    header: Sequence[str] | None,
    collection: str,
    tenant: str | None = None,
    database: str | None = None,
) -> Location:
    """Where an index is, with the headers of the command line and of the environment; messages show no value.

    Raises:
        WrongUsageError: for an address, header or name that cannot be used, or one of the others without --server.
    """
    from uec_retriever.engine.location import Location

    if server is None:
        for option, value in (("header", header), ("tenant", tenant), ("database", database)):
            if value:
                raise WrongUsageError(f"--{option} goes with --server")
        return Location(index, collection=collection)
    headers = {
        **_read_headers(os.environ.get(HEADERS_VARIABLE, "").splitlines(), HEADERS_VARIABLE),
        **_read_headers(header or (), "--header"),
    }
    try:
        return Location(index, server, headers or None, None, collection, tenant, database)
    except InvalidInputError as error:
        raise WrongUsageError(f"--server: {error}") from None


def _read_headers(lines: Iterable[str], origin: str) -> dict[str, str]:
    """Headers by their names in lower case, so that one replaces another however they are spelt."""
    headers = {}
    for number, line in enumerate(lines, start=1):
        name, separator, value = line.partition(":")
        if separator and name.strip() and value.strip():
            headers[name.strip().lower()] = value.strip()
        elif line.strip():
            raise WrongUsageError(
                f"{origin}, header {number}: say 'Name: value', such as 'Authorization: Bearer TOKEN'"
            )
    return headers


def require_index(location: Location) -> None:
    """Refuse to make a new index without experts.

    Raises:
        WrongUsageError: if there is none yet.
    """
    with status("Opening the index"), without_collecting():
        from uec_retriever.engine.open import index_exists
    if not index_exists(location):
        raise WrongUsageError(NO_EXPERT)


def kept_types(location: Location) -> dict[str, str]:
    """Types of metadata that were given for an index that is there (see `engine.kept_types`)."""
    if location.path is None or not (location.path / "types").is_dir():
        return {}
    with status("Opening the index"), without_collecting():
        from uec_retriever.engine.kept_types import read_kept_types

        return read_kept_types(location)


def quiet_libraries() -> None:
    """Keep the libraries' own bars and notices out of ours."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_experts(specs: Sequence[str], device: str | None, trust_remote_code: bool) -> list[Expert]:
    """Load the experts named on the command line."""
    with status("Loading the experts"), without_collecting():
        quiet_libraries()
        from uec_retriever.experts.expert import Expert

        experts = []
        for spec in specs:
            label, separator, name = spec.partition("=")
            if not separator or ":" in label or Path(spec).exists():  # an address may hold a =
                label, name = "", spec
            experts.append(
                Expert.load(name, label=label or None, device=device, trust_remote_code=trust_remote_code)
            )
    return experts


def moved_experts(specs: Sequence[str] | None) -> dict[str, str]:
    """Expert label -> where its model is now.

    Raises:
        WrongUsageError: if one is not LABEL=MODEL.
    """
    moved: dict[str, str] = {}
    for spec in specs or ():
        label, separator, name = spec.partition("=")
        if not (label and separator and name):
            raise WrongUsageError(f"--expert {spec!r}: say LABEL=MODEL, with a label that 'uec info' shows")
        moved[label] = name
    return moved


def open_engine(
    location: Location, moved: Sequence[str] | None, device: str | None, trust_remote_code: bool
) -> Engine:
    """An index that is there, with its models."""
    with status("Opening the index"), without_collecting():
        quiet_libraries()
        from uec_retriever.engine.engine import Engine

        return Engine.open(
            location,
            experts=moved_experts(moved),
            device=device,
            trust_remote_code=trust_remote_code,
        )


@contextlib.contextmanager
def status(text: str) -> Iterator[Status | None]:
    """A spinner while something of unknown length goes on; silent where nobody watches."""
    with errors.status(text) if errors.is_terminal else contextlib.nullcontext() as spinner:
        yield spinner


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """The speed of late."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.{0 if speed >= 10 else 1}f} a second")


@contextlib.contextmanager
def bar(text: str, total: float) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr, with rate and time left; yields what to call with the progress made."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=errors,
        disable=not errors.is_terminal,
        speed_estimate_period=120,
    ) as progress:
        task = progress.add_task(text, total=total)
        done = 0.0

        def advance(amount: float) -> None:
            nonlocal done
            done += amount
            progress.update(task, completed=round(done))

        yield advance


def print_json(value: Any) -> None:
    """One JSON object on standard output, in ASCII: no terminal, encoding or log can stumble over it."""
    print(json.dumps(finite(value), allow_nan=False))  # noqa: T201


def finite(value: Any) -> Any:
    """JSON has no infinity, which a temperature may be: say it as a string."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return "Infinity" if value == float("inf") else value


def short(number: float) -> str:
    """A number for people: three significant digits."""
    return f"{number:.3g}"


def result_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of results; its first column keeps its names whole."""
    shown = Table(Column(columns[0], no_wrap=True), *columns[1:], title=title, title_justify="left", box=None)
    for row in rows:
        shown.add_row(*row)
    return shown
