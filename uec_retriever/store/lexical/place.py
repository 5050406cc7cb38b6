"""Where the SQLite file of a lexical index is read: where it lies, or in a copy where nothing can be written."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from uec_retriever.errors import CorruptFileError
from uec_retriever.temporary import temporary_folder

_HEADER = b"SQLite format 3\0"
_UNWRITTEN = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


class Place:
    """How SQLite is to open a file; a copy of it is gone with this object.

    Args:
        path: of the file, or where it is to be made; None for a database in memory.

    Attributes:
        uri: to open.
        writable: whether that may be written.
        immutable: whether it is read as if nobody wrote it.
        path: of the file that is opened; None in memory.

    Raises:
        CorruptFileError: if the file is cut short.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.uri, self.writable = self._choose()
        self.immutable = "immutable" in self.uri

    def look(self) -> tuple[int, ...] | None:
        """Tells the file from another in its place, and one that nobody should write from how it was; None if it is gone."""
        if self.path is None:
            return ()
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        extra = (status.st_size, status.st_mtime_ns) if self.immutable else ()
        return (status.st_dev, status.st_ino, *extra)

    def copy(self, error: sqlite3.Error, patience: float) -> None:
        """Go on in a copy of a file that could not be opened, since a full disk has no room for what SQLite needs beside it.

        The copy is of one moment: SQLite excludes everybody meanwhile, and then needs no file beside it.

        Args:
            error: what came of opening it.
            patience: seconds to wait for others.

        Raises:
            sqlite3.Error: that error, or what came of copying, if there can be no copy.
        """
        if (
            self.path is None
            or not self.writable
            or error.sqlite_errorcode & 0xFF not in _UNWRITTEN
            or not self.path.exists()
        ):
            raise error
        copied = temporary_folder(self) / self.path.name
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        with (
            contextlib.closing(sqlite3.connect(uri, patience, isolation_level=None, uri=True)) as source,
            contextlib.closing(sqlite3.connect(copied, isolation_level=None)) as target,
        ):
            source.execute("PRAGMA locking_mode = EXCLUSIVE")
            source.execute(
                "SELECT 1 FROM sqlite_master"
            ).fetchone()  # waits for others no longer than that, as a backup would
            source.backup(target)
        self.path, self.writable = copied, False
        self.uri = f"{copied.as_uri()}?mode=rw"

    def _choose(self) -> tuple[str, bool]:
        if self.path is None:
            return ":memory:", True
        path = self.path.absolute()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            _check_header(path)
        if may_write(path):
            return f"{path.as_uri()}?mode=rwc", True
        log = path.with_name(path.name + "-wal")
        if not log.exists() or not log.stat().st_size:
            return f"{path.as_uri()}?immutable=1", False
        if log.with_name(path.name + "-shm").exists():
            return f"{path.as_uri()}?mode=ro", False
        # a kill left changes in the log: they can be read back in a copy alone
        copy = temporary_folder(self) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name(log.name))
        return f"{copy.as_uri()}?mode=rw", False


def may_write(path: Path) -> bool:
    """Whether SQLite could write a file and its log beside it, as far as permissions tell."""
    folder = os.access(path.parent, os.W_OK)
    return folder and (os.access(path, os.W_OK) or not path.exists())


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
