"""Documents of a lexical index: their numbers, lengths and terms, and the counts of the whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from uec_retriever.errors import CorruptFileError
from uec_retriever.store.lexical.postings import Ints, unpack_all, unpack_numbers

BLOCK = 4096  # lengths in a row
_AT_ONCE = 500  # values in a statement, of which old versions of SQLite bear 999
NONE = 0xFFFFFFFF  # length of a number that no document has
LONGEST_TERM = 255  # characters

SCHEMA = (
    "CREATE TABLE state (documents INTEGER, length INTEGER, numbers INTEGER, version INTEGER, mark TEXT, settings TEXT)",
    "CREATE TABLE documents (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, terms BLOB NOT NULL, "
    "tfs BLOB NOT NULL)",
    "CREATE TABLE free (number INTEGER PRIMARY KEY)",
    "CREATE TABLE lengths (block INTEGER PRIMARY KEY, version INTEGER NOT NULL, lengths BLOB NOT NULL)",
    "CREATE TABLE terms (id INTEGER PRIMARY KEY, term BLOB NOT NULL UNIQUE, df INTEGER NOT NULL, "
    "most INTEGER NOT NULL)",
)


@dataclass(frozen=True)
class State:
    """Counts of a lexical index at one moment.

    Attributes:
        documents: how many there are.
        length: of all of them together, in terms.
        numbers: how many numbers documents have had; those of deleted ones are given out again.
        version: counts the changes.
        mark: how far the index has followed what it is derived from.
    """

    documents: int
    length: int
    numbers: int
    version: int
    mark: str

    @property
    def average(self) -> float:
        """Mean length of a document, 0 if there is none."""
        return self.length / self.documents if self.documents else 0.0


def read_state(connection: sqlite3.Connection) -> State:
    """The state that a transaction sees."""
    row = connection.execute("SELECT documents, length, numbers, version, mark FROM state").fetchone()
    if row is None:
        raise damaged("no state")
    return State(*row)


def damaged(what: str) -> CorruptFileError:
    """The error of an index whose parts do not fit together."""
    return CorruptFileError(f"the lexical index is damaged ({what}): remove it and have it rebuilt")


def is_storable(text: object) -> bool:
    """Whether something is a string, and one without lone surrogates."""
    try:
        return isinstance(text, str) and text.encode() is not None
    except UnicodeEncodeError:
        return False


def encode(term: str) -> bytes | None:
    """A term as it is stored; None for what no document can have."""
    try:
        return term.encode() if isinstance(term, str) and 0 < len(term) <= LONGEST_TERM else None
    except UnicodeEncodeError:
        return None


def select(connection: sqlite3.Connection, columns: str, key: str, values: Iterable[Any]) -> Iterator[Any]:
    """Rows whose key is among values, which are asked for some hundreds at a time.

    Args:
        connection: in a transaction.
        columns: `a, b FROM table`.
        key: a column with an index.
        values: any number.
    """
    remaining = iter(values)
    while part := tuple(islice(remaining, _AT_ONCE)):
        marks = ",".join("?" * len(part))
        yield from connection.execute(f"SELECT {columns} WHERE {key} IN ({marks})", part).fetchall()


def find_terms(connection: sqlite3.Connection, terms: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """Term -> id, df, bound of its frequency in a document; of those that some document has, in the order given."""
    given = {term: encode(term) for term in terms}
    rows = {
        row[0]: row[1:]
        for row in select(connection, "term, id, df, most FROM terms", "term", filter(None, given.values()))
    }
    return {term: rows[stored] for term, stored in given.items() if stored in rows}


def find_numbers(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int]:
    """Id -> number of the documents that there are."""
    return dict(select(connection, "id, number FROM documents", "id", filter(is_storable, ids)))


def find_ids(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[str]:
    """Ids of documents by their numbers."""
    found = dict(select(connection, "number, id FROM documents", "number", numbers))
    return [found[number] for number in numbers]


@dataclass(frozen=True)
class Contents:
    """Terms of m documents, one document after the other.

    Attributes:
        terms: ids, ascending within a document.
        tfs: their frequencies.
        sizes: `[m]`, how many distinct terms each document has.
    """

    terms: Ints
    tfs: Ints
    sizes: Ints

    @property
    def rows(self) -> Ints:
        """Which document each term is of, from 0."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def count(self, terms: Ints) -> Ints:
        """`[m, t]`, frequencies of t terms, given by distinct ids."""
        counts = np.zeros((len(self.sizes), len(terms)), np.int64)
        if not len(terms) or not len(self.terms):
            return counts
        order = np.argsort(terms)
        places = np.minimum(np.searchsorted(terms, self.terms, sorter=order), len(terms) - 1)
        columns = order[places]
        hits = terms[columns] == self.terms
        counts[self.rows[hits], columns[hits]] = self.tfs[hits]
        return counts

    def lengths(self) -> Ints:
        """`[m]`, in terms."""
        return np.bincount(self.rows, self.tfs, minlength=len(self.sizes)).astype(np.int64)


def read_contents(connection: sqlite3.Connection, numbers: Sequence[int]) -> Contents:
    """Terms of documents."""
    found = {
        row[0]: row[1:] for row in select(connection, "number, terms, tfs FROM documents", "number", numbers)
    }
    rows = [found[number] for number in numbers]
    sizes = [len(row[0]) // 4 for row in rows]
    terms = unpack_numbers(b"".join([row[0] for row in rows])).astype(np.int64)
    return Contents(terms, unpack_all([row[1] for row in rows], sizes), np.array(sizes, np.int64))


def read_lengths(connection: sqlite3.Connection, numbers: int, since: int, old: Ints | None) -> Ints:
    """Lengths of all documents by number, `NONE` where there is none.

    Args:
        connection: in a transaction.
        numbers: how many there are.
        since: version of `old`.
        old: what an earlier transaction has read, which is not changed; None for nothing.
    """
    size = -(-numbers // BLOCK) * BLOCK
    lengths = np.full(size, NONE, "<u4")
    if old is None:
        since = -1
    else:
        lengths[: len(old)] = old[:size]
    for block, stored in connection.execute("SELECT block, lengths FROM lengths WHERE version > ?", (since,)):
        if len(stored) != 4 * BLOCK or not 0 <= block < size // BLOCK:
            raise damaged("lengths")
        lengths[block * BLOCK : (block + 1) * BLOCK] = np.frombuffer(stored, "<u4")
    return lengths


def write_lengths(connection: sqlite3.Connection, numbers: Ints, lengths: Ints, version: int) -> None:
    """Set lengths of documents.

    Args:
        connection: in a transaction.
        numbers: `[m]`, each once.
        lengths: `[m]`, `NONE` for a document that goes.
        version: of the change.
    """
    blocks = numbers // BLOCK
    for block in np.unique(blocks).tolist():
        row = connection.execute("SELECT lengths FROM lengths WHERE block = ?", (block,)).fetchone()
        values = np.frombuffer(row[0], "<u4").copy() if row else np.full(BLOCK, NONE, "<u4")
        here = blocks == block
        values[numbers[here] % BLOCK] = lengths[here]
        connection.execute(
            "INSERT OR REPLACE INTO lengths VALUES (?, ?, ?)", (block, version, values.tobytes())
        )


def take_numbers(connection: sqlite3.Connection, amount: int, numbers: int) -> list[int]:
    """Numbers for new documents: those of deleted ones first, then from `numbers` on."""
    rows = connection.execute("SELECT number FROM free ORDER BY number LIMIT ?", (amount,)).fetchall()
    connection.executemany("DELETE FROM free WHERE number = ?", rows)
    return [row[0] for row in rows] + list(range(numbers, numbers + amount - len(rows)))


def free_numbers(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Take documents away and keep their numbers for others."""
    rows = [(number,) for number in numbers]
    connection.executemany("DELETE FROM documents WHERE number = ?", rows)
    connection.executemany("INSERT INTO free VALUES (?)", rows)
