"""Locks: of an embedded Chroma for writing and for its graph's files, of a server for changes of the manifest."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.errors import NotFoundError
from filelock import FileLock, Timeout

from uec_retriever.errors import IndexBusyError, StorageError
from uec_retriever.store.connection import connects_to, guard
from uec_retriever.store.forks import after_fork

LOCK_FILE = "uec-write.lock"
GRAPH_LOCK_FILE = "uec-graph.lock"
GRAPH_PATIENCE = 300.0  # seconds to wait for others that load or save a graph
LOCK_SUFFIX = ".lock"
LONGEST_NAME = (
    470  # characters of a collection's name, so that those of its locks are short enough for Chroma
)
PATIENCE = (
    10.0  # seconds; who holds a server's lock for longer is taken for dead, since a change takes milliseconds
)
_POLL = 0.05
_OWNER = "uec:lock"
_mutexes: dict[str, Any] = {}  # database -> reentrant lock among the threads of this process
_graph_locks: dict[Path, tuple[Any, FileLock]] = {}  # database -> locks among threads and among processes
_held: dict[str, int] = {}  # database -> how many times over the lock's thread holds it


def _forget() -> None:
    """A forked child holds nothing of its parent's."""
    _mutexes.clear()
    _held.clear()
    _graph_locks.clear()


after_fork(_forget)


@contextlib.contextmanager
def write_lock(database: ClientAPI | Path) -> Iterator[None]:
    """Hold a database for writing; threads of one process wait for each other.

    An embedded Chroma bears only one writing process. A server takes care of many by itself: there this does
    nothing.

    Args:
        database: its folder, or a client of it.

    Raises:
        IndexBusyError: if another process holds it.
        StorageError: if the folder cannot be written.
    """
    folder = ""
    if isinstance(database, Path):
        folder = str(database.resolve())
    elif connects_to(database) == "server":
        yield
        return
    elif connects_to(database) == "folder":
        folder = str(Path(database.get_settings().persist_directory).resolve())
    with _hold(folder):
        yield


@contextlib.contextmanager
def _hold(database: str) -> Iterator[None]:
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
def graph_lock(
    database: Path, seconds: float = GRAPH_PATIENCE, *, needed: bool = True
) -> Iterator[StorageError | None]:
    """Exclude other threads and processes from loading or changing a graph of a database meanwhile.

    Args:
        database: its folder.
        seconds: to wait for them.
        needed: refuse where processes cannot be excluded, since the folder cannot be written.

    Yields:
        Why processes are not excluded, but threads alone; None if they are.

    Raises:
        IndexBusyError: if they take longer than that.
        StorageError: if the folder cannot be written, and must be.
    """
    mutex, lock = _graph_locks.setdefault(
        database, (threading.RLock(), FileLock(database / GRAPH_LOCK_FILE, thread_local=False))
    )
    busy = IndexBusyError(
        f"somebody else has been loading, saving or repairing {database} for minutes: wait for that, or serve the index "
        f"with 'chroma run --path {database}' and give its address (url=..., --server)"
    )
    if not mutex.acquire(timeout=seconds):
        raise busy
    try:
        refused = None
        try:
            lock.acquire(timeout=seconds)
        except Timeout as error:
            raise busy from error
        except OSError as error:
            refused = StorageError(f"cannot write to {database}: {error.strerror}")
            refused.__cause__ = error
            if needed:
                raise refused from error
        try:
            yield refused
        finally:
            if refused is None:
                lock.release()
    finally:
        mutex.release()


@contextlib.contextmanager
def server_lock(client: ClientAPI, name: str) -> Iterator[None]:
    """Exclude other clients of a server for the few milliseconds that a change of collection metadata takes.

    Making a collection is the one step that a server does for a single client only, so the lock is an empty one,
    called `NAME.lock`. One whose holder does nothing for `PATIENCE` seconds is broken.

    Args:
        client: of the server.
        name: of the collection whose metadata is to change.

    Raises:
        StorageError: if the server does not answer, or a collection that is no lock of ours has that name.
    """
    lock, owner = f"{name}{LOCK_SUFFIX}", uuid.uuid4().hex
    seen, since = "", time.monotonic()
    while (ours := _take(client, lock, owner)) is None:
        theirs = _find(client, lock)
        holder = "" if theirs is None else _owner(theirs, lock)
        if holder != seen:
            seen, since = holder, time.monotonic()
        elif theirs is not None and time.monotonic() - since > PATIENCE:
            _discard(client, theirs)
        time.sleep(_POLL)
    try:
        yield
    finally:
        _discard(client, ours)


def _take(client: ClientAPI, lock: str, owner: str) -> Collection | None:
    try:
        with guard("lock the index"):
            return client.create_collection(lock, embedding_function=None, metadata={_OWNER: owner})
    except StorageError as error:
        if "already exists" not in str(error):
            raise
        return None


def _find(client: ClientAPI, lock: str) -> Collection | None:
    """The lock that somebody holds; none if it was given back meanwhile."""
    try:
        with guard("lock the index"):
            return client.get_collection(lock, embedding_function=None)
    except NotFoundError:
        return None


def _owner(held: Collection, lock: str) -> str:
    owner = (held.metadata or {}).get(_OWNER)
    if not isinstance(owner, str):
        raise StorageError(
            f"the server has a collection {lock!r} that is none of ours, but that name is needed to change the index: "
            "rename it"
        )
    return owner


def _discard(client: ClientAPI, lock: Collection) -> None:
    """Delete this very lock, not one that has taken its name meanwhile: renaming goes by id, deleting by name."""
    broken = f"{lock.name}.{uuid.uuid4().hex}"
    with contextlib.suppress(NotFoundError), guard("unlock the index"):
        lock.modify(name=broken)
        client.delete_collection(broken)
