"""The best documents by BM25, exactly, without scoring every document: MaxScore, a term at a time.

Terms come in the order of the most that each can add. Once those that remain cannot lift a document that has been
seen nowhere among the best, only candidates are looked up; once they are few, their scores are made from
their own terms. The scores that are returned are sums in double precision in the order of the terms, so that they do
not depend on how the index came to be.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uec_retriever.store.lexical.documents import (
    State,
    find_ids,
    find_numbers,
    find_terms,
    read_contents,
)
from uec_retriever.store.lexical.postings import Ints, read_postings

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
_LOOK = 1200  # postings that take as long to read and add up as the terms of one document
_SEEK = 16  # postings that take as long to put into a table as one to be found among them
_SLACK = 1e-4  # what rounding in single precision may move a score by, in parts
_DIRECT = 2000  # allowed documents that are scored one and all
_COMMON = 8  # one in so many is allowed: searching further down is tried first
_ROUNDS = 2  # of searches further down before the allowed documents are looked up
_PART = 4096  # documents whose terms are held at once


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
class _Term:
    id: int
    weight: float
    bound: float
    df: int


@dataclass(frozen=True)
class Snapshot:
    """One moment of an index, as a transaction sees it.

    Attributes:
        connection: in that transaction.
        state: its counts.
        lengths: of the documents by number, `NONE` where there is none.
        norms: the same through `saturation`, infinite where there is none, float32.
        shortest: the least of the norms.
        saturation: of the search.
    """

    connection: sqlite3.Connection
    state: State
    lengths: Ints
    norms: Floats
    shortest: float
    saturation: Saturation


def search(
    at: Snapshot, weights: Mapping[str, float], limit: int, allowed: Collection[str] | None
) -> list[tuple[str, float]]:
    """Best documents, best first; those of equal scores by id.

    Args:
        at: the moment.
        weights: term -> weight, > 0.
        limit: at most this many, >= 1.
        allowed: ids of the documents that may be found, of which some need not be there; None for all.

    Returns:
        Id and score of documents that have at least one of the terms.
    """
    terms = _terms(at, weights)
    if not terms or (allowed is not None and not allowed):
        return []
    if allowed is None:
        return _name(at, *_best(at, terms, limit, None), limit)
    if len(allowed) > _DIRECT:
        members = allowed if isinstance(allowed, set | frozenset | dict) else set(allowed)
        further = limit * -(-at.state.documents // len(members))
        for _ in range(_ROUNDS if at.state.documents <= _COMMON * len(members) else 0):
            further = 2 * further + 10
            found = _name(at, *_best(at, terms, further, None), further)
            kept = [hit for hit in found if hit[0] in members][:limit]
            if len(kept) == limit or len(found) < further:
                return kept
        allowed = members
    numbers = np.sort(np.array(list(find_numbers(at.connection, allowed).values()), np.int64))
    if len(numbers) > _DIRECT:
        return _name(at, *_best(at, terms, limit, numbers), limit)
    scores = _score(at, terms, numbers)
    return _name(at, numbers[scores > 0], scores[scores > 0], limit)


def _terms(at: Snapshot, weights: Mapping[str, float]) -> list[_Term]:
    """The terms that some document has, in their alphabetical order."""
    found = find_terms(at.connection, sorted(t for t, weight in weights.items() if weight > 0))
    return [
        _Term(row[0], weights[t], weights[t] * float(at.saturation.scale(float(row[2]), at.shortest)), row[1])
        for t, row in found.items()
    ]


def _best(at: Snapshot, terms: Sequence[_Term], limit: int, allowed: Ints | None) -> tuple[Ints, Floats]:
    """Documents that hold the best `limit` and all that tie with the last, and their scores."""
    remaining = sorted(terms, key=lambda t: -t.bound)
    rest, postings = sum(t.bound for t in remaining), sum(t.df for t in remaining)
    scores = np.zeros(len(at.lengths), np.float32)
    mask = None
    if allowed is not None:
        mask = np.zeros(len(scores), bool)
        mask[allowed] = True
    least = 0.0  # what the last of the best has at least
    candidates: Ints | None = None  # once no others can be among the best
    found = np.zeros(0, np.float32)
    for term in remaining:
        if candidates is not None and _LOOK * (len(candidates) - limit) <= postings:
            break
        numbers, tfs = read_postings(at.connection, term.id)
        if candidates is None:
            places = numbers.astype(np.int64)
            if mask is not None:
                kept = mask[places]
                places, tfs = places[kept], tfs[kept]
            found = scores[places]
            found += _parts(at, term, tfs, places)
            scores[places] = found
        else:
            found += _parts(at, term, _look_up(numbers, tfs, candidates, len(scores)), candidates)
        rest -= term.bound
        postings -= term.df
        least = max(least, _last_of_best(found, limit))
        floor = least * (1 - _SLACK) - rest
        if candidates is not None:
            kept = found >= floor
            candidates, found = candidates[kept], found[kept]
        elif floor > 0:
            candidates = np.flatnonzero(scores >= floor).astype("<u4")
            found = scores[candidates]
    if candidates is None:
        candidates = np.flatnonzero(scores > 0)
        found = scores[candidates]
        candidates = candidates[found >= _last_of_best(found, limit) * (1 - _SLACK)]
    return candidates, _score(at, terms, candidates)


def _parts(at: Snapshot, term: _Term, tfs: Ints, numbers: Ints) -> Floats:
    """What a term adds to the scores of documents, float32."""
    added: Floats = np.float32(term.weight) * at.saturation.scale(tfs.astype(np.float32), at.norms[numbers])
    return added


def _look_up(numbers: Ints, tfs: Ints, wanted: Ints, size: int) -> Ints:
    """Frequencies in wanted documents, of `size` that there are, from a term's postings; 0 where it has none."""
    if len(wanted) * _SEEK > len(numbers):
        table = np.zeros(size, tfs.dtype)
        table[numbers] = tfs
        found: Ints = table[wanted]
        return found
    where = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    return np.where(numbers[where] == wanted, tfs[where], 0)


def _last_of_best(scores: Floats, limit: int) -> float:
    """The least of the best `limit` scores; 0 if there are fewer."""
    place = len(scores) - limit
    return float(np.partition(scores, place)[place]) if place >= 0 else 0.0


def _score(at: Snapshot, terms: Sequence[_Term], numbers: Ints) -> Floats:
    """Exact scores of documents."""
    scores = np.zeros(len(numbers))
    ids = np.array([t.id for t in terms], np.int64)
    for start in range(0, len(numbers), _PART):
        part = numbers[start : start + _PART]
        counts = read_contents(at.connection, part.tolist()).count(ids)
        norms = at.saturation.norm(at.lengths[part].astype(np.float64))
        for column, term in enumerate(terms):
            tf = counts[:, column].astype(np.float64)
            scores[start : start + _PART] += term.weight * at.saturation.scale(tf, norms)
    return scores


def _name(at: Snapshot, numbers: Ints, scores: Floats, limit: int) -> list[tuple[str, float]]:
    """The best `limit` by score, those of equal scores by id."""
    if len(numbers) > limit:
        kept = scores >= np.partition(scores, len(scores) - limit)[len(scores) - limit]
        numbers, scores = numbers[kept], scores[kept]
    ids = find_ids(at.connection, numbers.tolist())
    return sorted(zip(ids, scores.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))[:limit]
