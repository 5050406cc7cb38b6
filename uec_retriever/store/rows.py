"""Records as an embedded Chroma's sqlite file has them, in one transaction: Chroma itself takes three times as long."""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from uec_retriever.store.entries import EMBEDDED_KEY
from uec_retriever.store.log import ChromaLog, unreadable

Columns = dict[str, list[Any]]
Content = tuple[str | None, dict[str, Any]]  # text and metadata
COLUMNS = ("ids", "documents", "metadatas", "embeddings")
_DOCUMENT, _OWN = "chroma:document", "chroma:"
_VALUES = "string_value, int_value, float_value, bool_value"


class Rows:
    """Reads the records of a collection. Safe under threads; its connections stay open, since opening takes longest.

    What it is asked for by ids are distinct ones, at most as many as Chroma takes in one call. It raises a StorageError if
    the database cannot be read, as when a later Chroma has other tables.

    Args:
        log: of the collection.
    """

    def __init__(self, log: ChromaLog) -> None:
        self._log = log
        self._idle: list[sqlite3.Connection] = []
        weakref.finalize(self, _close, self._idle).atexit = False

    def close(self) -> None:
        """Close what no thread uses."""
        _close(self._idle)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._log.open()
            with contextlib.ExitStack() as undo:
                undo.callback(connection.close)
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
                undo.pop_all()
        except sqlite3.Error as error:
            raise unreadable(self._log.database, error) from error
        self._idle.append(connection)

    def whole(self, ids: Sequence[str]) -> tuple[Columns, list[str]]:
        """What is stored of records.

        Returns:
            Chroma's columns of the records that are there, and the ids of those among them whose vector the log has not
            got beside their last change, as when that changed metadata alone: these are left to Chroma.
        """
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT e.id, e.embedding_id, q.vector FROM embeddings e LEFT JOIN embeddings_queue q "
                "ON q.seq_id = e.seq_id AND q.topic = ? AND q.id = e.embedding_id AND q.encoding = 'FLOAT32' "
                f"WHERE e.segment_id = ? AND e.embedding_id IN ({_marks(ids)})",
                (self._log.topic, self._log.rows, *ids),
            ).fetchall()
            there = [(number, i, vector) for number, i, vector in rows if vector is not None]
            contents = _contents(connection, [number for number, _, _ in there])
        columns: Columns = {name: [] for name in COLUMNS}
        for number, identifier, vector in there:
            row = (identifier, *contents[number], np.frombuffer(vector, "<f4"))
            for name, value in zip(COLUMNS, row, strict=True):
                columns[name].append(value)
        return columns, [i for _, i, vector in rows if vector is None]

    def contents(self, ids: Sequence[str]) -> dict[str, Content]:
        """Id -> text and metadata, of the records that are there."""
        with self._transaction() as connection:
            numbers = dict(
                connection.execute(
                    f"SELECT id, embedding_id FROM embeddings WHERE segment_id = ? AND embedding_id IN ({_marks(ids)})",
                    (self._log.rows, *ids),
                )
            )
            return {numbers[n]: content for n, content in _contents(connection, list(numbers)).items()}

    def texts(self, ids: Sequence[str]) -> dict[str, str]:
        """Id -> what was embedded, of the records that are there; "" for one of someone else's without a text."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT e.embedding_id, m.key, m.string_value FROM embeddings e LEFT JOIN embedding_metadata m "
                "ON m.id = e.id AND m.key IN (?, ?) "
                f"WHERE e.segment_id = ? AND e.embedding_id IN ({_marks(ids)})",
                (_DOCUMENT, EMBEDDED_KEY, self._log.rows, *ids),
            ).fetchall()
        texts = {i: text or "" for i, key, text in rows if key != EMBEDDED_KEY}
        texts.update((i, text) for i, key, text in rows if key == EMBEDDED_KEY)
        return {i: texts[i] for i in ids if i in texts}


def _close(idle: list[sqlite3.Connection]) -> None:
    while idle:
        idle.pop().close()


def _contents(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, Content]:
    """Number of a record -> its text and metadata."""
    return {
        number: (
            metadata.pop(_DOCUMENT, None),
            {key: value for key, value in metadata.items() if not key.startswith(_OWN)},
        )
        for number, metadata in _metadatas(connection, numbers).items()
    }


def _metadatas(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Number of a record -> its metadata and text."""
    found: dict[int, dict[str, Any]] = {number: {} for number in numbers}
    marks = _marks(numbers)
    for number, key, *values in connection.execute(
        f"SELECT id, key, {_VALUES} FROM embedding_metadata WHERE id IN ({marks})", numbers
    ):
        found[number][key] = _value(*values)
    for number, key, *values in connection.execute(
        f"SELECT id, key, {_VALUES} FROM embedding_metadata_array WHERE id IN ({marks}) ORDER BY rowid",
        numbers,
    ):
        found[number].setdefault(key, []).append(_value(*values))
    return found


def _value(text: str | None, whole: int | None, real: float | None, truth: int | None) -> Any:
    if truth is not None:
        return bool(truth)
    return next((value for value in (text, whole, real) if value is not None), None)


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)
