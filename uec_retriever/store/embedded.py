"""A collection of an embedded database that other processes read and write, too."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.errors import InternalError, NotFoundError

from uec_retriever.errors import IndexBusyError, StorageError
from uec_retriever.store.changes import Changes, read_mark, write_mark
from uec_retriever.store.connection import (
    close,
    connect,
    folder_of,
    forget,
    guard,
    is_current,
    refuse_in_fork,
    system_of,
)
from uec_retriever.store.graph import check_graph, without_graph
from uec_retriever.store.graph_files import elements, is_sealed, seal
from uec_retriever.store.home import Copy, Home
from uec_retriever.store.loaded import Loaded, State, stamp_of, states
from uec_retriever.store.locks import graph_lock
from uec_retriever.store.log import ChromaLog
from uec_retriever.store.release import release_when_dropped
from uec_retriever.store.rows import COLUMNS, Columns, read_rows
from uec_retriever.store.serving import refuse_beside_server

_BRIEFLY = 0.25  # seconds that a reader waits for them before it answers from what it has
_OFTEN = 1000  # changes between two looks at how much of the log is in vain
_SOME = 8  # a graph is not made anew before more than this part of the records has changed
_SELDOM = 4.0  # times as long as loading took, a reader does not look what others have changed since
_LOG = "log"
_alone: defaultdict[Path, threading.Lock] = defaultdict(
    threading.Lock
)  # of changes, and reads past Chroma, here


class EmbeddedAccess:
    """A collection of an embedded database of ours: one process writes at a time, any number read.

    Chroma holds its graph of vectors in memory, sees no other process's changes to it, and writes its files in
    place. So whoever loads or changes the graph holds a lock for that moment, leaves a seal that says what the
    files are when they are whole, and loads anew when the seal is another's. Files that are not as sealed were torn
    by a kill or a full disk, or written by another program: they are removed, and Chroma makes them anew from its
    log.

    While the folder cannot be written, it is a copy that is loaded, and a new one when the folder has changed. Whoever
    then writes tries the folder itself again.

    Args:
        home: of the database, which is there.
        name: of the collection.
        client: of the database, used and closed as long as its Chroma is in use.

    Raises:
        NotAnIndexError: if there is no such collection.
        CorruptFileError: if the graph is damaged, and the log of an older version does not hold all of it.
        IndexBusyError: if another process loads or saves for minutes.
        StorageError: if `chroma run` serves the database.
    """

    def __init__(self, home: Home, name: str, client: ClientAPI) -> None:
        self._home = home
        self._name = name
        self._first: ClientAPI | None = client
        self._loaded: Loaded | None = None
        self._looked = 0
        self._renewed: int | None = None  # the last change as of when the graph was made anew
        self._loads = 0
        refuse_beside_server(home.folder)
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
        loaded.state.read_only |= not os.access(self._home.folder, os.W_OK)
        try:
            yield loaded.collection
        except (InternalError, OSError):
            loaded.state.broken = True
            raise

    @contextlib.contextmanager
    def changing(self) -> Iterator[Collection]:
        """The collection as it is now, for one call that writes; if that fails, it is loaded anew."""
        with graph_lock(self._home.folder):
            if self._loaded is not None and self._loaded.state.read_only:
                self._loaded.state.broken = True
            loaded = self._load_at_home()
            try:
                with _alone[self._home.folder]:
                    yield loaded.collection
                seal(self._home.folder, loaded.log.graph, loaded.log.last())
            except (ValueError, TypeError, NotFoundError):  # refused before anything was done
                raise
            except BaseException:
                loaded.state.broken = True
                raise
            loaded.state.stamps[loaded.log.graph] = stamp_of(loaded.log)

    def stamp(self) -> object:
        """The graph, and which seal it has, or which copy it is in: another after every change."""
        loaded = self._current()
        return loaded.log.graph, stamp_of(loaded.log) if loaded.copy is None else loaded.copy.look

    def changes(self, mark: str) -> Changes:
        """What was changed since a mark, the number of this collection's last change in Chroma's log.

        Of another collection's it must not be: once that is deleted, Chroma gives its numbers anew.
        """
        loaded = self._current()
        # the log of an old copy says less than others may have followed already
        if loaded.copy is not None and not self._is_known(loaded):
            with graph_lock(self._home.folder, needed=False) as refused:
                loaded = self._load(refused)
        log = loaded.log
        with _alone[self._home.folder]:
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
        loaded = self._current()
        log, alone = loaded.log, _alone[self._home.folder]
        if not alone.acquire(blocking=False):
            return {name: [] for name in COLUMNS}, list(ids)
        try:
            return read_rows(log, ids)
        finally:
            alone.release()

    def number(self) -> None:
        """Chroma's log numbers what is changed here."""

    def compact(self) -> None:
        """Let go of what the log and the graph hold in vain, if that is much."""
        with graph_lock(self._home.folder):
            loaded = self._load_at_home()
            log = loaded.log
            if (last := log.last()) > self._looked + _OFTEN:  # looking takes as long as the log is
                log.compact()
                self._looked = last
                dead = elements(log.database / log.graph) - log.count()
                if dead > max(log.count(), _OFTEN):
                    self._make_graph_anew(loaded)

    def make_graph_anew(self) -> bool:
        """Do so, unless hardly anything has changed since it was done; returns whether it was."""
        loaded = self._current()
        with _alone[self._home.folder]:
            last, count = loaded.log.last(), loaded.log.count()
        if self._renewed is not None and last <= self._renewed + count // _SOME:
            return False
        self._make_graph_anew(loaded)
        self._renewed = last
        return True

    def _make_graph_anew(self, loaded: Loaded) -> None:
        """Have it made the next time, of the records that are there: among many deleted ones some cannot be reached."""
        with without_graph(loaded.log.database, self._name):
            loaded.state.broken = True

    def close(self) -> None:
        """Close the client."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            close(loaded.client)

    def _current(self) -> Loaded:
        refuse_in_fork()
        loaded = self._loaded
        if loaded is not None and not loaded.state.broken:
            seldom = time.monotonic() < loaded.since + _SELDOM * loaded.seconds
            if self._is_known(loaded) or (seldom and loaded.copy is self._home.copy):
                return loaded
            try:
                with graph_lock(self._home.folder, _BRIEFLY, needed=False) as refused:
                    return self._load(refused)
            except IndexBusyError:
                return loaded  # as it was is better than nothing
        with graph_lock(self._home.folder, needed=False) as refused:
            return self._load(refused)

    def _is_known(self, loaded: Loaded) -> bool:
        """Whether nobody else has changed the collection since the Chroma here loaded it."""
        if loaded.state.broken:
            return False
        if loaded.copy is not None:
            return loaded.copy is self._home.copy and self._home.is_current(loaded.copy)
        return loaded.state.stamps[loaded.log.graph] == stamp_of(loaded.log)

    def _load(self, refused: StorageError | None) -> Loaded:
        """The collection as it is now: in the folder itself, or in a copy where that cannot be written.

        Args:
            refused: why the folder could not be locked; None if nobody else loads or changes it.
        """
        loaded, home = self._loaded, self._home
        if loaded is not None and self._is_known(loaded):
            return loaded
        copy = home.copy
        if copy is None or not home.is_current(copy):
            try:
                if refused is not None:
                    raise refused
                return self._load_at_home()
            except StorageError as error:
                if not home.may_copy(error):
                    raise
                copy = home.search_in_copy(error)
        return self._load_in(copy)

    def _load_at_home(self) -> Loaded:
        """The collection as it is now, in the folder itself; the caller is alone.

        Raises:
            StorageError: if that cannot be written.
        """
        loaded = self._loaded
        if loaded is not None and loaded.copy is None and self._is_known(loaded):
            return loaded
        self._home.come_home()
        return self._load_in(None)

    def _load_in(self, copy: Copy | None) -> Loaded:
        refuse_in_fork()
        start = time.monotonic()
        database = self._home.folder if copy is None else copy.folder
        log = ChromaLog.of(database, self._name)
        system, stamp = system_of(database), stamp_of(log)
        state = None if system is None else states.get(system)
        if state is not None and (state.broken or state.stamps.get(log.graph, stamp) != stamp):
            forget(database)
        if (state is None or log.graph not in state.stamps) and check_graph(log):
            forget(database)
        stale = self._loads > 0
        client, state = self._connect(database)
        try:
            with guard("open the collection"):
                collection = client.get_collection(self._name, embedding_function=None)
                if log.graph not in state.stamps:
                    collection.count()  # loads the graph, and makes it where it is missing
                    last = log.last()
                    if not is_sealed(database, log.graph, last):
                        seal(database, log.graph, last)
                    state.stamps[log.graph] = stamp_of(log)
        except BaseException:
            state.broken = True
            close(client)
            raise
        if stale:
            gc.collect()  # the old graph may be large, and Chroma's objects hold each other
        now = time.monotonic()
        self._loaded = Loaded(copy, client, collection, log, state, now - start, now)
        release_when_dropped(self._loaded, client)
        self._loads += 1
        return self._loaded

    def _connect(self, database: Path) -> tuple[ClientAPI, State]:
        """A client of the Chroma that this process has now, and what that has loaded."""
        self._loaded = None
        client, self._first = self._first, None
        if client is None or not is_current(client) or folder_of(client) != database:
            if client is not None:
                close(client)
            client = connect(database)
        system = system_of(database)
        assert system is not None
        return client, states.setdefault(system, State())
