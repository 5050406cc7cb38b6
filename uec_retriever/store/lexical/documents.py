"""Documents of a lexical index: their numbers, lengths and terms, and the counts of the whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from uec_retriever.errors import CorruptFileError
from uec_retriever.store.lexical.postings import Ints, unpack_all, unpack_numbers

BLOCK = 4096  # lengths in a row
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


def find_terms(connection: sqlite3.Connection, terms: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """Term -> id, df, bound of its frequency in a document; of those that some document has."""
    found = {}
    for term in terms:
        row = connection.execute("SELECT id, df, most FROM terms WHERE term = ?", (encode(term),)).fetchone()
        if row:
            found[term] = row
    return found


def find_numbers(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int]:
    """Id -> number of the documents that there are."""
    found = {}
    for identifier in filter(is_storable, ids):
        row = connection.execute("SELECT number FROM documents WHERE id = ?", (identifier,)).fetchone()
        if row:
            found[identifier] = row[0]
    return found


def find_ids(connection: sqlite3.Connection, numbers: Iterable[int]) -> list[str]:
    """Ids of documents by their numbers."""
    statement = "SELECT id FROM documents WHERE number = ?"
    rows = [connection.execute(statement, (number,)).fetchone() for number in numbers]
    if not all(rows):
        raise damaged("documents")
    return [row[0] for row in rows]


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
    statement = "SELECT terms, tfs FROM documents WHERE number = ?"
    rows = [connection.execute(statement, (number,)).fetchone() for number in numbers]
    if not all(rows):
        raise damaged("documents")
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
    rows = list(zip(numbers, repeat(None)))
    connection.executemany("DELETE FROM documents WHERE number = ?", [(number,) for number, _ in rows])
    connection.executemany("INSERT INTO free VALUES (?)", [(number,) for number, _ in rows])
