"""The lexical index: an inverted index of terms, in an SQLite file of its own beside Chroma."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from uec_retriever.checks.numbers import check_number, check_whole
from uec_retriever.errors import CorruptFileError, InvalidInputError, ModelMismatchError, show
from uec_retriever.store.lexical import documents, postings
from uec_retriever.store.lexical.changes import Put, apply
from uec_retriever.store.lexical.database import Database
from uec_retriever.store.lexical.documents import (
    LONGEST_TERM,
    NONE,
    encode,
    find_numbers,
    read_contents,
    read_state,
)
from uec_retriever.store.lexical.moment import Kept, Moment, Saturation, TermRow
from uec_retriever.store.lexical.postings import Ints
from uec_retriever.store.lexical.search import search

_HEAVIEST = 1e30


class LexicalIndex:
    """An inverted index of the records of a collection, derived from it and made anew at will.

    Documents are known by the ids of their records, and are lists of terms that somebody else has made of texts. Its
    counts are exact after any sequence of changes. One writes at a time, threads and processes; any number read
    meanwhile, each call one moment of it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: Kept | None = None  # of the last version that was read
        self._refresh = threading.Lock()

    @classmethod
    def open(cls, path: Path | None, settings: Mapping[str, Any]) -> LexicalIndex:
        """Open an index; it is made, empty and with the mark "", if there is none.

        Args:
            path: of its file, which keeps two more beside it while it is open; None for one in memory.
            settings: what terms are made by, as JSON can hold it.

        Raises:
            CorruptFileError: if it is damaged: remove it (`remove`) and fill it anew.
            FormatVersionError: if another version of the format wrote it.
            InvalidInputError: if the settings are no JSON.
            ModelMismatchError: if it was made with other settings.
            NotAnIndexError: if the file is a database of something else.
            StorageError: if it cannot be read, or made.
        """
        try:
            told = json.dumps(settings, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInputError(f"the settings of a lexical index must be JSON: {error}") from error

        def make(connection: sqlite3.Connection) -> None:
            for statement in (*postings.SCHEMA, *documents.SCHEMA):
                connection.execute(statement)
            connection.execute("INSERT INTO state VALUES (0, 0, 0, 0, '', ?)", (told,))

        database = Database(path, make)
        try:
            with database.read() as connection:
                row = connection.execute("SELECT settings FROM state").fetchone()
            if row is None:
                raise documents.damaged("no state")
            if row[0] != told:
                raise ModelMismatchError(
                    f"the lexical index {path} was made with the settings {row[0]}, not {told}: open it with those, or "
                    "remove it and have it rebuilt"
                )
        except BaseException:
            database.close()
            raise
        return cls(database)

    @staticmethod
    def remove(path: Path) -> None:
        """Remove an index that nobody has open, whatever state it is in; nothing happens if there is none."""
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)

    @property
    def writable(self) -> bool:
        """Whether it may be changed, as far as could be told when it was opened."""
        return self._database.writable

    @property
    def mark(self) -> str:
        """How far the index has followed its collection: what the last change said, or ""."""
        with self._read() as connection:
            return read_state(connection).mark

    def __len__(self) -> int:
        """How many documents there are."""
        with self._read() as connection:
            return read_state(connection).documents

    def ids(self) -> list[str]:
        """Ids of all documents, ascending."""
        with self._read() as connection:
            return [row[0] for row in connection.execute("SELECT id FROM documents ORDER BY id")]

    def change(self, put: Mapping[str, Sequence[str]], delete: Iterable[str], mark: str) -> None:
        """Put and delete documents in one transaction: all of it, or nothing, whatever kills it.

        Takes memory in proportion to what is put, and about as long for one document as for fifty.

        Args:
            put: id -> terms, with repeats; a document of that id is replaced. A term has 1 to 255 characters.
            delete: ids; those that are not there, or are put as well, are passed over.
            mark: how far the index has followed its collection once this is done.

        Raises:
            CorruptFileError: if the index is damaged.
            IndexBusyError: if another process goes on writing.
            InvalidInputError: for ids, terms or a mark that cannot be kept.
            StorageError: if it cannot be written or the disk is full; nothing was changed then.
        """
        _check_text("mark", mark)
        counted = _count(put)
        gone = {_check_text("id", identifier) for identifier in delete} - put.keys()
        with self._database.write() as connection, _sound():
            apply(connection, counted, sorted(gone), mark)

    def statistics(self, terms: Sequence[str]) -> tuple[int, float, Ints]:
        """What weights of terms are made of.

        Args:
            terms: t of them; of one that no document can have (empty, too long) df is 0.

        Returns:
            Number of documents, their mean length in terms (0 without any), and `[t]` numbers of documents that have
            each term, int64. Exactly those of a new index of the same documents.
        """
        with self._look() as at:
            state, found = at.state, at.terms(terms)
        df = np.array([found[t][1] if t in found else 0 for t in terms], np.int64)
        return state.documents, state.average, df

    def search(
        self,
        weights: Mapping[str, float],
        limit: int,
        k1: float,
        b: float,
        allowed: Collection[str] | None = None,
    ) -> list[tuple[str, float]]:
        """The best documents by the sum of weight * tf (k1 + 1) / (tf + k1 (1 - b + b dl / avdl)).

        Args:
            weights: term -> weight, >= 0 and finite.
            limit: at most this many, >= 1.
            k1: how slowly frequencies saturate, >= 0.
            b: how far lengths count, in [0, 1].
            allowed: ids of documents that may be found; those that are not there are passed over. None for all.

        Returns:
            Id and score (> 0) of documents that have at least one term of positive weight, best first, those of equal
            scores by id.

        Raises:
            CorruptFileError: if the index is damaged.
            InvalidInputError: for numbers out of range.
        """
        limit = check_whole("limit", limit, 1)
        k1 = check_number("k1", k1, "a finite number >= 0", 0, 1e6)
        b = check_number("b", b, "in [0, 1]", 0, 1)
        wanted = {t: _check_weight(t, w) for t, w in weights.items()}
        with self._look() as at:
            return search(at, wanted, limit, Saturation(k1, b, at.state.average), allowed)

    def frequencies(self, ids: Sequence[str], terms: Sequence[str]) -> tuple[Ints, Ints]:
        """How often documents have terms, whoever found the documents.

        Args:
            ids: m.
            terms: t.

        Returns:
            `[m, t]` frequencies and `[m]` lengths in terms, int64. A document that is not there has the length -1.
        """
        with self._look() as at:
            numbers = find_numbers(at.connection, dict.fromkeys(ids))
            found = at.terms(terms)
            counts, lengths = _count_terms(at, list(numbers.values()), list(found.values()))
        # one more row and column, for what is not there
        padded = np.zeros((len(numbers) + 1, len(found) + 1), np.int64)
        padded[:-1, :-1] = counts
        columns, rows = {t: i for i, t in enumerate(found)}, {i: row for row, i in enumerate(numbers)}
        row = np.array([rows.get(i, -1) for i in ids], np.int64)
        return padded[row][:, [columns.get(t, -1) for t in terms]], np.append(lengths, -1)[row]

    def close(self) -> None:
        """Close the file; nothing happens the second time."""
        self._database.close()

    def __enter__(self) -> LexicalIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _read(self) -> Iterator[Any]:
        with self._database.read() as connection, _sound():
            yield connection

    @contextmanager
    def _look(self) -> Iterator[Moment]:
        """One moment, with what is kept of it since others looked at the same version."""
        with self._read() as connection:
            state, kept = read_state(connection), self._kept
            if kept is None or kept.version != state.version:
                kept = Kept(state.version, kept if kept and kept.version < state.version else None)
                with self._refresh:
                    if self._kept is None or self._kept.version < state.version:
                        self._kept = kept
            yield Moment(connection, state, kept)


def _count_terms(at: Moment, numbers: Sequence[int], terms: Sequence[TermRow]) -> tuple[Ints, Ints]:
    """`[m, t]` frequencies of terms in documents, and the documents' `[m]` lengths.

    From the terms' postings, which a search has read already, unless these are many.
    """
    ids = [row[0] for row in terms]
    if not at.is_small(terms):
        contents = read_contents(at.connection, numbers)
        return contents.count(np.array(ids, np.int64)), contents.lengths()
    lengths = at.lengths[np.array(numbers, np.int64)].astype(np.int64)
    if (lengths == NONE).any():
        raise documents.damaged("lengths")
    rows = np.full(len(at.lengths), -1, np.int64)
    rows[numbers] = np.arange(len(numbers))
    having, tfs, sizes = at.joined_postings(ids)
    row = rows[having]
    hits = row >= 0
    counts = np.zeros((len(numbers), len(ids)), np.int64)
    counts[row[hits], np.repeat(np.arange(len(ids)), sizes)[hits]] = tfs[hits]
    return counts, lengths


@contextmanager
def _sound() -> Iterator[None]:
    """Values that no change of ours has written are damage."""
    try:
        yield
    except (KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, InvalidInputError | CorruptFileError):
            raise
        raise documents.damaged(str(error)) from error


def _check_weight(term: str, weight: object) -> float:
    if isinstance(weight, float) and 0 <= weight <= _HEAVIEST:
        return float(weight)
    return check_number(f"the weight of {show(term)}", weight, "a finite number >= 0", 0, _HEAVIEST)


def _check_text(name: str, value: object) -> str:
    if isinstance(value, str) and documents.is_storable(value):
        return value
    raise InvalidInputError(f"{name} must be a string without lone surrogates, got {show(value)}")


def _count(documents: Mapping[str, Sequence[str]]) -> Put:
    """Documents to be put; refuses what cannot be kept. A term is looked at once, however many documents have it."""
    for identifier, terms in documents.items():
        _check_text("id", identifier)
        if isinstance(terms, str):
            raise InvalidInputError(f"the terms of {show(identifier)} are a string: give a list of terms")
    put = Put.of(documents)
    if refused := [term for term in put.terms if encode(term) is None]:
        identifier, term = next((i, term) for i, own in documents.items() for term in refused if term in own)
        raise InvalidInputError(
            f"{show(identifier)} has the term {show(term)}: a term is 1 to {LONGEST_TERM} characters without lone "
            "surrogates"
        )
    return put
