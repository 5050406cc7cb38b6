"""Locks: one writing process for an embedded Chroma, one change of the manifest at a time on a server."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chromadb.api import ClientAPI
from chromadb.errors import NotFoundError
from filelock import FileLock, Timeout

from uec_retriever.errors import IndexBusyError, StorageError
from uec_retriever.store.connection import connects_to, guard

LOCK_FILE = "uec-write.lock"
PATIENCE = 10.0  # seconds; who holds a server's lock for longer was killed, since a change takes milliseconds
_POLL = 0.05
_mutexes: dict[str, Any] = {}  # database -> reentrant lock among the threads of this process
_held: dict[str, int] = {}  # database -> how many times over the lock's thread holds it


@contextlib.contextmanager
def write_lock(client: ClientAPI) -> Iterator[None]:
    """Hold a client's database for writing; threads of one process wait for each other.

    An embedded Chroma bears only one writing process. A server takes care of many by itself: there this does
    nothing.

    Raises:
        IndexBusyError: if another process holds it.
        StorageError: if the folder cannot be written.
    """
    kind = connects_to(client)
    if kind == "server":
        yield
        return
    database = client.get_settings().persist_directory if kind == "folder" else ""
    with _mutexes.setdefault(database, threading.RLock()):
        outermost = not _held.get(database)
        lock = FileLock(Path(database) / LOCK_FILE) if database and outermost else None
        if lock is not None:
            _acquire(lock, database)
        _held[database] = _held.get(database, 0) + 1
        try:
            yield
        finally:
            _held[database] -= 1
            if lock is not None:
                lock.release()


def _acquire(lock: FileLock, database: str) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise IndexBusyError(
            f"another process is writing to {database}: wait for it, or serve the index with "
            f"'chroma run --path {database}' and give its address (url=..., --server)"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot write to {database}: {error.strerror}") from error


@contextlib.contextmanager
def server_lock(client: ClientAPI, name: str) -> Iterator[None]:
    """Exclude other clients of a server for the few milliseconds that a change of collection metadata takes.

    Making a collection is the one step that a server does for a single client only, so the lock is an empty one,
    called `NAME.lock`. One that a killed client left behind is broken after `PATIENCE` seconds.

    Args:
        client: of the server.
        name: of the collection whose metadata is to change.

    Raises:
        StorageError: if the server does not answer.
    """
    lock, owner = f"{name}.lock", uuid.uuid4().hex
    seen, since = "", time.monotonic()
    while not _take(client, lock, owner):
        holder = _holder(client, lock)
        if holder != seen:
            seen, since = holder, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            _drop(client, lock, holder)
        time.sleep(_POLL)
    try:
        yield
    finally:
        _drop(client, lock, owner)


def _take(client: ClientAPI, lock: str, owner: str) -> bool:
    try:
        with guard("lock the index"):
            client.create_collection(lock, embedding_function=None, metadata={"owner": owner})
    except StorageError as error:
        if "already exists" not in str(error):
            raise
        return False
    return True


def _holder(client: ClientAPI, lock: str) -> str:
    """Who holds a lock; nobody if it was given back meanwhile."""
    try:
        with guard("lock the index"):
            found = client.get_collection(lock, embedding_function=None)
    except NotFoundError:
        return ""
    return str((found.metadata or {}).get("owner", "?"))


def _drop(client: ClientAPI, lock: str, owner: str) -> None:
    if _holder(client, lock) == owner:
        with contextlib.suppress(NotFoundError), guard("unlock the index"):
            client.delete_collection(lock)
