"""How a corpus is read: options of `uec index`, and what it says of what it found."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from uec_retriever.cli.common import WrongUsageError, errors, status
from uec_retriever.cli.recipe import sample_documents

if TYPE_CHECKING:
    from uec_retriever.data.corpus import Corpus
    from uec_retriever.data.documents import Document
    from uec_retriever.data.pairs import PairSampler

_logger = logging.getLogger(__name__)

TYPES = Annotated[
    str | None,
    typer.Option(
        help="Types of metadata other than found: str, int, float, bool, date, day (20240131).",
        metavar="KEY=TYPE,...",
    ),
]
SKIP_BAD = Annotated[bool, typer.Option("--skip-bad", help="Pass over what cannot be read; it is listed.")]
NO_SPLIT = Annotated[
    bool, typer.Option("--no-split", help="Leave long texts whole; experts see their beginning.")
]
SPLIT_TOKENS = Annotated[
    int | None,
    typer.Option(
        min=16,
        help="Tokens of a piece at most: 512, or the smallest of the experts' windows.",
    ),
]


def read_types(types: str | None) -> dict[str, str]:
    """Types as they are typed: key -> type.

    Raises:
        WrongUsageError: for what cannot be read, or a type that there is none of.
    """
    from uec_retriever.data.types import check_types

    found: dict[str, str] = {}
    for part in (types or "").split(","):
        key, separator, kind = part.rpartition("=")
        if part.strip() and not (separator and key.strip() and kind.strip()):
            raise WrongUsageError(f"--types {part!r}: say KEY=TYPE, such as year=int")
        if part.strip():
            found[key.strip()] = kind.strip()
    try:
        return check_types(found)
    except ValueError as error:
        raise WrongUsageError(f"--types: {error}") from None


def read_corpus(
    documents: Corpus, limit: int | None, what: str = "Reading the corpus"
) -> tuple[int, PairSampler]:
    """Read a corpus once, under a spinner (see `sample_documents`).

    Args:
        documents: the corpus.
        limit: of the calibration pairs to make; in proportion to the texts if None.
        what: is done, for people.

    Raises:
        CorpusError: for what cannot be read.
        IdConflictError: if one id stands for two different documents: before an index is made for them.
    """
    with status(what) as spinner:
        return sample_documents(
            _distinct(documents),
            limit,
            lambda read: spinner.update(f"{what}: {read} documents") if spinner else None,
        )


def _distinct(documents: Corpus) -> Iterator[Document]:
    from uec_retriever.data.seen import SeenIds

    seen = SeenIds()
    for document in documents:
        seen.new([document.record])
        yield document


def report_reading(documents: Corpus) -> None:
    """Say what was found in a corpus that has been read: types, files that were passed over, what is bad."""
    kept = {key: kind for key, kind in documents.kept_types.items() if key not in documents.types}
    told = [_list_types(documents.found_types)] if documents.found_types else []
    told += [f"{_list_types(kept)}, as given for this index before"] if kept else []
    told += ["other columns are text"] if documents.found_types else []
    if told:
        errors.print(f"types: {'; '.join(told)} (--types says otherwise)", soft_wrap=True)
    if documents.passed_over:
        from uec_retriever.data.problems import describe

        hint = "" if _logger.isEnabledFor(logging.INFO) else " (-v lists them)"
        errors.print(f"passed over: {describe(documents.passed_over)}{hint}")
        for reason, names in documents.passed_over.items():
            for name in names:
                _logger.info("passed over, %s: %s", reason, name)
    if documents.bad:
        errors.print(f"skipped {len(documents.bad)} that cannot be read:", soft_wrap=True)
        for problem in documents.bad:
            errors.print(f"  {problem}", soft_wrap=True)


def _list_types(types: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in types.items())
