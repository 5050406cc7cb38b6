"""Chroma's write-ahead log: every vector that was stored, from which Chroma rebuilds a graph that is lost.

An embedded Chroma appends each change to a table of its sqlite file, and from time to time saves its graph of
vectors (HNSW) to files of their own, which a kill can leave torn. Unless it is told to keep the log, it then
forgets what it has saved. Here it keeps it: the log is the truth, the graph is derived.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uec_retriever.errors import IndexBusyError, NotAnIndexError, StorageError
from uec_retriever.gaussian import Array
from uec_retriever.store.refusals import is_busy

DATABASE_FILE = "chroma.sqlite3"
_JOURNAL = f"{DATABASE_FILE}-journal"
_TRIES = 5
_PATIENCE = 60.0  # seconds to wait for others
_TOPIC = "persistent://default/default/"
_UPDATE, _UPSERT = 1, 2  # Chroma's numbers of operations
_SLACK = 1000  # rows that the log may have beyond its share
_SHARE = 1.3  # rows for each record


@dataclass(frozen=True)
class ChromaLog:
    """The log of one collection of an embedded database.

    Attributes:
        database: folder of the database.
        collection: id of the collection.
        graph: id of its vector segment, the name of the folder that holds the graph's files.
        rows: id of its metadata segment.
    """

    database: Path
    collection: str
    graph: str
    rows: str

    @classmethod
    def of(cls, database: Path, name: str) -> ChromaLog:
        """The log of the collection of that name.

        Raises:
            NotAnIndexError: if there is no such collection.
            StorageError: if the database cannot be read.
        """
        with _connect(database) as connection:
            found = connection.execute(
                "SELECT c.id FROM collections c JOIN databases d ON d.id = c.database_id WHERE c.name = ? "
                "AND d.name = 'default_database' AND d.tenant_id = 'default_tenant'",
                (name,),
            ).fetchone()
            if found is None:
                raise NotAnIndexError(
                    f"there is no collection {name!r} in {database}: make it with 'uec index'"
                )
            segments = connection.execute("SELECT scope, id FROM segments WHERE collection = ?", found)
            scopes = dict(segments.fetchall())
        return cls(database, found[0], scopes["VECTOR"], scopes["METADATA"])

    @property
    def topic(self) -> str:
        """What the log calls the collection."""
        return _TOPIC + self.collection

    def connect(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """A connection to the database, for one transaction; what SQLite refuses in it is a StorageError."""
        return _connect(self.database)

    def keep(self) -> None:
        """Have Chroma keep the log of this database from now on."""
        with _connect(self.database) as connection:
            text = connection.execute("SELECT config_json_str FROM embeddings_queue_config").fetchone()[0]
            kept = json.dumps({**json.loads(text), "automatically_purge": False})
            connection.execute("UPDATE embeddings_queue_config SET config_json_str = ?", (kept,))

    def missing(self) -> dict[str, int]:
        """Id -> sequence number of the records whose vector is not in the log."""
        with _connect(self.database) as connection:
            records = connection.execute(
                "SELECT embedding_id, seq_id FROM embeddings WHERE segment_id = ?", (self.rows,)
            )
            wanted = dict(records.fetchall())
            for (logged,) in connection.execute(
                "SELECT id FROM embeddings_queue WHERE topic = ? AND vector IS NOT NULL AND operation != ?",
                (self.topic, _UPDATE),
            ):
                wanted.pop(logged, None)
        return wanted

    def count(self) -> int:
        """How many records there are."""
        with _connect(self.database) as connection:
            query = "SELECT count(*) FROM embeddings WHERE segment_id = ?"
            return int(connection.execute(query, (self.rows,)).fetchone()[0])

    def write(self, ids: Iterable[str], vectors: Array, numbers: Iterable[int]) -> None:
        """Put vectors into the log as if they had been there since their records were stored.

        Args:
            ids: n, of records.
            vectors: `[n, D]`, float32.
            numbers: n, the records' sequence numbers.
        """
        rows = [
            (number, _UPSERT, self.topic, identifier, vector.tobytes())
            for identifier, vector, number in zip(ids, np.asarray(vectors, "<f4"), numbers, strict=True)
        ]
        with _connect(self.database) as connection:
            connection.executemany(
                "INSERT INTO embeddings_queue (seq_id, operation, topic, id, vector, encoding) "
                "VALUES (?, ?, ?, ?, ?, 'FLOAT32') ON CONFLICT (seq_id) DO UPDATE SET "
                "operation = excluded.operation, vector = excluded.vector, encoding = excluded.encoding",
                rows,
            )

    def last(self) -> int:
        """Number of the last change in the database."""
        with _connect(self.database) as connection:
            return int(connection.execute("SELECT max(seq_id) FROM embeddings_queue").fetchone()[0] or 0)

    def last_seen(self) -> int:
        """Number of the collection's last change that its rows have; 0 if the log has none.

        Chroma logs a change first and makes its rows of that then: in between, whoever reads them meets the old ones.
        """
        with _connect(self.database) as connection:
            query = (
                "SELECT max(seq_id) FROM embeddings_queue WHERE topic = ? "
                "AND seq_id <= (SELECT seq_id FROM max_seq_id WHERE segment_id = ?)"
            )
            return int(connection.execute(query, (self.topic, self.rows)).fetchone()[0] or 0)

    def digest(self, number: int) -> str | None:
        """Tells the change of that number from another; None if the log does not have it, or no more."""
        with _connect(self.database) as connection:
            query = "SELECT id, created_at, metadata FROM embeddings_queue WHERE seq_id = ? AND topic = ?"
            row = connection.execute(query, (number, self.topic)).fetchone()
        return None if row is None else hashlib.sha256(json.dumps(row, default=str).encode()).hexdigest()[:16]

    def changed(self, after: int, last: int) -> dict[str, int]:
        """Id -> number of its last change, of records that were put or deleted after a number and up to another.

        Of those deleted, some may be missing, as what was dropped from the log.
        """
        with _connect(self.database) as connection:
            rows = connection.execute(
                "SELECT id, max(seq_id) FROM embeddings_queue WHERE topic = ? AND seq_id > ? AND seq_id <= ? "
                "GROUP BY id",
                (self.topic, after, last),
            )
            return dict(rows.fetchall())

    def compact(self, *, without_graph: bool = False) -> None:
        """Drop what later rows have replaced, once that is a quarter of the log.

        Only rows that the saved graph has seen go, never the last vector of a record that is there, and never the
        last row: Chroma numbers the next change from it, and passes over numbers that it has seen.

        Args:
            without_graph: however little it is, since the graph is to be made anew: from records that are there
                alone, for among many deleted ones some cannot be reached.
        """
        with _connect(self.database) as connection:
            logged = connection.execute(
                "SELECT count(*) FROM embeddings_queue WHERE topic = ?", (self.topic,)
            ).fetchone()[0]
            if logged <= _SHARE * self.count() + _SLACK and not without_graph:
                return
            connection.execute(
                "CREATE TEMP TABLE kept AS SELECT max(q.seq_id) AS number FROM embeddings_queue q "
                "JOIN embeddings e ON e.segment_id = ? AND e.embedding_id = q.id "
                "WHERE q.topic = ? AND q.vector IS NOT NULL GROUP BY q.id",
                (self.rows, self.topic),
            )
            connection.execute(  # a graph made anew knows no record that could be updated
                "UPDATE embeddings_queue SET operation = ? WHERE operation = ? AND topic = ? "
                "AND seq_id IN (SELECT number FROM kept)",
                (_UPSERT, _UPDATE, self.topic),
            )
            seen_by = (self.rows, self.rows if without_graph else self.graph)
            connection.execute(
                "DELETE FROM embeddings_queue WHERE topic = ? AND seq_id NOT IN (SELECT number FROM kept) "
                "AND seq_id <= (SELECT min(seq_id) FROM max_seq_id WHERE segment_id IN (?, ?)) "
                "AND seq_id < (SELECT max(seq_id) FROM embeddings_queue WHERE topic = ?)",
                (self.topic, *seen_by, self.topic),
            )


def copy_rows(database: Path, target: Path) -> None:
    """Copy the sqlite file as it is at one moment, whoever writes to it.

    Args:
        database: folder that may not be writable.
        target: folder of the copy, which has none yet.

    Raises:
        IndexBusyError: if others go on writing.
        OSError: if it cannot be copied.
    """
    uri = f"{(database / DATABASE_FILE).absolute().as_uri()}?mode=ro"
    for _ in range(_TRIES):
        try:
            with (
                contextlib.closing(sqlite3.connect(uri, _PATIENCE, isolation_level=None, uri=True)) as rows,
                contextlib.closing(sqlite3.connect(target / DATABASE_FILE)) as copied,
            ):
                rows.execute("BEGIN")
                rows.execute(
                    "SELECT 1 FROM sqlite_master"
                ).fetchone()  # waits so long; a backup would for ever
                rows.backup(copied)
            return
        except sqlite3.Error as error:
            if is_busy(error):
                break
            # a kill left a change half done: it can be rolled back in the copy alone
            before = _look_at_rows(database)
            for name in (DATABASE_FILE, _JOURNAL):
                (target / name).unlink(missing_ok=True)
                if name in before:
                    shutil.copyfile(database / name, target / name)
            if _look_at_rows(database) == before:  # else another process rolled it back meanwhile
                return
    raise IndexBusyError(f"somebody goes on writing to {database}: wait for that")


def _look_at_rows(database: Path) -> dict[str, tuple[int, int, int]]:
    """File -> what tells whether it was changed, of those that are there."""
    found = {}
    for name in (DATABASE_FILE, _JOURNAL):
        with contextlib.suppress(FileNotFoundError):
            status = (database / name).stat()
            found[name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


@contextlib.contextmanager
def _connect(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection of our own, for one transaction; it never makes the file."""
    try:
        connection = sqlite3.connect(f"{(database / DATABASE_FILE).as_uri()}?mode=rw", timeout=60, uri=True)
        with contextlib.closing(connection), connection:
            yield connection
    except sqlite3.Error as error:
        raise StorageError(f"cannot read the database {database}: {error}") from error
