"""One moment of a lexical index, and what of it is kept in memory until the index changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uec_retriever.store.lexical.documents import NONE, State, damaged, find_terms, read_lengths
from uec_retriever.store.lexical.postings import Ints, read_postings

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
TermRow = tuple[int, int, int]  # id, document frequency, bound of the frequency in a document
WHOLE = (
    200_000  # documents and postings that are gone through one and all, as searching among them takes longer
)
_TERMS = 1 << 14  # kept at most
_POSTINGS = 1 << 21  # likewise, of all terms together: 16 MB, and a quarter of it for their frequencies
_ENTRY = 32  # postings that take as much memory as that a term has some


@dataclass(frozen=True)
class Saturation:
    """BM25's k1 and b, with the documents' mean length."""

    k1: float
    b: float
    average: float

    def norm(self, lengths: Any) -> Any:
        """What a frequency is measured against, for documents of these lengths."""
        relative = lengths / self.average if self.average else 0.0 * lengths
        return self.k1 * (1 - self.b + self.b * relative)

    def scale(self, tf: Any, norm: Any) -> Any:
        """What a frequency counts: tf (k1 + 1) / (tf + norm)."""
        return tf * (self.k1 + 1) / np.maximum(tf + norm, 1e-30)


@dataclass(frozen=True)
class Norms:
    """What frequencies are measured against, by number of the document.

    Attributes:
        exact: float64; of no meaning where there is no document.
        rough: float32, infinite where there is none.
        shortest: the least of the rough ones.
    """

    exact: Floats
    rough: Floats
    shortest: float


class Kept:
    """What was read of one version of an index; safe under threads, which at worst read the same twice.

    Args:
        version: of the index.
        before: of an earlier version, of which lengths that have not changed are taken over.
    """

    def __init__(self, version: int, before: Kept | None = None) -> None:
        self.version = version
        self._lengths: Ints | None = None
        self._older = None if before is None else before.known_lengths()
        self._norms: tuple[Saturation, Norms] | None = None
        self._terms: dict[str, TermRow | None] = {}
        self._postings: dict[int, tuple[Ints, Ints]] = {}
        self._room = _POSTINGS

    def terms(self, connection: sqlite3.Connection, terms: Iterable[str]) -> dict[str, TermRow]:
        """Those terms that some document has, in the order given."""
        wanted, known = dict.fromkeys(terms), self._terms
        if missing := [term for term in wanted if term not in known]:
            if len(known) + len(missing) > _TERMS:
                known = self._terms = {}
                missing = list(wanted)
            found = find_terms(connection, missing)
            known.update((term, found.get(term)) for term in missing)
        rows = {term: known[term] for term in wanted}
        return {term: row for term, row in rows.items() if row is not None}

    def postings(self, connection: sqlite3.Connection, term: int) -> tuple[Ints, Ints]:
        """Numbers of the documents of a term, int64, ascending, and its frequency in each."""
        found = self._postings.get(term)
        if found is None:
            numbers, tfs = read_postings(connection, term)
            found = numbers.astype(np.int64), tfs
            size = len(numbers) + _ENTRY
            if size > self._room:
                self._postings, self._room = {}, _POSTINGS
            if size <= self._room:
                self._postings[term] = found
                self._room -= size
        return found

    def lengths(self, connection: sqlite3.Connection, numbers: int) -> Ints:
        """Lengths of the documents by number, `NONE` where there is none."""
        lengths = self._lengths
        if lengths is None:
            since, older = self._older or (-1, None)
            lengths = self._lengths = read_lengths(connection, numbers, since, older)
            self._older = None
        return lengths

    def known_lengths(self) -> tuple[int, Ints] | None:
        """The last lengths that were read, and of which version."""
        return self._older if self._lengths is None else (self.version, self._lengths)

    def norms(self, lengths: Ints, saturation: Saturation) -> Norms:
        """The lengths as frequencies are measured against them."""
        norms = self._norms
        if norms is None or norms[0] != saturation:
            rough = saturation.norm(lengths.astype(np.float32)).astype(np.float32)
            rough[lengths == NONE] = np.inf
            exact = saturation.norm(lengths.astype(np.float64))
            norms = self._norms = saturation, Norms(exact, rough, float(rough.min(initial=np.inf)))
        return norms[1]


@dataclass(frozen=True)
class Moment:
    """One moment of an index, as a transaction sees it.

    Attributes:
        connection: in that transaction.
        state: its counts.
        kept: of that version.
    """

    connection: sqlite3.Connection
    state: State
    kept: Kept

    @property
    def lengths(self) -> Ints:
        """Of the documents by number, `NONE` where there is none."""
        return self.kept.lengths(self.connection, self.state.numbers)

    def norms(self, saturation: Saturation) -> Norms:
        """What frequencies are measured against."""
        return self.kept.norms(self.lengths, saturation)

    def terms(self, terms: Iterable[str]) -> dict[str, TermRow]:
        """Id, document frequency and bound of those terms that some document has, in the order given."""
        return self.kept.terms(self.connection, terms)

    def postings(self, term: int) -> tuple[Ints, Ints]:
        """Numbers of the documents of a term, int64, ascending, and its frequency in each."""
        return self.kept.postings(self.connection, term)

    def is_small(self, terms: Iterable[TermRow]) -> bool:
        """Whether all postings of terms can be gone through."""
        return len(self.lengths) + sum(row[1] for row in terms) <= WHOLE

    def joined_postings(self, terms: Sequence[int]) -> tuple[Ints, Ints, Ints]:
        """Postings of t terms, given by ids, one term after the other.

        Returns:
            Numbers of the documents, int64, frequencies, and how many of each term there are, `[t]`.

        Raises:
            CorruptFileError: if a document is among them that there is not.
        """
        found = [self.postings(term) for term in terms]
        numbers = np.concatenate([np.zeros(0, np.int64), *(numbers for numbers, _ in found)])
        if len(numbers) and int(numbers.max()) >= len(self.lengths):
            raise damaged("postings")
        tfs = np.concatenate([np.zeros(0, "u1"), *(tfs for _, tfs in found)])
        return numbers, tfs, np.array([len(own) for own, _ in found], np.int64)
