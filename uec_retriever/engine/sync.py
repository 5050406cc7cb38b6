"""Making an index equal to a corpus: what the corpus no longer holds is deleted, once all of it was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from uec_retriever.data.records import Record
from uec_retriever.engine.results import AddReport
from uec_retriever.errors import InvalidInputError


@dataclass(frozen=True)
class SyncReport:
    """What became of an index that was made equal to a corpus.

    Attributes:
        change: what became of the texts of the corpus.
        deleted: how many texts were deleted, as the corpus no longer holds them.
        before: texts in the index before.
        after: texts in it now.
        deleted_ids: ids of the first deleted ones.
    """

    change: AddReport
    deleted: int
    before: int
    after: int
    deleted_ids: tuple[str, ...] = field(default=(), compare=False)


class Absent:
    """Which ids of an index a corpus does not hold; known once the corpus was read to its end.

    Args:
        there: ids in the index before anything of the corpus is added.
    """

    def __init__(self, there: Iterable[str]) -> None:
        self._there = dict.fromkeys(there)
        self._read: int | None = None

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records of the corpus as they are, each looked at."""
        read = 0
        for record in records:
            self._there.pop(record.id, None)
            read += 1
            yield record
        self._read = read

    @property
    def is_empty(self) -> bool:
        """Whether the corpus was read to its end and held nothing."""
        return self._read == 0

    def ids(self) -> list[str]:
        """The ids, in the order of the index; none while the corpus was not read to its end."""
        return list(self._there) if self._read is not None else []

    def refuse_empty(self) -> None:
        """Refuse to delete everything.

        Raises:
            InvalidInputError: if the corpus held nothing.
        """
        if self.is_empty:
            raise InvalidInputError(
                "the corpus is empty: nothing was deleted. To delete every text, delete the index's folder, or its "
                "texts by id"
            )
