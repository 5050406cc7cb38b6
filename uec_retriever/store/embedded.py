"""A collection of an embedded database that other processes read and write, too."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import System
from chromadb.errors import InternalError, NotFoundError

from uec_retriever.errors import IndexBusyError, NotAnIndexError
from uec_retriever.store.changes import Changes, read_mark, write_mark
from uec_retriever.store.connection import (
    close,
    connect,
    forget,
    guard,
    is_current,
    refuse_in_fork,
    system_of,
)
from uec_retriever.store.graph import check_graph
from uec_retriever.store.graph_files import is_sealed, seal, seal_file
from uec_retriever.store.locks import graph_lock
from uec_retriever.store.log import DATABASE_FILE, ChromaLog
from uec_retriever.store.release import release_when_dropped
from uec_retriever.store.rows import COLUMNS, Columns, read_rows
from uec_retriever.store.serving import refuse_beside_server

_BRIEFLY = 0.25  # seconds that a reader waits for them before it answers from what it has
_OFTEN = 1000  # changes between two looks at how much of the log is in vain
_SELDOM = 4.0  # times as long as loading took, a reader does not look what others have changed since
_LOG = "log"
_Stamp = tuple[int, int] | None


@dataclass
class _State:
    """What an embedded Chroma of this process has loaded.

    Attributes:
        stamps: graph -> its seal file, as of when it was loaded or changed here.
        broken: a call failed in it; it may hang at the next.
        read_only: it was used while nothing could be written; connections to the database made then never write.
    """

    stamps: dict[str, _Stamp] = field(default_factory=dict)
    broken: bool = False
    read_only: bool = False


_states: WeakKeyDictionary[System, _State] = WeakKeyDictionary()
_alone: defaultdict[Path, threading.Lock] = defaultdict(
    threading.Lock
)  # of changes, and reads past Chroma, here


@dataclass(frozen=True)
class _Loaded:
    client: ClientAPI
    collection: Collection
    log: ChromaLog
    state: _State
    seconds: float  # that loading took
    since: float  # of the monotonic clock


class EmbeddedAccess:
    """A collection of an embedded database of ours: one process writes at a time, any number read.

    Chroma holds its graph of vectors in memory, sees no other process's changes to it, and writes its files in
    place. So whoever loads or changes the graph holds a lock for that moment, leaves a seal that says what the
    files are when they are whole, and loads anew when the seal is another's. Files that are not as sealed were torn
    by a kill or a full disk, or written by another program: they are removed, and Chroma makes them anew from its
    log.

    Args:
        database: folder of the database, which is there.
        name: of the collection.
        client: of the database, used and closed as long as its Chroma is in use.

    Raises:
        NotAnIndexError: if there is no such collection.
        CorruptFileError: if the graph is damaged, and the log of an older version does not hold all of it.
        IndexBusyError: if another process loads or saves for minutes.
        StorageError: if `chroma run` serves the database.
    """

    def __init__(self, database: Path, name: str, client: ClientAPI) -> None:
        self._database = database
        self._name = name
        self._first: ClientAPI | None = client
        self._loaded: _Loaded | None = None
        self._release: weakref.finalize[..., object] | None = None
        self._looked = 0
        self._loads = 0
        refuse_beside_server(database)
        self._current()

    @property
    def loads(self) -> int:
        """How often the collection was loaded, as it is anew when another process has changed it."""
        return self._loads

    @property
    def client(self) -> ClientAPI:
        """The client of the moment."""
        return self._current().client

    @contextlib.contextmanager
    def reading(self) -> Iterator[Collection]:
        """The collection, for one call that reads; loaded anew if another process has changed it.

        Not at every change: loading takes at most a fifth of the time. Until then texts that are gone are left
        out, and new ones are not found yet.
        """
        loaded = self._current()
        loaded.state.read_only |= not os.access(self._database, os.W_OK)
        try:
            yield loaded.collection
        except (InternalError, OSError):
            loaded.state.broken = True
            raise

    @contextlib.contextmanager
    def changing(self) -> Iterator[Collection]:
        """The collection as it is now, for one call that writes; if that fails, it is loaded anew."""
        with graph_lock(self._database):
            if self._loaded is not None and self._loaded.state.read_only:
                self._loaded.state.broken = True
            loaded = self._load()
            try:
                with _alone[self._database]:
                    yield loaded.collection
                seal(self._database, loaded.log.graph, loaded.log.last())
            except (ValueError, TypeError, NotFoundError):  # refused before anything was done
                raise
            except BaseException:
                loaded.state.broken = True
                raise
            loaded.state.stamps[loaded.log.graph] = self._stamp(loaded.log.graph)

    def stamp(self) -> object:
        """The graph, and which seal it has: another after every change."""
        loaded = self._current()
        return loaded.log.graph, self._stamp(loaded.log.graph)

    def changes(self, mark: str) -> Changes:
        """What was changed since a mark, the number of this collection's last change in Chroma's log.

        Of another collection's it must not be: once that is deleted, Chroma gives its numbers anew.
        """
        log = self._current().log
        kind, last = f"{_LOG} {log.collection}", log.last_seen()
        numbered, _, row = mark.partition(" is ")
        after = read_mark(numbered, kind, last)
        if after is not None and (now := log.digest(after)) is not None and row not in ("", now):
            after = None  # a copy that was put back has given the number to another change
        changed = None if after is None else log.changed(after, last)
        return Changes(changed, f"{write_mark(kind, last)} is {log.digest(last) or ''}")

    def rows(self, ids: Sequence[str]) -> tuple[Columns, list[str]]:
        """What is stored of records, and the ids of those that only Chroma can tell.

        That is all of them while this process changes something, or reads so: SQLite's locks exclude other processes, and
        not the two copies of it, Chroma's and Python's, that are in one.
        """
        log, alone = self._current().log, _alone[self._database]
        if not alone.acquire(blocking=False):
            return {name: [] for name in COLUMNS}, list(ids)
        try:
            return read_rows(log, ids)
        finally:
            alone.release()

    def number(self) -> None:
        """Chroma's log numbers what is changed here."""

    def compact(self) -> None:
        """Let go of what the log holds in vain, if that is much."""
        with graph_lock(self._database):
            log = self._load().log
            if (last := log.last()) > self._looked + _OFTEN:  # looking takes as long as the log is
                log.compact()
                self._looked = last

    def close(self) -> None:
        """Close the client."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            close(loaded.client)

    def _current(self) -> _Loaded:
        refuse_in_fork()
        loaded = self._loaded
        if loaded is not None and not loaded.state.broken:
            seldom = time.monotonic() < loaded.since + _SELDOM * loaded.seconds
            if self._is_known(loaded) or seldom:
                return loaded
            try:
                with graph_lock(self._database, _BRIEFLY):
                    return self._load()
            except IndexBusyError:
                return loaded  # as it was is better than nothing
        with graph_lock(self._database):
            return self._load()

    def _is_known(self, loaded: _Loaded) -> bool:
        """Whether nobody else has changed the collection since the Chroma here loaded it."""
        return not loaded.state.broken and loaded.state.stamps[loaded.log.graph] == self._stamp(
            loaded.log.graph
        )

    def _load(self) -> _Loaded:
        """The collection as it is now; the caller is alone."""
        refuse_in_fork()
        if self._loaded is not None and self._is_known(self._loaded):
            return self._loaded
        start = time.monotonic()
        log = ChromaLog.of(self._database, self._name)
        system, stamp = system_of(self._database), self._stamp(log.graph)
        state = None if system is None else _states.get(system)
        if state is not None and (state.broken or state.stamps.get(log.graph, stamp) != stamp):
            forget(self._database)
        if (state is None or log.graph not in state.stamps) and check_graph(log):
            forget(self._database)
        stale = self._loaded is not None
        client, state = self._connect()
        try:
            with guard("open the collection"):
                collection = client.get_collection(self._name, embedding_function=None)
                if log.graph not in state.stamps:
                    collection.count()  # loads the graph, and makes it where it is missing
                    last = log.last()
                    if not is_sealed(self._database, log.graph, last):
                        seal(self._database, log.graph, last)
                    state.stamps[log.graph] = self._stamp(log.graph)
        except BaseException:
            state.broken = True
            raise
        if stale:
            gc.collect()  # the old graph may be large, and Chroma's objects hold each other
        now = time.monotonic()
        self._loaded = _Loaded(client, collection, log, state, now - start, now)
        self._loads += 1
        return self._loaded

    def _connect(self) -> tuple[ClientAPI, _State]:
        """A client of the Chroma that this process has now, and what that has loaded."""
        self._loaded = None
        client, self._first = self._first, None
        if client is None or not is_current(client):
            client = connect(self._database)
        if self._release is not None:
            self._release.detach()
        self._release = release_when_dropped(self, client)
        system = system_of(self._database)
        assert system is not None
        return client, _states.setdefault(system, _State())

    def _stamp(self, graph: str) -> _Stamp:
        try:
            stat = seal_file(self._database, graph).stat()
        except OSError:
            if not (self._database / DATABASE_FILE).is_file():
                raise NotAnIndexError(
                    f"the folder {self._database} is gone: open the index again where it is now"
                ) from None
            return None
        return stat.st_mtime_ns, stat.st_ino
