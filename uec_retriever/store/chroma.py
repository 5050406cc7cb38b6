"""The index as a Chroma collection."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from chromadb.api import ClientAPI

from uec_retriever.data.records import Record
from uec_retriever.errors import IndexBusyError, StorageError
from uec_retriever.gaussian import Array
from uec_retriever.store.access import access_to, read_manifest
from uec_retriever.store.changes import OVERLAP
from uec_retriever.store.connection import connects_to, guard
from uec_retriever.store.entries import (
    NUMBER_KEY,
    number_metadata,
    to_metadata,
    variance_metadata,
    with_predecessor,
)
from uec_retriever.store.home import Home
from uec_retriever.store.locks import server_lock
from uec_retriever.store.manifest import Manifest
from uec_retriever.store.reader import CollectionReader

_SEARCH_WIDTH = 200


class ChromaStore(CollectionReader):
    """A collection whose records carry their variance. Safe under threads.

    Args:
        access: to the collection.
        name: of the collection.
    """

    @classmethod
    def create(
        cls, client: ClientAPI, name: str, manifest: Manifest, database: Home | Path | None = None
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
    def open(
        cls, client: ClientAPI, name: str, database: Home | Path | None = None
    ) -> tuple[ChromaStore, Manifest]:
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
            StorageError: if Chroma does not keep it, as on a full disk.
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
            if self.read_manifest().generation < saved.generation:
                raise StorageError(
                    "Chroma did not keep the calibration, though it raised no error: nothing was changed. Is the disk full? "
                    "Then free some space and calibrate again"
                )
        return saved

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
            with guard("write"):
                number = number_metadata(self._access.number())
            metadatas: list[Any] = [
                {**to_metadata(r, replaced.get(r.id)), **variance_metadata(v), **number}
                for r, v in zip(part, variances[rows], strict=True)
            ]
            ids, documents = [r.id for r in part], [r.text for r in part]
            with self._call_chroma("write", change=True) as collection:
                # add would keep silent about an id that another writer used
                collection.upsert(ids, vectors[rows], metadatas, documents)
            self._number_anew(ids, number)

    def _number_anew(self, ids: list[str], number: dict[str, int]) -> None:
        """Number a change again that took long, since others look no further back for it."""
        if not number:
            return
        with self._call_chroma("write", change=True) as collection:
            now = number_metadata(self._access.number())
            if now[NUMBER_KEY] - number[NUMBER_KEY] > OVERLAP / 3:
                collection.update(ids, metadatas=[dict(now) for _ in ids])

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
