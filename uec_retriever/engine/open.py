"""Open an index without its models: nothing here loads torch."""

from __future__ import annotations

from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.location import Location
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.manifest import Manifest


def index_exists(location: Location) -> bool:
    """Whether there is an index, or another collection of its name, in a folder or on a server.

    Raises:
        StorageError: if Chroma cannot be reached.
    """
    folder = IndexFolder(location)
    try:
        return folder.can_hold_index() and ChromaStore.exists(folder.client(), folder.location.collection)
    finally:
        folder.close()


def open_store(location: Location) -> tuple[IndexFolder, ChromaStore, Manifest]:
    """An index without its models.

    Raises:
        NotAnIndexError: if there is no index of ours.
        FormatVersionError: if another format version wrote it.
        StorageError: if Chroma cannot be reached.
    """
    folder = IndexFolder(location)
    with folder.closing_on_errors():
        client = folder.client(existing=True)
        store, manifest = ChromaStore.open(client, location.collection, folder.home)
        return folder, store, manifest
