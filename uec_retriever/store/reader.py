"""Reading the records of a Chroma collection."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.errors import NotFoundError

from uec_retriever.data.records import RESERVED_PREFIXES, Record
from uec_retriever.errors import NotAnIndexError, StorageError
from uec_retriever.gaussian import Array
from uec_retriever.store import reads
from uec_retriever.store.access import Access
from uec_retriever.store.changes import Changes
from uec_retriever.store.connection import Where, guard
from uec_retriever.store.entries import Candidates, Stored, to_candidates, to_record, to_stored
from uec_retriever.store.filter_advice import advice, can_be_odd
from uec_retriever.store.filters import chroma_where
from uec_retriever.store.rows import COLUMNS, Columns

_logger = logging.getLogger(__name__)
_Call = Callable[[Collection], Any]
_SAMPLE = 300  # records that tell which metadata there are
_QUERIES = 64  # in one call to Chroma
_FOUND = 32_000  # by them together, since Chroma names all that in one statement, which takes 32,766


class CollectionReader:
    """The reading half of `ChromaStore`. Safe under threads.

    Args:
        access: to the collection.
        name: of the collection.
    """

    def __init__(self, access: Access, name: str) -> None:
        self._access = access
        self._name = name
        self._batch = int(access.client.get_max_batch_size())
        self._closed = False
        self._told = False
        self._counted: tuple[object, int] = (None, 0)  # the stamp as of which, and how many

    @property
    def client(self) -> ClientAPI:
        """The client of the moment; an embedded one is replaced when another process has changed the index."""
        return self._access.client

    @property
    def collection(self) -> Collection:
        """The collection of the moment."""
        with self._call_chroma("read") as collection:
            return collection

    def loads(self) -> int:
        """How often the collection was loaded; it is loaded anew here if another process has changed it."""
        with self._call_chroma("read"):
            return self._access.loads

    @contextlib.contextmanager
    def _call_chroma(
        self, action: str, where: Where | None = None, *, change: bool = False
    ) -> Iterator[Collection]:
        """The collection, for one call; errors as of `guard`.

        Around calls to Chroma and nothing else: what fails in our own code is no fault of Chroma's.
        """
        if self._closed:
            raise StorageError("the index is closed: open it again")
        access = self._access.changing() if change else self._access.reading()
        try:
            with guard(action, where), access as collection:
                yield collection
        except NotFoundError as error:
            raise NotAnIndexError(
                f"the collection of the index is gone, so Chroma could not {action}: open it again"
            ) from error

    def close(self) -> None:
        """Close the client, if it is of a kind that can be."""
        self._closed = True
        self._access.close()

    def count(self) -> int:
        """Number of records."""
        with self._call_chroma("count") as collection:
            return int(collection.count())

    def known_count(self) -> int:
        """Number of records; counted again only where the stamp is another, or there is none."""
        stamp, (known, count) = self.stamp(), self._counted
        if stamp is None or stamp != known:
            count = self.count()
            self._counted = stamp, count
        return count

    def ids(self, where: Where | None = None) -> list[str]:
        """Ids of all records that match a filter, in the order they were added."""
        condition = chroma_where(where)
        with self._call_chroma("read", where) as collection:
            return reads.matching_ids(collection, condition)

    def present(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that are there, each once."""
        return [i for part in self._parts(ids) for i in self._get(part, [])["ids"]]

    def get(self, ids: Sequence[str], where: Where | None = None) -> list[Record]:
        """Records by id, in that order, those absent or not matching a filter left out."""
        found: dict[str, Record] = {}
        for part in self._parts(ids):
            result = self._get(part, ["documents", "metadatas"], where)
            found.update(
                (r.id, r) for r in map(to_record, result["ids"], result["documents"], result["metadatas"])
            )
        return [found[i] for i in dict.fromkeys(ids) if i in found]

    def pages(self, where: Where | None = None, size: int = 1000) -> Iterator[list[Record]]:
        """All records that match a filter and were there when it began, a page at a time.

        Found by their ids, since pages by offset skip records while others are deleted.
        """
        ids = self.ids(where)
        for start in range(0, len(ids), size):
            if page := self.get(ids[start : start + size]):
                yield page

    def vectors(self, ids: Sequence[str]) -> dict[str, Array]:
        """Id -> `[D]` mean, float32, of the records among `ids` that are there."""
        found: dict[str, Array] = {}
        for part in self._parts(ids):
            result = self._get(part, ["embeddings"])
            found.update(zip(result["ids"], np.asarray(result["embeddings"], dtype=np.float32), strict=True))
        return found

    def _parts(self, ids: Sequence[str]) -> Iterator[list[str]]:
        """Distinct ids, as many at a time as Chroma takes."""
        return reads.slices(list(dict.fromkeys(ids)), self._batch)

    def _get(self, ids: list[str], include: list[Any], where: Where | None = None) -> Any:
        condition = chroma_where(where)
        return self._read(
            "read", where, lambda collection: reads.get_matching(collection, ids, condition, include)
        )

    def _read(self, action: str, where: Where | None, call: _Call) -> Any:
        def read() -> Any:
            with self._call_chroma(action, where) as collection:
                return call(collection)

        return reads.read_patiently(read)

    def explain_nothing(self, where: Where) -> str | None:
        """Why a filter may have found nothing, told from some records; None if they do not tell.

        It costs a call to Chroma, but for filters that compare nothing of the user's, such as those by id.
        """
        if not can_be_odd(where):
            return None
        with self._call_chroma("read") as collection:
            found = collection.get(limit=_SAMPLE, include=["metadatas"])
        own = [
            {key: value for key, value in (metadata or {}).items() if not key.startswith(RESERVED_PREFIXES)}
            for metadata in found["metadatas"] or []
        ]
        return advice(where, own, len(own) < _SAMPLE)

    def stored(self, ids: Sequence[str]) -> dict[str, Stored]:
        """Id -> all that is stored of the records among `ids` that are there.

        Left out are those that Chroma's graph has not got yet, and, with a warning, those of someone else.
        """
        found: dict[str, Stored] = {}
        for part in self._parts(ids):
            columns, others = self._read_rows(part)
            for each in (columns, self._get_known(others)) if others else (columns,):
                found.update(to_stored(*(each[name] for name in COLUMNS)))
        return found

    def _read_rows(self, ids: list[str]) -> tuple[Columns, list[str]]:
        """Chroma's columns of what can be read without it, and the ids that are left to it: all, should its tables change."""
        try:
            with self._call_chroma("read"):
                return self._access.rows(ids)
        except StorageError:
            if self._closed:
                raise
            return {name: [] for name in COLUMNS}, ids

    def _get_known(self, ids: list[str]) -> Any:
        """Chroma's columns of those ids that its graph has."""
        include: list[Any] = ["documents", "metadatas", "embeddings"]
        try:
            with self._call_chroma("read") as collection:
                return collection.get(ids=ids, include=include)
        except StorageError as error:
            if not reads.is_behind(error):
                raise
        if len(ids) == 1:
            return {name: [] for name in COLUMNS}
        parts = [self._get_known(half) for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :])]
        return {name: [value for part in parts for value in part[name]] for name in COLUMNS}

    def stamp(self) -> object:
        """Something that differs once the collection is changed, by whomever; None where nothing cheap tells."""
        with self._call_chroma("read"):
            return self._access.stamp()

    def changes(self, mark: str) -> Changes:
        """What was changed since an earlier look.

        Args:
            mark: of that; "" if there was none.
        """
        with self._call_chroma("read what was changed"):
            return self._access.changes(mark)

    def query(self, vectors: Array, limit: int, where: Where | None = None) -> list[Candidates]:
        """The nearest records of each of n query vectors; without a filter all, if there are no more than that.

        If Chroma's graph does not reach some of them, it is made anew.

        Args:
            vectors: `[n, D]`.
            limit: at most this many for each, >= 1.
            where: Chroma's metadata filter.
        """
        condition = chroma_where(where)
        found: list[Candidates] = []
        together = max(1, min(_QUERIES, _FOUND // limit))
        for start in range(0, len(vectors), together):
            part = np.asarray(vectors[start : start + together], np.float32)
            search = functools.partial(reads.query_matching, vectors=part, limit=limit, condition=condition)
            result = self._read("query", where, search)
            if condition is None and self._is_short(result, limit) and self._reach_all(search, limit):
                result = self._read("query", where, search)
            found += map(to_candidates, *(result[column] for column in reads.QUERIED))
        return found

    def _is_short(self, result: Any, limit: int) -> bool:
        """Whether a query without a filter has found fewer records than there are."""
        fewest = min(map(len, result["ids"]))
        return fewest < limit and fewest < min(limit, self.known_count())

    def _reach_all(self, search: _Call, limit: int) -> bool:
        """Have Chroma's graph made anew if it does not reach some records; returns whether it was."""
        there = self.count()
        result = self._read("query", None, search)
        if not self._is_short(result, min(limit, there)):  # somebody added or deleted some meanwhile
            return False
        reached = min(map(len, result["ids"]))
        with self._call_chroma("make the graph anew"):
            anew = self._access.make_graph_anew()
        if anew:
            _logger.warning("a search reached %d of %d texts: Chroma's graph was made anew", reached, there)
        elif not self._told:
            self._told = True
            _logger.warning(
                "a search reached %d of %d texts, for Chroma's graph has lost the way to the others: 'uec repair' mends it, of "
                "a server's folder once that is stopped",
                reached,
                there,
            )
        return anew
