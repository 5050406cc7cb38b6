"""What records change in an index: each is compared with what is there, and so is the document that it is a part of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from uec_retriever.data.records import SOURCE_KEY, Record, piece_id, same_content
from uec_retriever.data.seen import SeenIds
from uec_retriever.data.truncation import SHOWN
from uec_retriever.engine.existing import Existing
from uec_retriever.errors import IdConflictError, show
from uec_retriever.store.reader import CollectionReader

_SOURCES = 500  # in one filter
_ADVICE = "replace them with existing='replace' (--existing replace), keep what is there with existing='skip', or use other ids"


@dataclass(frozen=True)
class Change:
    """What some of the records change.

    Attributes:
        there: records of the same ids that are in the index, by id.
        fresh: records to encode.
        retold: records of which only the metadata are new.
        unchanged: how many are there as they are.
        skipped: how many stay out, as they, or their documents, are there with other content.
        passed: how many of those that were given need no encoding.
    """

    there: Mapping[str, Record]
    fresh: Sequence[Record]
    retold: Sequence[Record] = ()
    unchanged: int = 0
    skipped: int = 0
    passed: int = 0


class Comparison:
    """Compares a stream of records with an index; of those that came it holds ids alone.

    A document is a whole text, whose id is the document's, or the records that have the document as their `source`: all of
    them, which come one after the other. What else the index has of it is stale, pieces beside a whole text too.

    Args:
        store: of the index; None if there is none.
        existing: what becomes of documents that are there with other content.
        whole: whether records with a source are all that there is of their document; if not, each stands for itself.
        size: records that are changed at a time at most.
    """

    def __init__(self, store: CollectionReader | None, existing: Existing, *, whole: bool, size: int) -> None:
        self._store, self._existing, self._whole, self._size = store, existing, whole, size
        self._seen = SeenIds()
        self._known: set[str] = set()  # sources of which what is in the index is known
        self._stale: dict[str, None] = {}

    @property
    def stale(self) -> list[str]:
        """Ids of what is in the index of documents that take the place of others, and no part of these.

        Known when all records were compared; first parts of a document come before later ones.
        """
        return list(self._stale)

    def changes(self, records: Iterable[Record]) -> Iterator[Change]:
        """What records change, some of them at a time.

        Raises:
            IdConflictError: if one id stands for two different records; for a document that is there with other content, if
                `existing` is `refuse`, before any of it is told.
        """
        for group in self._groups(records):
            yield from self._split(self._compare(self._seen.new(group), len(group)))

    def _groups(self, records: Iterable[Record]) -> Iterator[list[Record]]:
        """Records, some at a time: where documents may stay as they are, none of these is parted."""
        if self._existing == "replace" or not self._whole:
            stream = iter(records)
            yield from iter(lambda: list(islice(stream, self._size)), [])
            return
        group: list[Record] = []
        for record in _by_document(records) if isinstance(records, Sequence) else records:
            if len(group) >= self._size and record.source != group[-1].source:
                yield group
                group = []
            group.append(record)
            if len(group) >= self._size and record.source is None:
                yield group
                group = []
        if group:
            yield group

    def _compare(self, records: Sequence[Record], given: int) -> Change:
        """What some records change, none of which came before."""
        there, stale = self._look(records)
        skipped = 0
        if self._existing == "replace":
            for record in records:
                self._stale.pop(record.id, None)
            self._stale.update(dict.fromkeys(stale))
        else:
            kept = self._without_conflicts(records, there, stale)
            skipped, records = len(records) - len(kept), kept
        fresh = [r for r in records if r.id not in there or reads(there[r.id]) != reads(r)]
        retold = [
            r
            for r in records
            if r.id in there and reads(there[r.id]) == reads(r) and not same_content(there[r.id], r)
        ]
        unchanged = len(records) - len(fresh) - len(retold)
        return Change(there, fresh, retold, unchanged, skipped, given - len(fresh))

    def _look(self, records: Sequence[Record]) -> tuple[dict[str, Record], list[str]]:
        """What is there under the ids of records; ids of what else is there of their documents.

        A text without a source costs no call to Chroma for that: had it been split, its first piece would be there.
        """
        if self._store is None:
            return {}, []
        sources, first = [], []
        if self._whole:
            sources = [s for s in dict.fromkeys(r.source for r in records) if s and s not in self._known]
            first = [piece_id(r.id, 0) for r in records if r.source is None]
        found = {r.id: r for r in self._store.get([*(r.id for r in records), *sources, *first])}
        beside = [s for s in sources if s in found and found[s].source in (None, s)]
        sources += [
            r.id
            for r in records
            if self._whole and r.source is None and _has_source(found.get(piece_id(r.id, 0)), r.id)
        ]
        self._known.update(sources)
        beside += parts_of(self._store, sources)
        return found, [i for i in dict.fromkeys(beside) if i not in self._seen]

    def _without_conflicts(
        self, records: Sequence[Record], there: Mapping[str, Record], stale: Sequence[str]
    ) -> list[Record]:
        """Records of documents that are not there with other content."""
        changed = [r for r in records if r.id in there and not same_content(there[r.id], r)]
        beside = self._store.get(stale) if self._store and stale else []
        documents = dict.fromkeys(map(self._document, [*changed, *beside]))
        if documents and self._existing == "refuse":
            of_ids = all(r.id in documents for r in changed) and not beside
            what = "ids are in the index with another text or metadata"
            what = what if of_ids else "documents are in the index with other content"
            named = ", ".join(map(show, list(documents)[:SHOWN])) + ", ..." * (len(documents) > SHOWN)
            raise IdConflictError(f"{len(documents)} {what} ({named}): {_ADVICE}")
        return [r for r in records if self._document(r) not in documents]

    def _document(self, record: Record) -> str:
        return record.source or record.id if self._whole else record.id

    def _split(self, change: Change) -> Iterator[Change]:
        """A change in parts that are small enough."""
        fresh = change.fresh
        yield Change(
            change.there,
            fresh[: self._size],
            change.retold,
            change.unchanged,
            change.skipped,
            change.passed,
        )
        for start in range(self._size, len(fresh), self._size):
            yield Change(change.there, fresh[start : start + self._size])


def parts_of(store: CollectionReader, documents: Sequence[str]) -> list[str]:
    """Ids of the records that have one of some documents as their source, those of a document in order."""
    parts = range(0, len(documents), _SOURCES)
    return [
        i
        for start in parts
        for i in store.ids({SOURCE_KEY: {"$in": list(documents[start : start + _SOURCES])}})
    ]


def with_parts(store: CollectionReader, ids: Sequence[str]) -> list[str]:
    """Those of some ids that are in an index, and those of the parts of the documents that they name, each once."""
    return list(dict.fromkeys([*store.present(ids), *parts_of(store, list(dict.fromkeys(ids)))]))


def reads(record: Record) -> tuple[str, str | None]:
    """What cannot change without embedding or storing the text anew."""
    return record.text, record.embedded


def _has_source(record: Record | None, source: str) -> bool:
    return record is not None and record.source == source


def _by_document(records: Sequence[Record]) -> Iterator[Record]:
    """Records, those of one document one after the other."""
    groups: dict[tuple[int, str], list[Record]] = {}
    for position, record in enumerate(records):
        key = (position, "") if record.source is None else (-1, record.source)
        groups.setdefault(key, []).append(record)
    for group in groups.values():
        yield from group
