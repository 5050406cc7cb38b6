"""Questions with their right ids on the command line: from a BEIR folder, or as an application has recorded them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uec_retriever.cli.common import WrongUsageError, errors, must_exist, refuse_unused
from uec_retriever.errors import InvalidInputError

if TYPE_CHECKING:
    from uec_retriever.engine.engine import Engine

DEFAULT_SPLIT = "train"
DEFAULT_LIMIT = 1000
_REPORTED = "test"

DATA = Annotated[
    Path | None,
    typer.Option(callback=must_exist, help="BEIR folder of judged queries; its ids are those of the index."),
]
SPLIT = Annotated[
    str | None,
    typer.Option(
        help=f"Which qrels, with --data; {DEFAULT_SPLIT} if absent. Never those that you report results on."
    ),
]
QUERIES = Annotated[
    Path | None,
    typer.Option(callback=must_exist, help="BEIR queries.jsonl, with --qrels: your queries."),
]
QRELS = Annotated[
    Path | None,
    typer.Option(callback=must_exist, help="Judgements, BEIR or TREC: the right texts of each query."),
]
JUDGEMENTS = Annotated[
    bool, typer.Option("--judgements", help="Use what an application recorded with Engine.record_judgement.")
]


@dataclass(frozen=True)
class LabelSource:
    """Where questions with their right ids come from, as the options say: at most one place.

    Attributes:
        data: a BEIR folder.
        split: of its qrels.
        queries: a BEIR `queries.jsonl`, with `qrels`.
        qrels: judgements of these.
        judgements: whether what an application recorded.
        limit: at most this many queries.
    """

    data: Path | None
    split: str | None
    queries: Path | None
    qrels: Path | None
    judgements: bool
    limit: int | None

    def check(self, context: typer.Context, *, needed: bool = False) -> None:
        """Refuse options that contradict each other.

        Args:
            context: of the command.
            needed: whether there must be a place.

        Raises:
            WrongUsageError: if they do, or there is none.
        """
        check_split(self.data, self.split)
        if (self.queries is None) != (self.qrels is None):
            raise WrongUsageError("give --queries and --qrels, or neither")
        places = sum((self.queries is not None, self.data is not None, self.judgements))
        if places > 1 or (needed and not places):
            raise WrongUsageError("give --data, --judgements, or --queries and --qrels: one of them")
        if self.queries is not None:
            refuse_unused(context, "--queries", "max_queries")

    def read(self, default_split: str = DEFAULT_SPLIT) -> dict[str, set[str]] | None:
        """Query text -> ids of its right records, from files; None if they do not come from there.

        Raises:
            CorpusError: for files that cannot be read, or hold no judged query.
        """
        if self.data is not None:
            return read_labelled(self.data, self.split or default_split, self.limit)
        if self.queries is None or self.qrels is None:
            return None
        from uec_retriever.data.qrels import read_relevant

        return read_relevant(self.queries, self.qrels)


def check_split(data: Path | None, split: str | None) -> None:
    """Refuse a split of no folder.

    Raises:
        WrongUsageError: if there is one.
    """
    if data is None and split is not None:
        raise WrongUsageError("--split goes with --data")


def check_unanswerable(share: float | None) -> None:
    """Refuse a share of queries without an answer that is none, before anything is loaded.

    Raises:
        WrongUsageError: if it is outside [0, 1).
    """
    if share is not None and not 0 <= share < 1:
        raise WrongUsageError(f"--unanswerable must be in [0, 1), got {share:g}")


def read_labelled(folder: Path, split: str | None, limit: int | None) -> dict[str, set[str]]:
    """Query text -> ids of its relevant records, of a split of a BEIR folder.

    Args:
        folder: with `queries.jsonl` and `qrels/`.
        split: `DEFAULT_SPLIT` if None.
        limit: at most this many queries, a random sample; `DEFAULT_LIMIT` if None.

    Raises:
        CorpusError: if there is no such split, naming a line that cannot be read, or if no query is judged.
    """
    from uec_retriever.data.qrels import read_relevant, read_split

    split = split or DEFAULT_SPLIT
    read_split(folder, split)  # which says what splits there are, if not this one
    return sample_labelled(read_relevant(folder, folder / "qrels" / f"{split}.tsv"), limit)


def read_judgements(engine: Engine, limit: int | None) -> dict[str, set[str]]:
    """Query text -> ids of its right records, as recorded with an index.

    Args:
        engine: the index.
        limit: at most this many queries, a random sample; `DEFAULT_LIMIT` if None.

    Raises:
        InvalidInputError: if there are none.
    """
    judged = engine.judgements()
    if not judged:
        raise InvalidInputError(
            "no judgement is recorded that names a right text of this index: record some with "
            "Engine.record_judgement, or give --data"
        )
    return sample_labelled(judged, limit)


def sample_labelled(labelled: Mapping[str, set[str]], limit: int | None) -> dict[str, set[str]]:
    """At most so many of the queries, a random sample that is the same each time; `DEFAULT_LIMIT` if None."""
    limit = limit or DEFAULT_LIMIT
    if len(labelled) <= limit:
        return dict(labelled)
    return {query: labelled[query] for query in random.Random(0).sample(sorted(labelled), limit)}


def warn_of_reported(split: str | None, what: str) -> None:
    """Say on stderr that what was chosen on a test split must not be reported on it.

    Args:
        split: which was used.
        what: was chosen, such as `trust in words is`.
    """
    if split == _REPORTED:
        errors.print(
            f"note: {what} now chosen on the {split} split: do not report results on it", soft_wrap=True
        )
