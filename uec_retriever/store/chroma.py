"""The index as a Chroma collection."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.errors import NotFoundError

from uec_retriever.data.records import Record
from uec_retriever.errors import IndexBusyError, NotAnIndexError, StorageError
from uec_retriever.gaussian import Array
from uec_retriever.store import reads
from uec_retriever.store.access import Access, access_to, read_manifest
from uec_retriever.store.connection import Where, connects_to, guard
from uec_retriever.store.entries import (
    Candidates,
    to_candidates,
    to_metadata,
    to_record,
    variance_metadata,
    with_predecessor,
)
from uec_retriever.store.filters import chroma_where
from uec_retriever.store.locks import server_lock
from uec_retriever.store.manifest import Manifest

_SEARCH_WIDTH = 200
_Call = Callable[[Collection], Any]
_QUERIES = 64  # in one call to Chroma
_FOUND = 32_000  # by them together, since Chroma names all that in one statement, which takes 32,766


class ChromaStore:
    """A collection whose records carry their variance. Safe under threads.

    Args:
        access: to the collection.
        name: of the collection.
    """

    def __init__(self, access: Access, name: str) -> None:
        self._access = access
        self._name = name
        self._batch = int(access.client.get_max_batch_size())
        self._closed = False

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

    @classmethod
    def create(
        cls, client: ClientAPI, name: str, manifest: Manifest, database: Path | None = None
    ) -> ChromaStore:
        """Make an empty index, in a database of ours if its folder is given. Raises StorageError if the name is taken."""
        with guard("create the collection"):
            client.create_collection(
                name,
                embedding_function=None,
                metadata=manifest.to_metadata(),
                configuration={"hnsw": {"space": "ip", "ef_search": _SEARCH_WIDTH}},
            )
        return cls(access_to(client, name, database), name)

    @classmethod
    def open(cls, client: ClientAPI, name: str, database: Path | None = None) -> tuple[ChromaStore, Manifest]:
        """Open an index.

        Args:
            client: any Chroma client.
            name: of the collection.
            database: its folder, if the client is an embedded one of ours.

        Returns:
            The store, and the manifest as it is stored now.

        Raises:
            NotAnIndexError: if there is no such collection, or it is not ours.
            FormatVersionError: if another format version wrote it.
            CorruptFileError: if vectors are lost that Chroma cannot make anew.
        """
        manifest = read_manifest(client, name)
        return cls(access_to(client, name, database), name), manifest

    @staticmethod
    def exists(client: ClientAPI, name: str) -> bool:
        """Whether a collection of that name is there, ours or not."""
        with guard("list the collections"):
            return any(c.name == name for c in client.list_collections())

    def close(self) -> None:
        """Close the client, if it is of a kind that can be."""
        self._closed = True
        self._access.close()

    def read_manifest(self) -> Manifest:
        """The manifest as it is stored now; raises NotAnIndexError if the index is gone."""
        with self._call_chroma("open"):
            collection = self._access.client.get_collection(self._name, embedding_function=None)
        return Manifest.from_metadata(collection.metadata, self._name)

    def compact(self) -> None:
        """Let go of what an embedded Chroma's log holds in vain, if that is much."""
        self._access.compact()

    def save_manifest(self, manifest: Manifest, replacing: Manifest) -> Manifest:
        """Replace the stored manifest (only its calibration may change).

        Args:
            manifest: the new one.
            replacing: the one it was made from, which must still be the stored one.

        Returns:
            The new one, a generation later.

        Raises:
            IndexBusyError: if another one has been stored meanwhile; nothing is changed then.
        """
        on_server = connects_to(self.client) == "server"
        with server_lock(self.client, self._name) if on_server else contextlib.nullcontext():
            if self.read_manifest().generation != replacing.generation:
                raise IndexBusyError(
                    "another process calibrated the index meanwhile: nothing was changed, run it again if you "
                    "want yours"
                )
            saved = replace(manifest, generation=replacing.generation + 1)
            with self._call_chroma("save the manifest", change=True) as collection:
                collection.modify(metadata=dict(saved.to_metadata()))
        return saved

    def count(self) -> int:
        """Number of records."""
        with self._call_chroma("count") as collection:
            return int(collection.count())

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

    def put(
        self,
        records: Sequence[Record],
        means: Array,
        variances: Sequence[str],
        replaced: Mapping[str, Record] | None = None,
    ) -> None:
        """Add records or replace those of the same id, whole: no stale metadata survives.

        One call to Chroma per batch, which either happens or does not.

        Args:
            records: n.
            means: `[n, D]`.
            variances: n, coded.
            replaced: what is there under the same ids; looked up if None.
        """
        if replaced is None:
            replaced = {r.id: r for r in self.get([r.id for r in records])}
        vectors = np.asarray(means, dtype=np.float32)
        for start in range(0, len(records), self._batch):
            rows = slice(start, start + self._batch)
            part = records[rows]
            metadatas: list[Any] = [
                {**to_metadata(r, replaced.get(r.id)), **variance_metadata(v)}
                for r, v in zip(part, variances[rows], strict=True)
            ]
            ids, documents = [r.id for r in part], [r.text for r in part]
            with self._call_chroma("write", change=True) as collection:
                # add would keep silent about an id that another writer used
                collection.upsert(ids, vectors[rows], metadatas, documents)

    def replace_metadata(self, records: Sequence[Record], replaced: Mapping[str, Record]) -> None:
        """Give records new metadata in place of what `replaced` holds; text, mean and variance stay.

        Payload and source stay too where the new record has none.
        """
        for start in range(0, len(records), self._batch):
            part = records[start : start + self._batch]
            metadatas: list[Any] = [
                to_metadata(with_predecessor(r, replaced[r.id]), replaced[r.id]) for r in part
            ]
            with self._call_chroma("write", change=True) as collection:
                collection.update([r.id for r in part], metadatas=metadatas)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete by ids, unknown ones passed over; returns how many records went."""
        for part in self._parts(present := self.present(ids)):
            with self._call_chroma("delete", change=True) as collection:
                collection.delete(ids=part)
        return len(present)

    def query(self, vectors: Array, limit: int, where: Where | None = None) -> list[Candidates]:
        """The nearest records of each of n query vectors.

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
            found += map(to_candidates, *(result[column] for column in reads.QUERIED))
        return found
