"""Which records of a stream came before."""

from __future__ import annotations

from collections.abc import Iterable

from uec_retriever.data.records import Record, given_twice, unique


class SeenIds:
    """Takes from a stream of records what comes twice; of each it holds the id and a number."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def __contains__(self, identifier: str) -> bool:
        """Whether a record of that id came."""
        return identifier in self._seen

    def new(self, records: Iterable[Record]) -> list[Record]:
        """Those of the next records that did not come before, in order.

        Raises:
            IdConflictError: if one id stands for two different records.
        """
        found = []
        for record in unique(records):
            told = repr(sorted(record.metadata.items()))
            content = hash((record.text, record.embedded, record.payload, record.source, told))
            before = self._seen.get(record.id)
            if before is None:
                self._seen[record.id] = content
                found.append(record)
            elif before != content:
                raise given_twice(record.id)
        return found
