"""The index as a Chroma collection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.errors import InternalError, NotFoundError

from uec_retriever.data.records import Record
from uec_retriever.errors import IndexBusyError, NotAnIndexError, StorageError
from uec_retriever.gaussian import Array
from uec_retriever.store.connection import Where, connect, connects_to, forget, guard
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
from uec_retriever.store.release import close_client

_SEARCH_WIDTH = 200
_QUERIES = 64  # in one call to Chroma


class ChromaStore:
    """A collection whose records carry their variance. Safe under threads.

    Args:
        client: any Chroma client.
        collection: of the client.
        dimension: D of the stored vectors.
    """

    def __init__(self, client: ClientAPI, collection: Collection, dimension: int) -> None:
        self.client = client
        self._collection = collection
        self._dimension = dimension
        self._batch = int(client.get_max_batch_size())
        self._stuck = False
        self._closed = False
        self._reconnecting = threading.Lock()

    @property
    def collection(self) -> Collection:
        """The collection, of a new client if the embedded one is stuck (see `_call_chroma`)."""
        if self._stuck:
            with self._reconnecting:
                if self._stuck:
                    self.client = connect(Path(self.client.get_settings().persist_directory))
                    self._collection = self.client.get_collection(
                        self._collection.name, embedding_function=None
                    )
                    self._stuck = False
        return self._collection

    @contextlib.contextmanager
    def _call_chroma(self, action: str, where: Where | None = None) -> Iterator[None]:
        """As `guard`; an embedded Chroma that failed, say on a full disk, hangs at the next call: drop it.

        Around calls to Chroma and nothing else: what fails in our own code is no fault of Chroma's.
        """
        self._check_open()
        try:
            with guard(action, where):
                yield
        except NotFoundError as error:
            raise NotAnIndexError(
                f"the collection of the index is gone, so Chroma could not {action}: open it again"
            ) from error
        except StorageError as error:
            settings = self.client.get_settings()
            if settings.is_persistent and isinstance(error.__cause__, InternalError | OSError):
                forget(settings.persist_directory)
                self._stuck = True
            raise

    @classmethod
    def create(cls, client: ClientAPI, name: str, manifest: Manifest) -> ChromaStore:
        """Make an empty index. Raises StorageError if the name is taken."""
        with guard("create the collection"):
            collection = client.create_collection(
                name,
                embedding_function=None,
                metadata=manifest.to_metadata(),
                configuration={"hnsw": {"space": "ip", "ef_search": _SEARCH_WIDTH}},
            )
        return cls(client, collection, manifest.dimension)

    @classmethod
    def open(cls, client: ClientAPI, name: str) -> tuple[ChromaStore, Manifest]:
        """Open an index.

        Returns:
            The store, and the manifest as it is stored now.

        Raises:
            NotAnIndexError: if there is no such collection, or it is not ours.
            FormatVersionError: if another format version wrote it.
        """
        collection, manifest = _read(client, name)
        return cls(client, collection, manifest.dimension), manifest

    @staticmethod
    def exists(client: ClientAPI, name: str) -> bool:
        """Whether a collection of that name is there, ours or not."""
        with guard("list the collections"):
            return any(c.name == name for c in client.list_collections())

    def close(self) -> None:
        """Close the client, if it is of a kind that can be."""
        self._closed = True
        close_client(self.client)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("the index is closed: open it again")

    def read_manifest(self) -> Manifest:
        """The manifest as it is stored now; raises NotAnIndexError if the index is gone."""
        self._check_open()
        return _read(self.client, self.collection.name)[1]

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
        with server_lock(self.client, self.collection.name) if on_server else contextlib.nullcontext():
            if self.read_manifest().generation != replacing.generation:
                raise IndexBusyError(
                    "another process calibrated the index meanwhile: nothing was changed, run it again if you "
                    "want yours"
                )
            saved = replace(manifest, generation=replacing.generation + 1)
            with self._call_chroma("save the manifest"):
                self.collection.modify(metadata=dict(saved.to_metadata()))
        return saved

    def count(self) -> int:
        """Number of records."""
        with self._call_chroma("count"):
            return int(self.collection.count())

    def ids(self, where: Where | None = None) -> list[str]:
        """Ids of all records that match a filter, in the order they were added."""
        condition = chroma_where(where)
        with self._call_chroma("read", where):
            return list(self.collection.get(where=condition, include=[])["ids"])

    def present(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that are there, each once."""
        return [i for part in self._parts(ids) for i in self._get(part, [])["ids"]]

    def get(self, ids: Sequence[str], where: Where | None = None) -> list[Record]:
        """Records by id, in that order, those absent or not matching a filter left out."""
        found: dict[str, Record] = {}
        for part in self._parts(ids):
            result = self._get(part, ["documents", "metadatas"], where)
            found.update((r.id, r) for r in map(to_record, *_columns(result)))
        return [found[i] for i in dict.fromkeys(ids) if i in found]

    def pages(self, where: Where | None = None, size: int = 1000) -> Iterator[list[Record]]:
        """All records that match a filter and were there when it began, a page at a time.

        Found by their ids, since pages by offset skip records while others are deleted.
        """
        ids = self.ids(where)
        for start in range(0, len(ids), size):
            if page := self.get(ids[start : start + size]):
                yield page

    def vectors(self, ids: Sequence[str]) -> Array:
        """`[n, D]` means of the records among `ids` that are there, in that order, float32."""
        found: dict[str, Any] = {}
        for part in self._parts(ids):
            result = self._get(part, ["embeddings"])
            found.update(zip(result["ids"], result["embeddings"], strict=True))
        rows = [found[i] for i in dict.fromkeys(ids) if i in found]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), self._dimension)

    def _parts(self, ids: Sequence[str]) -> Iterator[list[str]]:
        """Distinct ids, as many at a time as Chroma takes."""
        distinct = list(dict.fromkeys(ids))
        return (distinct[i : i + self._batch] for i in range(0, len(distinct), self._batch))

    def _get(self, ids: list[str], include: list[Any], where: Where | None = None) -> Any:
        condition = chroma_where(where)
        with self._call_chroma("read", where):
            return self.collection.get(ids=ids, where=condition, include=include)

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
            records: n records.
            means: `[n, D]`.
            variances: n coded variances.
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
            with self._call_chroma("write"):  # add would keep silent about an id that another writer used
                self.collection.upsert(ids, vectors[rows], metadatas, documents)

    def replace_metadata(self, records: Sequence[Record], replaced: Mapping[str, Record]) -> None:
        """Give records new metadata in place of what `replaced` holds; text, mean and variance stay.

        Payload and source stay too where the new record has none.
        """
        for start in range(0, len(records), self._batch):
            part = records[start : start + self._batch]
            ids = [r.id for r in part]
            metadatas: list[Any] = [
                to_metadata(with_predecessor(r, replaced[r.id]), replaced[r.id]) for r in part
            ]
            with self._call_chroma("write"):
                self.collection.update(ids, metadatas=metadatas)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete by ids, unknown ones passed over; returns how many records went."""
        present = self.present(ids)
        for part in self._parts(present):
            with self._call_chroma("delete"):
                self.collection.delete(ids=part)
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
        for start in range(0, len(vectors), _QUERIES):
            part = np.asarray(vectors[start : start + _QUERIES], dtype=np.float32)
            with self._call_chroma("query", where):
                result: Any = self.collection.query(
                    query_embeddings=part,
                    n_results=limit,
                    where=condition,
                    include=["documents", "metadatas", "distances"],
                )
            found += map(to_candidates, *_columns(result), result["distances"])
        return found


def _read(client: ClientAPI, name: str) -> tuple[Collection, Manifest]:
    try:
        with guard("open the collection"):
            collection = client.get_collection(name, embedding_function=None)
    except NotFoundError as error:
        raise NotAnIndexError(f"there is no collection {name!r} here: make it with 'uec index'") from error
    return collection, Manifest.from_metadata(collection.metadata, name)


def _columns(result: Any) -> tuple[list[Any], list[Any], list[Any]]:
    return result["ids"], result["documents"], result["metadatas"]
