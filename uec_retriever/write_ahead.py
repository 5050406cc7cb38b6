"""SQLite's write-ahead mode, in which readers go on while one writes."""

from __future__ import annotations

import sqlite3
import time

_POLL = 0.02


def write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Switch a database to write-ahead mode; SQLite itself does not wait for others that do so at the same moment.

    Args:
        connection: to the database, outside a transaction.
        patience: seconds to wait for others.

    Raises:
        sqlite3.OperationalError: if the mode could not be changed until then.
    """
    end = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(_POLL)
