"""Making an index equal to a corpus: what the corpus no longer holds is deleted, once all of it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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


class PartlyRead:
    """Records of a corpus that is there for more than could be read of it.

    Args:
        records: what could be read.
        holds: whether the corpus may hold a text of that id nevertheless; asked when all records were read.

    Attributes:
        kept: ids in the index that it may hold, after they were asked for.
    """

    def __init__(self, records: Iterable[Record], holds: Callable[[str], bool]) -> None:
        self.holds = holds
        self.kept: list[str] = []
        self._records = records

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)


class Absent:
    """Which ids of an index a corpus does not hold; known once the corpus was read to its end.

    Args:
        there: ids in the index before anything of the corpus is added.
    """

    def __init__(self, there: Iterable[str]) -> None:
        self._there = dict.fromkeys(there)
        self._read: int | None = None

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records of the corpus as they are, each looked at; what one that is `PartlyRead` may hold is not absent."""
        read = 0
        for record in records:
            self._there.pop(record.id, None)
            read += 1
            yield record
        if isinstance(records, PartlyRead):
            records.kept = [identifier for identifier in self._there if records.holds(identifier)]
            for identifier in records.kept:
                del self._there[identifier]
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
