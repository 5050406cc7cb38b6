"""The only module that talks to Chroma."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import chromadb
import httpx
import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings
from chromadb.errors import ChromaError, InternalError, NotFoundError

from uec_retriever.errors import InvalidInputError, NotAnIndexError, StorageError, UECError
from uec_retriever.gaussian import Array
from uec_retriever.store.manifest import Manifest
from uec_retriever.store.records import RESERVED_PREFIXES, Metadata, Record

DEFAULT_COLLECTION = "uec"
_VARIANCE = "uec:v"
_SEARCH_WIDTH = 200
Where = Mapping[str, Any]


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
        return Record(self.ids[row], self.texts[row], _own(self.metadatas[row]))


def connect(
    path: Path | None = None, url: str | None = None, headers: Mapping[str, str] | None = None
) -> ClientAPI:
    """A Chroma client: embedded in a folder, or of a server.

    Args:
        path: folder of the embedded database.
        url: e.g. `http://localhost:8000`; wins over `path`.
        headers: sent to the server, e.g. a token.

    Raises:
        StorageError: if the folder cannot be used or the server does not answer.
    """
    settings = Settings(anonymized_telemetry=False)  # clients change it: never share one
    try:
        if url is None:
            return chromadb.PersistentClient(str(path), settings=settings)
        parts = urlparse(url if "//" in url else f"http://{url}")
        secure = parts.scheme == "https"
        return chromadb.HttpClient(
            host=parts.hostname or "localhost",
            port=parts.port or (443 if secure else 8000),
            ssl=secure,
            headers=dict(headers or {}),
            settings=settings,
        )
    except (ChromaError, ValueError, OSError) as error:
        if url is not None:
            raise StorageError(
                f"cannot reach a Chroma server at {url}: is 'chroma run' up? ({error})"
            ) from error
        _forget(str(path))
        raise StorageError(
            f"cannot open {path}: can it be written, as Chroma needs even to search? ({error}){_advice(str(error))}"
        ) from error


def _forget(path: str) -> None:
    """Have the next embedded client of a folder start anew: Chroma keeps even those that failed."""
    SharedSystemClient._identifier_to_system.pop(path, None)


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
        """As `_guard`; an embedded Chroma that failed, say on a full disk, hangs at the next call: drop it."""
        try:
            with _guard(action, where):
                yield
        except StorageError as error:
            settings = self.client.get_settings()
            if settings.is_persistent and isinstance(error.__cause__, InternalError | OSError):
                _forget(settings.persist_directory)
                self._stuck = True
            raise

    @classmethod
    def create(cls, client: ClientAPI, name: str, manifest: Manifest) -> ChromaStore:
        """Make an empty index. Raises StorageError if the name is taken."""
        with _guard("create the collection"):
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
            with _guard("open the collection"):
                collection = client.get_collection(name, embedding_function=None)
        except NotFoundError as error:
            raise NotAnIndexError(
                f"there is no collection {name!r} here: make it with 'uec index'"
            ) from error
        return cls(client, collection, Manifest.from_metadata(collection.metadata, name))

    @staticmethod
    def exists(client: ClientAPI, name: str) -> bool:
        """Whether a collection of that name is there, ours or not."""
        with _guard("list the collections"):
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
                    ids=part, where=_where(where), include=["documents", "metadatas"]
                )
                found.update((r.id, r) for r in _records(result))
        return [found[i] for i in ids if i in found]

    def pages(self, where: Where | None = None, size: int = 1000) -> Iterator[list[Record]]:
        """All records, a page at a time."""
        for offset in range(0, self.count(), size):
            with self._guarded("read", where):
                result = self.collection.get(
                    where=_where(where), include=["documents", "metadatas"], limit=size, offset=offset
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
                {**r.metadata, _VARIANCE: v} for r, v in zip(records[part], variances[part], strict=True)
            ]
            for record, metadata in zip(records[part], metadatas, strict=True):
                if record.id in replaced:  # upsert merges metadata; None drops a key
                    metadata.update(
                        {k: None for k in replaced[record.id].metadata if k not in record.metadata}
                    )
            with self._guarded("write"):
                self.collection.upsert(  # add would keep silent about an id that another writer used
                    ids=[r.id for r in records[part]],
                    embeddings=np.asarray(means[part], dtype=np.float32),
                    documents=[r.text for r in records[part]],
                    metadatas=metadatas,
                )

    def replace_metadata(self, records: Sequence[Record], replaced: Mapping[str, Record]) -> None:
        """Give records new metadata in place of what `replaced` holds; text, mean and variance stay."""
        for start in range(0, len(records), self._batch):
            part = records[start : start + self._batch]
            with self._guarded("write"):
                self.collection.update(
                    ids=[r.id for r in part],
                    metadatas=[{**dict.fromkeys(replaced[r.id].metadata), **r.metadata} for r in part],
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
                return list(self.collection.get(where=_where(where), include=[])["ids"])
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
                where=_where(where),
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
    rows = zip(result["ids"], result["documents"], result["metadatas"], strict=True)
    return [Record(i, text, _own(metadata)) for i, text, metadata in rows]


def _own(metadata: Mapping[str, Any] | None) -> Metadata:
    """The user's part of a record's metadata."""
    return {k: v for k, v in (metadata or {}).items() if not k.startswith(RESERVED_PREFIXES)}


def _variance(identifier: str, metadata: Mapping[str, Any] | None) -> str:
    value = (metadata or {}).get(_VARIANCE)
    if not isinstance(value, str):
        raise StorageError(
            f"record {identifier!r} has no variance: something else wrote into this collection, delete that record"
        )
    return value


def _where(where: Where | None) -> dict[str, Any] | None:
    if where and not isinstance(where, Mapping):
        raise InvalidInputError(
            f"a filter is a dictionary such as {{'year': {{'$gte': 2020}}}}, got {where!r}"
        )
    return dict(where) if where else None


@contextlib.contextmanager
def _guard(action: str, where: Where | None = None) -> Iterator[None]:
    """Turn Chroma's errors into ours; a missing collection and our own errors pass through."""
    try:
        yield
    except (NotFoundError, UECError):
        raise
    except httpx.HTTPError as error:
        raise StorageError(
            f"Chroma could not {action}: its server does not answer ({error}). Is 'chroma run' up?"
        ) from error
    except (ChromaError, ValueError, TypeError, OSError) as error:
        if where and not isinstance(error, OSError | InternalError):
            raise InvalidInputError(f"Chroma cannot apply the filter {dict(where)!r}: {error}") from error
        raise StorageError(f"Chroma could not {action}: {error}{_advice(str(error))}") from error


def _advice(message: str) -> str:
    message = message.lower()
    if "compact" in message:  # all that Chroma tells of a disk that fills up while it writes
        return ". Is the disk full? Then free some disk space and run the same command again: what was stored is kept"
    if "full" in message or "no space" in message:
        return ". Free some disk space and run the same command again: what was stored is kept"
    if "readonly" in message or "read-only" in message or "permission" in message:
        return ". The index folder cannot be written: check its permissions"
    return ""
