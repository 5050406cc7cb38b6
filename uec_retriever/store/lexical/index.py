"""The lexical index: an inverted index of terms, in an SQLite file of its own beside Chroma."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from uec_retriever.checks.numbers import check_number, check_whole
from uec_retriever.errors import CorruptFileError, InvalidInputError, ModelMismatchError, show
from uec_retriever.store.lexical import documents, postings
from uec_retriever.store.lexical.changes import apply
from uec_retriever.store.lexical.database import Database
from uec_retriever.store.lexical.documents import (
    LONGEST_TERM,
    NONE,
    encode,
    find_numbers,
    find_terms,
    read_contents,
    read_lengths,
    read_state,
)
from uec_retriever.store.lexical.postings import Ints
from uec_retriever.store.lexical.search import Saturation, Snapshot, search


class LexicalIndex:
    """An inverted index of the records of a collection, derived from it and made anew at will.

    Documents are known by the ids of their records, and are lists of terms that somebody else has made of texts. Its
    counts are exact after any sequence of changes. One writes at a time, threads and processes; any number read
    meanwhile, each call one moment of it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lengths: tuple[int, Ints] | None = None  # version, lengths by number
        self._norms: tuple[tuple[int, float, float], Any, float] | None = None
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
        counted = {_check_text("id", i): _count(i, terms) for i, terms in put.items()}
        gone = {_check_text("id", identifier) for identifier in delete} - counted.keys()
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
        with self._read() as connection:
            state, found = read_state(connection), find_terms(connection, dict.fromkeys(terms))
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
        wanted = {
            t: check_number(f"the weight of {show(t)}", w, "a finite number >= 0", 0, 1e30)
            for t, w in weights.items()
        }
        with self._read() as connection:
            return search(self._snapshot(connection, k1, b), wanted, limit, allowed)

    def frequencies(self, ids: Sequence[str], terms: Sequence[str]) -> tuple[Ints, Ints]:
        """How often documents have terms, whoever found the documents.

        Args:
            ids: m.
            terms: t.

        Returns:
            `[m, t]` frequencies and `[m]` lengths in terms, int64. A document that is not there has the length -1.
        """
        with self._read() as connection:
            numbers = find_numbers(connection, dict.fromkeys(ids))
            found = find_terms(connection, dict.fromkeys(terms))
            contents = read_contents(connection, list(numbers.values()))
        columns = {t: i for i, t in enumerate(found)}
        counts = contents.count(np.array([row[0] for row in found.values()], np.int64))
        # one more row and column, for what is not there
        padded = np.pad(counts, ((0, 1), (0, 1)))
        lengths = np.append(contents.lengths(), -1)
        rows = {identifier: i for i, identifier in enumerate(numbers)}
        row = np.array([rows.get(i, -1) for i in ids], np.int64)
        return padded[row][:, [columns.get(t, -1) for t in terms]], lengths[row]

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

    def _snapshot(self, connection: Any, k1: float, b: float) -> Snapshot:
        """One moment, with lengths of which those that have not changed are kept from the last search."""
        state = read_state(connection)
        known = self._lengths
        if known is None or known[0] != state.version:
            older = known if known and known[0] < state.version else None
            lengths = read_lengths(
                connection, state.numbers, older[0] if older else -1, older[1] if older else None
            )
            known = (state.version, lengths)
            with self._refresh:
                if self._lengths is None or self._lengths[0] < state.version:
                    self._lengths = known
        saturation, key = Saturation(k1, b, state.average), (state.version, k1, b)
        norms = self._norms
        if norms is None or norms[0] != key:
            values = saturation.norm(known[1].astype(np.float32)).astype(np.float32)
            values[known[1] == NONE] = np.inf
            norms = self._norms = (key, values, float(values.min(initial=np.inf)))
        return Snapshot(connection, state, known[1], norms[1], norms[2], saturation)


@contextmanager
def _sound() -> Iterator[None]:
    """Values that no change of ours has written are damage."""
    try:
        yield
    except (KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, InvalidInputError | CorruptFileError):
            raise
        raise documents.damaged(str(error)) from error


def _check_text(name: str, value: object) -> str:
    if isinstance(value, str) and documents.is_storable(value):
        return value
    raise InvalidInputError(f"{name} must be a string without lone surrogates, got {show(value)}")


def _count(identifier: str, terms: Sequence[str]) -> Counter[str]:
    if isinstance(terms, str):
        raise InvalidInputError(f"the terms of {show(identifier)} are a string: give a list of terms")
    counted = Counter(terms)
    for term in counted:
        if encode(term) is None:
            raise InvalidInputError(
                f"{show(identifier)} has the term {show(term)}: a term is 1 to {LONGEST_TERM} characters without lone "
                "surrogates"
            )
    return counted
