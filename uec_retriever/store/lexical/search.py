"""The best documents by BM25, exactly.

Where there are few postings, all of them are added up. Where there are many, not every document is scored: MaxScore,
a term at a time. Terms come in the order of the most that each can add. Once those that remain cannot lift a document
that has been seen nowhere among the best, only candidates are looked up; once they are few, their scores are made from
their own terms. Either way the scores that are returned are sums in double precision in the order of the terms, so that
they do not depend on how the index came to be.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uec_retriever.store.lexical.documents import find_ids, find_numbers, read_contents
from uec_retriever.store.lexical.moment import Floats, Moment, Norms, Saturation
from uec_retriever.store.lexical.postings import Ints

_LOOK = 1200  # postings that take as long to read and add up as the terms of one document
_SEEK = 16  # postings that take as long to put into a table as one to be found among them
_SLACK = 1e-4  # what rounding in single precision may move a score by, in parts
_DIRECT = 2000  # allowed documents that are scored one and all
_COMMON = 8  # one in so many is allowed: searching further down is tried first
_ROUNDS = 2  # of searches further down before the allowed documents are looked up
_PART = 4096  # documents whose terms are held at once
_Best = Callable[[int, Ints | None], tuple[Ints, Floats]]  # see `_best`


@dataclass(frozen=True)
class _Term:
    id: int
    weight: float
    bound: float
    df: int


@dataclass(frozen=True)
class _Search:
    """A search at one moment.

    Attributes:
        at: the moment.
        saturation: of frequencies.
        norms: what they are measured against.
        terms: that some document has, in alphabetical order.
    """

    at: Moment
    saturation: Saturation
    norms: Norms
    terms: Sequence[_Term]


def search(
    at: Moment,
    weights: Mapping[str, float],
    limit: int,
    saturation: Saturation,
    allowed: Collection[str] | None,
) -> list[tuple[str, float]]:
    """Best documents, best first; those of equal scores by id.

    Args:
        at: the moment.
        weights: term -> weight, > 0.
        limit: at most this many, >= 1.
        saturation: k1 and b.
        allowed: ids of the documents that may be found, of which some need not be there; None for all.

    Returns:
        Id and score of documents that have at least one of the terms.
    """
    rows = at.terms(sorted(t for t, weight in weights.items() if weight > 0))
    if not rows or (allowed is not None and not allowed):
        return []
    norms = at.norms(saturation)
    terms = [
        _Term(row[0], weights[t], weights[t] * float(saturation.scale(float(row[2]), norms.shortest)), row[1])
        for t, row in rows.items()
    ]
    searched = _Search(at, saturation, norms, terms)
    best = _rank_all(searched) if at.is_small(rows.values()) else functools.partial(_best, searched)
    if allowed is None:
        return _name(at, *best(limit, None), limit)
    if len(allowed) > _DIRECT:
        members = allowed if isinstance(allowed, set | frozenset | dict) else set(allowed)
        further = limit * -(-at.state.documents // len(members))
        for _ in range(_ROUNDS if at.state.documents <= _COMMON * len(members) else 0):
            further = 2 * further + 10
            found = _name(at, *best(further, None), further)
            kept = [hit for hit in found if hit[0] in members][:limit]
            if len(kept) == limit or len(found) < further:
                return kept
        allowed = members
    numbers = np.sort(np.array(list(find_numbers(at.connection, allowed).values()), np.int64))
    return _name(at, *best(limit, numbers), limit)


def _rank_all(searched: _Search) -> _Best:
    """Scores all documents at once; gives those of documents that have any of the terms."""
    at, norms = searched.at, searched.norms
    numbers, tfs, sizes = at.joined_postings([t.id for t in searched.terms])
    weights = np.repeat(np.array([t.weight for t in searched.terms]), sizes)
    parts = weights * searched.saturation.scale(tfs.astype(np.float64), norms.exact[numbers])
    # adds up in the order of the terms
    scores: Any = np.bincount(numbers, parts, minlength=len(at.lengths))

    def best(limit: int, allowed: Ints | None) -> tuple[Ints, Floats]:
        places: Ints = np.flatnonzero(scores > 0) if allowed is None else allowed[scores[allowed] > 0]
        return places, scores[places]

    return best


def _best(searched: _Search, limit: int, allowed: Ints | None) -> tuple[Ints, Floats]:
    """Documents that hold the best `limit` and all that tie with the last, and their scores."""
    if allowed is not None and len(allowed) <= _DIRECT:
        direct = _score(searched, allowed)
        return allowed[direct > 0], direct[direct > 0]
    remaining = sorted(searched.terms, key=lambda t: -t.bound)
    rest, postings = sum(t.bound for t in remaining), sum(t.df for t in remaining)
    scores = np.zeros(len(searched.at.lengths), np.float32)
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
        numbers, tfs = searched.at.postings(term.id)
        if candidates is None:
            if mask is not None:
                kept = mask[numbers]
                numbers, tfs = numbers[kept], tfs[kept]
            found = scores[numbers]
            found += _parts(searched, term, tfs, numbers)
            scores[numbers] = found
        else:
            found += _parts(searched, term, _look_up(numbers, tfs, candidates, len(scores)), candidates)
        rest -= term.bound
        postings -= term.df
        least = max(least, _last_of_best(found, limit))
        floor = least * (1 - _SLACK) - rest
        if candidates is not None:
            kept = found >= floor
            candidates, found = candidates[kept], found[kept]
        elif floor > 0:
            candidates = np.flatnonzero(scores >= floor)
            found = scores[candidates]
    if candidates is None:
        candidates = np.flatnonzero(scores > 0)
        found = scores[candidates]
        candidates = candidates[found >= _last_of_best(found, limit) * (1 - _SLACK)]
    return candidates, _score(searched, candidates)


def _parts(searched: _Search, term: _Term, tfs: Ints, numbers: Ints) -> Floats:
    """What a term adds to the scores of documents, float32."""
    scaled = searched.saturation.scale(tfs.astype(np.float32), searched.norms.rough[numbers])
    added: Floats = np.float32(term.weight) * scaled
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


def _score(searched: _Search, numbers: Ints) -> Floats:
    """Exact scores of documents."""
    scores = np.zeros(len(numbers))
    ids = np.array([t.id for t in searched.terms], np.int64)
    for start in range(0, len(numbers), _PART):
        part = numbers[start : start + _PART]
        counts = read_contents(searched.at.connection, part.tolist()).count(ids)
        norms = searched.norms.exact[part]
        for column, term in enumerate(searched.terms):
            tf = counts[:, column].astype(np.float64)
            scores[start : start + _PART] += term.weight * searched.saturation.scale(tf, norms)
    return scores


def _name(at: Moment, numbers: Ints, scores: Floats, limit: int) -> list[tuple[str, float]]:
    """The best `limit` by score, those of equal scores by id."""
    if len(numbers) > limit:
        kept = scores >= np.partition(scores, len(scores) - limit)[len(scores) - limit]
        numbers, scores = numbers[kept], scores[kept]
    ids = find_ids(at.connection, numbers.tolist())
    return sorted(zip(ids, scores.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))[:limit]
