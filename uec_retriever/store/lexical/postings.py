"""Postings: which documents have a term, and how often, as compact arrays in rows of a bounded size.

A row holds a run of a term's documents in ascending order of their numbers. Its key is the term's id and the first
number that belongs there, so that a term's rows lie side by side and a change touches one row of each of its terms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from uec_retriever.errors import CorruptFileError

MOST = 2048  # postings in a row
SHIFT = 32  # of a term's id in a key; the number of a document is below
_MASK = (1 << SHIFT) - 1
Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]

SCHEMA = ("CREATE TABLE postings (key INTEGER PRIMARY KEY, numbers BLOB NOT NULL, tfs BLOB NOT NULL)",)


def pack(counts: Ints) -> bytes:
    """Counts as bytes: one each if all are below 256, four otherwise."""
    return counts.astype("u1" if counts.max(initial=0) < 256 else "<u4").tobytes()


def unpack_all(blobs: Sequence[bytes], sizes: Sequence[int]) -> Ints:
    """Counts of several blobs, one after the other.

    Args:
        blobs: as `pack` gives them.
        sizes: how many counts each has.

    Raises:
        CorruptFileError: if a blob has another size.
    """
    total = sum(sizes)
    if sum(map(len, blobs)) == total and all(map(_same, blobs, sizes)):
        return np.frombuffer(b"".join(blobs), "u1")
    parts = [np.zeros(0, "<u4")]
    for blob, size in zip(blobs, sizes, strict=True):
        if len(blob) not in (size, 4 * size):
            raise CorruptFileError("the lexical index is damaged (counts): remove it and have it rebuilt")
        parts.append(np.frombuffer(blob, "u1" if len(blob) == size else "<u4"))
    return np.concatenate(parts)


def _same(blob: bytes, size: int) -> bool:
    return len(blob) == size


def unpack_numbers(blob: bytes) -> Ints:
    """Numbers of four bytes each.

    Raises:
        CorruptFileError: if they do not come out even.
    """
    if len(blob) % 4:
        raise CorruptFileError("the lexical index is damaged (numbers): remove it and have it rebuilt")
    return np.frombuffer(blob, "<u4")


def read_postings(connection: sqlite3.Connection, term: int) -> tuple[Ints, Ints]:
    """All postings of a term: numbers of documents, ascending, and the term's frequency in each."""
    rows = connection.execute(
        "SELECT numbers, tfs FROM postings WHERE key BETWEEN ? AND ? ORDER BY key",
        (term << SHIFT, (term << SHIFT) | _MASK),
    ).fetchall()
    numbers = unpack_numbers(b"".join([row[0] for row in rows]))
    return numbers, unpack_all([row[1] for row in rows], [len(row[0]) // 4 for row in rows])


def change_postings(connection: sqlite3.Connection, keys: Ints, counts: Ints, new: set[int]) -> None:
    """Set postings.

    Args:
        connection: in a transaction.
        keys: `[n]`, term's id and document's number, ascending, each once.
        counts: `[n]`, the frequency from now on, 0 for none.
        new: ids of terms that have no postings yet.
    """
    terms = keys >> SHIFT
    bounds = [0, *(np.flatnonzero(np.diff(terms)) + 1).tolist(), len(keys)] if len(keys) else [0]
    numbers = (keys & _MASK).astype("<u4")
    for start, end in zip(bounds, bounds[1:], strict=False):
        term = int(terms[start])
        while start < end:
            row, stop = None, end
            if term not in new:
                row, after = _find(connection, term, int(numbers[start]))
                if after is not None:
                    stop = start + int(np.searchsorted(numbers[start:end], after))
            _set(connection, term, row, numbers[start:stop], counts[start:stop])
            start = stop


def _find(
    connection: sqlite3.Connection, term: int, number: int
) -> tuple[tuple[int, bytes, bytes] | None, int | None]:
    """The row where a document belongs, if there is one, and where the next begins."""
    base = term << SHIFT
    row = connection.execute(
        "SELECT key, numbers, tfs FROM postings WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1",
        (base, base | number),
    ).fetchone()
    after = connection.execute(
        "SELECT min(key) FROM postings WHERE key > ? AND key <= ?", (base | number, base | _MASK)
    ).fetchone()[0]
    return row, None if after is None else after & _MASK


def _set(
    connection: sqlite3.Connection,
    term: int,
    row: tuple[int, bytes, bytes] | None,
    numbers: Ints,
    counts: Ints,
) -> None:
    """Set postings of one row, which is split if it grows too long and goes if it is empty."""
    key = term << SHIFT  # of a term's first row, so that one is found for whatever number
    appended = True
    if row:
        key = row[0]
        old = unpack_numbers(row[1])
        old_counts = unpack_all([row[2]], [len(old)])
        if appended := bool(old[-1] < numbers[0]):
            numbers, counts = np.concatenate([old, numbers]), np.concatenate([old_counts, counts])
        else:
            kept = ~np.isin(old, numbers, assume_unique=True)
            numbers = np.concatenate([old[kept], numbers])
            order = np.argsort(numbers)
            numbers = numbers[order]
            counts = np.concatenate([old_counts[kept], counts])[order]
    live = counts > 0
    if not live.all():
        numbers, counts = numbers[live], counts[live]
    if not len(numbers):
        connection.execute("DELETE FROM postings WHERE key = ?", (key,))
        return
    connection.executemany(
        "INSERT OR REPLACE INTO postings VALUES (?, ?, ?)", _rows(key, term, numbers, counts, appended)
    )


def _rows(
    key: int, term: int, numbers: Ints, counts: Ints, appended: bool
) -> Iterable[tuple[int, bytes, bytes]]:
    for i, (start, end) in enumerate(_pieces(len(numbers), appended)):
        own = (term << SHIFT) | int(numbers[start]) if i else key
        yield own, numbers[start:end].astype("<u4").tobytes(), pack(counts[start:end])


def _pieces(size: int, appended: bool) -> Iterator[tuple[int, int]]:
    """Full ones where documents are added at the end, equal ones otherwise, so that they can grow."""
    number = -(-size // MOST)
    step = MOST if appended else -(-size // number)
    for start in range(0, size, step):
        yield start, min(start + step, size)
