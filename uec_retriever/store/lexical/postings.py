"""Postings: which documents have a term, and how often, as compact arrays in rows of a bounded size.

A row holds a run of a term's documents in ascending order of their numbers. Its key is the term's id and the first
number that belongs there, so that a term's rows lie side by side and a change touches one row of each of its terms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from uec_retriever.errors import CorruptFileError

MOST = 1600  # postings in a row, which fill a page of the file
_TERMS = (
    500  # whose rows are held at once, and named in a statement, of which old versions of SQLite bear 999
)
SHIFT = 32  # of a term's id in a key; the number of a document is below
_MASK = (1 << SHIFT) - 1
_Row = tuple[int, bytes, bytes]  # key, numbers, frequencies
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
    if not len(keys):
        return
    terms = keys >> SHIFT
    bounds = [0, *(np.flatnonzero(np.diff(terms)) + 1).tolist(), len(keys)]
    numbers = (keys & _MASK).astype("<u4")
    raw_numbers, raw_counts = numbers.tobytes(), np.minimum(counts, 255).astype("u1").tobytes()
    short = np.logical_and.reduceat((counts > 0) & (counts < 256), bounds[:-1]).tolist()
    firsts, owners = numbers[bounds[:-1]].tolist(), terms[bounds[:-1]].tolist()
    for first in range(0, len(owners), _TERMS):
        rows: list[_Row] = []
        empty: list[tuple[int]] = []
        some = owners[first : first + _TERMS]
        lasts = _last_rows(connection, [term for term in some if term not in new])
        for i, (term, start, end) in enumerate(
            zip(some, bounds[first:], bounds[first + 1 :], strict=False), first
        ):
            last = lasts.get(term)
            key, old, old_tfs = last or (term << SHIFT, b"", b"")
            appended = not old or int.from_bytes(old[-4:], "little") < firsts[i]
            if appended and short[i] and len(old) == 4 * len(old_tfs) and len(old_tfs) + end - start <= MOST:
                rows.append((key, old + raw_numbers[4 * start : 4 * end], old_tfs + raw_counts[start:end]))
                continue
            for own, row in _change_term(
                connection, term << SHIFT, last, numbers[start:end], counts[start:end]
            ):
                rows += own
                if not own and row:
                    empty.append((row[0],))
        connection.executemany("DELETE FROM postings WHERE key = ?", empty)
        connection.executemany("INSERT OR REPLACE INTO postings VALUES (?, ?, ?)", rows)


def _change_term(
    connection: sqlite3.Connection, base: int, last: _Row | None, numbers: Ints, counts: Ints
) -> Iterator[tuple[list[_Row], _Row | None]]:
    """Rows of a term with postings set, and the row that they take the place of, if there is one.

    Args:
        connection: in a transaction.
        base: of the term's keys.
        last: its last row, if it has any.
        numbers: `[n]`, ascending.
        counts: `[n]`, 0 for none.
    """
    while len(numbers):
        stop, row, first = len(numbers), last, int(numbers[0])
        if last and first < last[0] & _MASK:
            row = _last(connection, base, first)
            after = _next(connection, base, first)
            stop = stop if after is None else int(np.searchsorted(numbers, after))
        yield list(_split(row or (base, b"", b""), numbers[:stop], counts[:stop])), row
        numbers, counts = numbers[stop:], counts[stop:]


def _last_rows(connection: sqlite3.Connection, terms: Sequence[int]) -> dict[int, _Row]:
    """Term's id -> its last row, of those terms that have any."""
    if not terms:
        return {}
    found = connection.execute(
        f"WITH wanted (base) AS (VALUES {', '.join(['(?)'] * len(terms))}) "
        "SELECT key, numbers, tfs FROM wanted JOIN postings "
        f"ON key = (SELECT max(key) FROM postings WHERE key BETWEEN base AND base + {_MASK})",
        [term << SHIFT for term in terms],
    )
    return {row[0] >> SHIFT: row for row in found}


def _last(connection: sqlite3.Connection, base: int, number: int) -> _Row | None:
    """A term's row where a document belongs, if there is one."""
    row: _Row | None = connection.execute(
        "SELECT key, numbers, tfs FROM postings WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1",
        (base, base | number),
    ).fetchone()
    return row


def _next(connection: sqlite3.Connection, base: int, number: int) -> int | None:
    """The first number of the row after that."""
    (key,) = connection.execute(
        "SELECT min(key) FROM postings WHERE key > ? AND key <= ?", (base | number, base | _MASK)
    ).fetchone()
    return None if key is None else key & _MASK


def _split(row: _Row, numbers: Ints, counts: Ints) -> Iterator[_Row]:
    """A row with postings set, in several if it grows too long, in none if it is empty."""
    key, old = row[0], unpack_numbers(row[1])
    old_counts = unpack_all([row[2]], [len(old)])
    appended = not len(old) or old[-1] < numbers[0]
    kept = np.ones(len(old), bool) if appended else ~np.isin(old, numbers, assume_unique=True)
    live = counts > 0
    numbers = np.concatenate([old[kept], numbers[live]])
    counts = np.concatenate([old_counts[kept], counts[live]])
    order = np.argsort(numbers, kind="stable")
    numbers, counts = numbers[order], counts[order]
    for start, end in _pieces(len(numbers), appended):
        own = key & ~_MASK | int(numbers[start]) if start else key
        yield own, numbers[start:end].astype("<u4").tobytes(), pack(counts[start:end])


def _pieces(size: int, appended: bool) -> Iterator[tuple[int, int]]:
    """Full ones where documents are added at the end, equal ones otherwise, so that they can grow."""
    number = -(-size // MOST)
    step = MOST if appended else -(-size // max(1, number))
    for start in range(0, size, max(1, step)):
        yield start, min(start + step, size)
