"""Queries whose right answers are known: made from an index, from pairs, or labelled by the user."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from uec_retriever.data.pairs import CalibrationPairs, PairSampler
from uec_retriever.data.records import Record, check_ids
from uec_retriever.data.texts import check_texts
from uec_retriever.errors import InvalidInputError

MINIMUM_QUERIES = 32  # to calibrate confidence on
LABELS = (
    "give queries whose right answers you know (labelled=..., on the command line --data, --judgements, or --queries and "
    "--qrels)"
)
"""What to do where an index makes no good queries of its own."""
_SAME = 0.8  # Jaccard index of the words of two texts from which they say the same


@dataclass(frozen=True)
class LabelledQuery:
    """A query whose right answers are known.

    Attributes:
        text: the query.
        answers: texts that make a record a right answer.
        ids: of the right records, where they are known.
        planted: a text that takes the place of the records that hold the answer; None if the
            records themselves are to be found.
        off_topic: whether the index has nothing of the kind.
    """

    text: str
    answers: tuple[str, ...]
    ids: frozenset[str] = frozenset()
    planted: str | None = None
    off_topic: bool = False

    def is_answered_by(self, identifier: str, text: str) -> bool:
        """Whether a record is a right answer, holds one, or nearly repeats one."""
        if identifier in self.ids:
            return True
        plain = _plain(text)
        words = set(plain.split())
        return any(
            known in plain or len(words & own) >= _SAME * len(words | own) for known, own in self._answers
        )

    @cached_property
    def _answers(self) -> list[tuple[str, set[str]]]:
        return [(plain, set(plain.split())) for plain in map(_plain, self.answers)]


def index_pairs(pages: Iterable[Sequence[Record]], *, limit: int, seed: int = 0) -> CalibrationPairs:
    """Pseudo-queries and the rest of their texts, from a sample of an index (see `pseudo_pairs`).

    Args:
        pages: records; a `title` in their metadata serves as a query.
        limit: at most this many pairs.
        seed: of the sample.

    Raises:
        InvalidInputError: if the texts yield too few.
    """
    sampler = PairSampler(limit, seed)
    for page in pages:
        for record in page:
            sampler.offer(record.text, record.title)
    return sampler.pairs(
        min(limit, MINIMUM_QUERIES), f"its texts are too few or too short to make queries of: {LABELS}"
    )


def pair_queries(pairs: CalibrationPairs) -> list[LabelledQuery]:
    """Queries whose answers are planted among the candidates.

    A query made from a text is answered by every text that holds it, a user's own is not.
    """
    made = pairs.source != "user"
    return [
        LabelledQuery(query, (positive, f"{query} {positive}", *([query] if made else [])), planted=positive)
        for query, positive in zip(pairs.queries, pairs.positives, strict=True)
    ]


def check_labelled(labelled: Mapping[str, Collection[str]]) -> list[str]:
    """The ids that labelled queries name, sorted.

    Raises:
        InvalidInputError: for what is no mapping of queries to ids, or a query that cannot be encoded.
    """
    if not isinstance(labelled, Mapping) or any(isinstance(ids, str) for ids in labelled.values()):
        raise InvalidInputError("labelled queries are a dictionary of query -> list of ids")
    check_texts(labelled, "labelled query")
    return sorted({i for ids in labelled.values() for i in check_ids(ids)})


def labelled_queries(
    labelled: Mapping[str, Collection[str]], texts: Mapping[str, str]
) -> list[LabelledQuery]:
    """Queries whose answers are records of the index.

    Args:
        labelled: query -> ids of its right records.
        texts: id -> text of those records that are in the index.

    Raises:
        InvalidInputError: for a bad query, or if none of the ids is in the index.
    """
    wanted = check_labelled(labelled)
    if wanted and not texts:
        raise InvalidInputError(
            f"none of the {len(wanted)} ids that labelled queries name, e.g. {wanted[0]!r}, is in the index"
        )
    return [
        LabelledQuery(query, tuple(texts[i] for i in ids if i in texts), frozenset(ids))
        for query, ids in ((query, sorted(map(str, ids))) for query, ids in labelled.items())
    ]


def _plain(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.lower().split())
