"""Why a database could not be opened, read or written, as SQLite, Chroma and the system tell it."""

from __future__ import annotations

import errno
import re
import sqlite3

_CODE = re.compile(r"\(code: (\d+)\)|\(os error (\d+)\)")  # of SQLite and of the system, in Chroma's words
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
_NO_WRITING = (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def is_damage(error: BaseException | None) -> bool:
    """Whether the database is damaged, or none at all."""
    return _codes(error)[0] in _DAMAGED


def is_busy(error: BaseException | None) -> bool:
    """Whether somebody else has locked the database."""
    return _codes(error)[0] in _BUSY


def is_unwritable(error: BaseException | None) -> bool:
    """Whether something could not be written: the disk is full, or it or the folder is read-only."""
    of_sqlite, of_system = _codes(error)
    return of_sqlite in _UNWRITABLE or of_system in _NO_WRITING


def _codes(error: BaseException | None) -> tuple[int | None, int | None]:
    """SQLite's primary result code and the system's error number; None where there is none."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF, None
    if isinstance(error, OSError):
        return None, error.errno
    if error is None or (found := _CODE.search(str(error))) is None:
        return None, None
    of_sqlite, of_system = found.groups()
    return (None, int(of_system)) if of_sqlite is None else (int(of_sqlite) & 0xFF, None)
