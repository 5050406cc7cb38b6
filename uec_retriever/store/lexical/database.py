"""The SQLite file of a lexical index: how it is opened, shared by threads and processes, and how it refuses.

It is in write-ahead mode: readers of other threads and processes go on while one writes, and a kill at any moment
leaves the last change that was whole.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from uec_retriever.errors import (
    CorruptFileError,
    FormatVersionError,
    IndexBusyError,
    NotAnIndexError,
    StorageError,
    UECError,
)
from uec_retriever.store.lexical.place import Place, may_write
from uec_retriever.write_ahead import write_ahead

FORMAT_VERSION = 1
PATIENCE = 60.0  # seconds to wait for another writer
_APPLICATION = 0x75656C78  # "uelx"
_PAGE = 8192
_WAL_KEPT = 64 << 20  # bytes that a log may keep once it is written back


class Database:
    """Connections to one file, or to one database in memory; safe under threads.

    Attributes:
        path: of the file; None in memory.
    """

    def __init__(self, path: Path | None, make: Callable[[sqlite3.Connection], None]) -> None:
        """Open, made if absent.

        Args:
            path: None for a database in memory.
            make: makes the tables, called once, in a transaction.

        Raises:
            CorruptFileError: if the file is damaged.
            FormatVersionError: if another version of the format wrote it.
            NotAnIndexError: if it is a database of something else.
            StorageError: if it cannot be read, or made.
        """
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._alone = threading.RLock() if path is None else contextlib.nullcontext()
        self._process = os.getpid()
        self._closed = False
        with told(path):
            self._place = Place(path)
            try:
                connection = self._open(make)
            except sqlite3.Error as error:
                self._place.copy(error, PATIENCE)
                connection = self._open(make)
            self._identity = self._place.look()
            self._idle.append(connection)

    @property
    def writable(self) -> bool:
        """Whether it may be written, as far as could be told when it was opened."""
        return self._place.writable

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one moment of the index, whoever writes meanwhile."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection for one change, kept if nothing is raised and undone otherwise.

        Raises:
            IndexBusyError: if another process goes on writing for a minute.
            StorageError: if the file cannot be written or the disk is full.
        """
        if not self.writable:
            raise StorageError(
                f"cannot write {self.path}: the file or its folder is read-only, or was on a full disk when it was opened"
            )
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close all connections; nothing happens the second time."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        if os.getpid() == self._process:
            for connection in idle:
                connection.close()

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._alone, told(self.path):
            connection = self._take()
            try:
                connection.execute(begin)
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.rollback()
                raise
            finally:
                self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        if os.getpid() != self._process:
            raise StorageError(
                "this process was forked from one that had a lexical index open: start processes with 'spawn' or "
                "'forkserver', or open the index after the fork alone"
            )
        seen = self._place.look()
        with self._lock:
            if self._closed:
                raise StorageError("the lexical index is closed: open it again")
            if seen != self._identity:
                if not self._place.immutable or seen is None:
                    raise CorruptFileError(
                        f"{self.path} was removed or replaced while it was open: open it again, or have it rebuilt"
                    )
                self._idle, self._identity = [], seen
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        # what was opened while nothing could be written never writes
        lasts = self.path is None or not self.writable or may_write(self.path)
        with self._lock:
            if lasts and not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self, make: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        """The first connection, to tables that are there."""
        with contextlib.ExitStack() as undo:
            connection = self._connect()
            undo.callback(connection.close)
            self._prepare(connection, make)
            undo.pop_all()
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._place.uri, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -8192")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection, make: Callable[[sqlite3.Connection], None]) -> None:
        """Make the tables if there are none, and check whose they are."""
        connection.execute("BEGIN")  # all three of one moment: another process may be making them
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute("COMMIT")
        if not application and not tables:
            if not self.writable:
                raise CorruptFileError(f"{self.path} is empty, and its folder is read-only")
            connection.execute(f"PRAGMA page_size = {_PAGE}")
            write_ahead(connection, PATIENCE)
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                make(connection)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            connection.execute("COMMIT")
            return self._prepare(connection, make)
        if application != _APPLICATION:
            raise NotAnIndexError(f"{self.path} is no lexical index but another database: move it away")
        if version != FORMAT_VERSION:
            raise FormatVersionError(
                f"{self.path} has format version {version}, this is {FORMAT_VERSION}: have it rebuilt"
            )
        return None


@contextlib.contextmanager
def told(path: Path | None) -> Iterator[None]:
    """Turn SQLite's errors, and those of values that cannot have been written, into ours."""
    try:
        yield
    except UECError:
        raise
    except sqlite3.Error as error:
        raise _translate(error, path) from error
    except UnicodeDecodeError as error:  # from SQLite's own message of a schema that is damaged
        raise CorruptFileError(f"{path} is damaged (schema): remove it and have it rebuilt") from error
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror or error}") from error


def _translate(error: sqlite3.Error, path: Path | None) -> UECError:
    code = getattr(error, "sqlite_errorcode", None) or 0
    if code == sqlite3.SQLITE_IOERR_SHORT_READ:
        code = sqlite3.SQLITE_CORRUPT
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return IndexBusyError(f"another process is writing to {path}: try again when it has finished")
        case sqlite3.SQLITE_FULL:
            return StorageError(
                f"the disk is full: {path} was left as it was. Free some space and run the same command again"
            )
        case sqlite3.SQLITE_READONLY:
            return StorageError(f"cannot write {path}: the file or its folder is read-only")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR | sqlite3.SQLITE_PERM | sqlite3.SQLITE_NOMEM:
            return StorageError(f"cannot read or write {path}: {error}")
    return CorruptFileError(f"{path} is damaged ({error}): remove it and have it rebuilt")
