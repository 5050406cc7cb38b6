"""Records as an embedded Chroma's sqlite file has them, in one transaction: Chroma itself takes three times as long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from uec_retriever.store.log import ChromaLog

Columns = dict[str, list[Any]]
COLUMNS = ("ids", "documents", "metadatas", "embeddings")
_DOCUMENT, _OWN = "chroma:document", "chroma:"
_VALUES = "string_value, int_value, float_value, bool_value"


def read_rows(log: ChromaLog, ids: Sequence[str]) -> tuple[Columns, list[str]]:
    """What is stored of records.

    Args:
        log: of the collection.
        ids: distinct, at most as many as Chroma takes in one call.

    Returns:
        Chroma's columns of the records that are there, and the ids of those among them whose vector the log has not
        got beside their last change, as when that changed metadata alone: these are left to Chroma.

    Raises:
        StorageError: if the database cannot be read, as when a later Chroma has other tables.
    """
    with log.connect() as connection:
        connection.execute("BEGIN")
        rows = connection.execute(
            "SELECT e.id, e.embedding_id, q.vector FROM embeddings e LEFT JOIN embeddings_queue q "
            "ON q.seq_id = e.seq_id AND q.topic = ? AND q.id = e.embedding_id AND q.encoding = 'FLOAT32' "
            f"WHERE e.segment_id = ? AND e.embedding_id IN ({_marks(ids)})",
            (log.topic, log.rows, *ids),
        ).fetchall()
        whole = [(number, i, vector) for number, i, vector in rows if vector is not None]
        metadatas = _metadatas(connection, [number for number, _, _ in whole])
    columns: Columns = {name: [] for name in COLUMNS}
    for number, identifier, vector in whole:
        metadata = metadatas[number]
        text = metadata.pop(_DOCUMENT, None)
        own = {key: value for key, value in metadata.items() if not key.startswith(_OWN)}
        for name, value in zip(COLUMNS, (identifier, text, own, np.frombuffer(vector, "<f4")), strict=True):
            columns[name].append(value)
    return columns, [i for _, i, vector in rows if vector is None]


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
