"""The index as a Chroma collection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.errors import InternalError, NotFoundError

from uec_retriever.data.records import RESERVED_PREFIXES, SOURCE_KEY, Record
from uec_retriever.errors import NotAnIndexError, StorageError
from uec_retriever.gaussian import Array
from uec_retriever.store.connection import Where, connect, forget, guard
from uec_retriever.store.filters import chroma_where
from uec_retriever.store.manifest import Manifest

DEFAULT_COLLECTION = "uec"
_VARIANCE, _EMBEDDED, _PAYLOAD = "uec:v", "uec:e", "uec:p"
_SEARCH_WIDTH = 200


@dataclass(frozen=True, eq=False)
class Candidates:
    """What Chroma returned for one query, nearest first.

    Attributes:
        ids: m ids.
        texts: m texts.
        metadatas: m metadata as stored, ours included.
        means: `[m]` dot products of the query's mean with the stored means.
        variances: m coded variances.
    """

    ids: list[str]
    texts: list[str]
    metadatas: list[Mapping[str, Any]]
    means: Array
    variances: list[str]

    def record(self, row: int) -> Record:
        """One of them, with the user's metadata only."""
        return _record(self.ids[row], self.texts[row], self.metadatas[row])


class ChromaStore:
    """A collection whose records carry their variance.

    Args:
        client: any Chroma client.
        collection: of the client.
        manifest: what made the index.
    """

    def __init__(self, client: ClientAPI, collection: Collection, manifest: Manifest) -> None:
        self.client = client
        self.manifest = manifest
        self._collection = collection
        self._batch = int(client.get_max_batch_size())
        self._stuck = False
        self._reconnecting = threading.Lock()

    @property
    def collection(self) -> Collection:
        """The collection, of a new client if the embedded one is stuck (see `_guarded`)."""
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
    def _guarded(self, action: str, where: Where | None = None) -> Iterator[None]:
        """As `guard`; an embedded Chroma that failed, say on a full disk, hangs at the next call: drop it."""
        try:
            with guard(action, where):
                yield
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
        return cls(client, collection, manifest)

    @classmethod
    def open(cls, client: ClientAPI, name: str) -> ChromaStore:
        """Open an index.

        Raises:
            NotAnIndexError: if there is no such collection, or it is not ours.
            FormatVersionError: if another format version wrote it.
        """
        try:
            with guard("open the collection"):
                collection = client.get_collection(name, embedding_function=None)
        except NotFoundError as error:
            raise NotAnIndexError(
                f"there is no collection {name!r} here: make it with 'uec index'"
            ) from error
        return cls(client, collection, Manifest.from_metadata(collection.metadata, name))

    @staticmethod
    def exists(client: ClientAPI, name: str) -> bool:
        """Whether a collection of that name is there, ours or not."""
        with guard("list the collections"):
            return any(c.name == name for c in client.list_collections())

    def close(self) -> None:
        """Close the client, if it is of a kind that can be."""
        close = getattr(self.client, "close", None)
        if close is not None:
            close()

    def save_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest (only its calibration may change)."""
        with self._guarded("save the manifest"):
            self.collection.modify(metadata=dict(manifest.to_metadata()))
        self.manifest = manifest

    def count(self) -> int:
        """Number of records."""
        with self._guarded("count"):
            return int(self.collection.count())

    def get(self, ids: Sequence[str] | None = None, where: Where | None = None) -> list[Record]:
        """Records by id, in the order of `ids`, those absent left out; or all that match a filter."""
        found: dict[str, Record] = {}
        with self._guarded("read", where):
            if ids is None:
                for batch in self.pages(where):
                    found.update((r.id, r) for r in batch)
                return list(found.values())
            ids = list(dict.fromkeys(ids))
            for start in range(0, len(ids), self._batch):
                part = ids[start : start + self._batch]
                result = self.collection.get(
                    ids=part, where=chroma_where(where), include=["documents", "metadatas"]
                )
                found.update((r.id, r) for r in _records(result))
        return [found[i] for i in ids if i in found]

    def vectors(self, ids: Sequence[str]) -> Array:
        """`[n, D]` means of the records among `ids` that are there, in that order, float32."""
        found: dict[str, Any] = {}
        ids = list(dict.fromkeys(ids))
        for start in range(0, len(ids), self._batch):
            with self._guarded("read"):
                result = self.collection.get(ids=ids[start : start + self._batch], include=["embeddings"])
            embeddings: Any = result["embeddings"]
            found.update(zip(result["ids"], embeddings, strict=True))
        rows = [found[i] for i in ids if i in found]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), self.manifest.dimension)

    def pages(self, where: Where | None = None, size: int = 1000) -> Iterator[list[Record]]:
        """All records, a page at a time."""
        for offset in range(0, self.count(), size):
            with self._guarded("read", where):
                result = self.collection.get(
                    where=chroma_where(where), include=["documents", "metadatas"], limit=size, offset=offset
                )
            yield _records(result)

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
        for start in range(0, len(records), self._batch):
            part = slice(start, start + self._batch)
            metadatas: list[Any] = [
                {**_stored(r, replaced.get(r.id)), _VARIANCE: v}
                for r, v in zip(records[part], variances[part], strict=True)
            ]
            with self._guarded("write"):
                self.collection.upsert(  # add would keep silent about an id that another writer used
                    ids=[r.id for r in records[part]],
                    embeddings=np.asarray(means[part], dtype=np.float32),
                    documents=[r.text for r in records[part]],
                    metadatas=metadatas,
                )

    def replace_metadata(self, records: Sequence[Record], replaced: Mapping[str, Record]) -> None:
        """Give records new metadata in place of what `replaced` holds; text, mean and variance stay.

        Payload and source stay too where the new record has none.
        """
        for start in range(0, len(records), self._batch):
            part = records[start : start + self._batch]
            with self._guarded("write"):
                self.collection.update(
                    ids=[r.id for r in part],
                    metadatas=[_stored(_kept(r, replaced[r.id]), replaced[r.id]) for r in part],
                )

    def delete(self, ids: Sequence[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or filter; returns how many records went."""
        present = self.matching(ids, where)
        for start in range(0, len(present), self._batch):
            with self._guarded("delete"):
                self.collection.delete(ids=present[start : start + self._batch])
        return len(present)

    def matching(self, ids: Sequence[str] | None, where: Where | None) -> list[str]:
        """Ids present among `ids`, or of the records that match `where`."""
        present: list[str] = []
        if ids is None:
            with self._guarded("read", where):
                return list(self.collection.get(where=chroma_where(where), include=[])["ids"])
        ids = list(dict.fromkeys(ids))
        for start in range(0, len(ids), self._batch):
            with self._guarded("read"):
                present += self.collection.get(ids=ids[start : start + self._batch], include=[])["ids"]
        return present

    def query(self, vectors: Array, limit: int, where: Where | None = None) -> list[Candidates]:
        """The nearest records of each of n query vectors.

        Args:
            vectors: `[n, D]`.
            limit: at most this many for each, >= 1.
            where: Chroma's metadata filter.
        """
        with self._guarded("query", where):
            result = self.collection.query(
                query_embeddings=np.asarray(vectors, dtype=np.float32),
                n_results=limit,
                where=chroma_where(where),
                include=["documents", "metadatas", "distances"],
            )
        found = []
        documents, metadatas, distances = result["documents"], result["metadatas"], result["distances"]
        assert documents is not None and metadatas is not None and distances is not None
        for ids, texts, metas, distance in zip(result["ids"], documents, metadatas, distances, strict=True):
            variances = [_variance(i, meta) for i, meta in zip(ids, metas, strict=True)]
            means = 1.0 - np.asarray(distance, dtype=np.float64)
            found.append(Candidates(ids, texts, list(metas), means, variances))
        return found


def _records(result: Any) -> list[Record]:
    return list(map(_record, result["ids"], result["documents"], result["metadatas"]))


def _record(identifier: str, text: str, metadata: Mapping[str, Any] | None) -> Record:
    metadata = metadata or {}
    own = {k: v for k, v in metadata.items() if not k.startswith(RESERVED_PREFIXES)}
    ours = (metadata.get(key) for key in (_EMBEDDED, _PAYLOAD, SOURCE_KEY))
    return Record(identifier, text, own, *ours)


def _kept(record: Record, old: Record) -> Record:
    """A record with the payload and source of its predecessor where it has none."""
    return replace(record, payload=record.payload or old.payload, source=record.source or old.source)


def _stored(record: Record, replaced: Record | None) -> dict[str, Any]:
    """Metadata as Chroma is to hold it, without the variance; it merges, and None drops a key."""
    ours = {_EMBEDDED: record.embedded, _PAYLOAD: record.payload, SOURCE_KEY: record.source}
    if replaced is None:
        return {**record.metadata, **{k: v for k, v in ours.items() if v is not None}}
    return {**dict.fromkeys(replaced.metadata), **record.metadata, **ours}


def _variance(identifier: str, metadata: Mapping[str, Any] | None) -> str:
    value = (metadata or {}).get(_VARIANCE)
    if not isinstance(value, str):
        raise StorageError(
            f"record {identifier!r} has no variance: something else wrote into this collection, delete that record"
        )
    return value
