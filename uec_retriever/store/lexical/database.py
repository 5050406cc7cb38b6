"""The SQLite file of a lexical index: how it is opened, shared by threads and processes, and how it refuses.

It is in write-ahead mode: readers of other threads and processes go on while one writes, and a kill at any moment
leaves the last change that was whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
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
from uec_retriever.write_ahead import write_ahead

FORMAT_VERSION = 1
PATIENCE = 60.0  # seconds to wait for another writer
_APPLICATION = 0x75656C78  # "uelx"
_PAGE = 8192
_WAL_KEPT = 64 << 20  # bytes that a log may keep once it is written back
_HEADER = b"SQLite format 3\0"


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
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        with told(path):
            self._uri, self.writable = self._choose()
            self._identity = self._look()
            with contextlib.ExitStack() as undo:
                connection = self._connect()
                undo.callback(connection.close)
                self._prepare(connection, make)
                undo.pop_all()
            self._identity = self._look()
            self._idle.append(connection)

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
            raise StorageError(f"cannot write {self.path}: the file or its folder is read-only")
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
            if self._copy:
                self._copy.cleanup()

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
        seen = self._look()
        with self._lock:
            if self._closed:
                raise StorageError("the lexical index is closed: open it again")
            if seen != self._identity:
                if "immutable" not in self._uri or seen is None:
                    raise CorruptFileError(
                        f"{self.path} was removed or replaced while it was open: open it again, or have it rebuilt"
                    )
                self._idle, self._identity = [], seen
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        # what was opened while nothing could be written never writes
        lasts = self.path is None or not self.writable or _may_write(self.path)
        with self._lock:
            if lasts and not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _choose(self) -> tuple[str, bool]:
        """How SQLite is to open the file, and whether it may write."""
        if self.path is None:
            return ":memory:", True
        path = self.path.absolute()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            _check_header(path)
        if _may_write(path):
            return f"{path.as_uri()}?mode=rwc", True
        log = path.with_name(path.name + "-wal")
        if not log.exists() or not log.stat().st_size:
            return f"{path.as_uri()}?immutable=1", False
        if log.with_name(path.name + "-shm").exists():
            return f"{path.as_uri()}?mode=ro", False
        # a kill left changes in the log: they can be read back in a copy alone
        self._copy = tempfile.TemporaryDirectory(prefix="uec-words-")
        copy = Path(self._copy.name) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name(log.name))
        return f"{copy.as_uri()}?mode=rw", False

    def _look(self) -> tuple[int, ...] | None:
        """Tells the file from another in its place, and one that nobody should write from how it was."""
        if self.path is None:
            return ()
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        extra = (status.st_size, status.st_mtime_ns) if "immutable" in self._uri else ()
        return (status.st_dev, status.st_ino, *extra)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._uri, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True
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


def _check_header(path: Path) -> None:
    """Refuse what is cut short: SQLite would find out only once it reads what is missing."""
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return
    if len(header) < 100 or not header.startswith(_HEADER):
        raise CorruptFileError(f"{path} is damaged (no database): remove it and have it rebuilt")
    page = int.from_bytes(header[16:18], "big")
    expected = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
    log = path.with_name(path.name + "-wal")
    if path.stat().st_size < expected and not (log.exists() and log.stat().st_size):
        raise CorruptFileError(f"{path} is damaged (cut short): remove it and have it rebuilt")


def _may_write(path: Path) -> bool:
    """Whether SQLite could write the file and its log beside it."""
    folder = os.access(path.parent, os.W_OK)
    return folder and (os.access(path, os.W_OK) or not path.exists())
