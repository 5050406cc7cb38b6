"""Candidates of queries: the union of what the dense experts find in Chroma and what words find in the lexical index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import Where
from uec_retriever.store.entries import Candidates, Stored
from uec_retriever.store.filters import chroma_where

_FURTHER = (1, 10)  # times as many as wanted are tried under a filter, before all that match it are listed
Needed = Callable[[int, Candidates], float]
Found = dict[str, float]  # id -> mean similarity of words, best first


def find_candidates(
    store: ChromaStore,
    vectors: Array,
    limit: int,
    where: Where | None,
    lexical: Sequence[LexicalQuery | None],
    needed: Needed | None = None,
) -> list[Candidates]:
    """Each query's nearest by the dense experts, and after them what words alone find.

    Args:
        store: the index.
        vectors: `[n, D]` of the dense experts together.
        limit: at most this many of either leg, >= 1.
        where: Chroma's metadata filter.
        lexical: the n queries as words.
        needed: row and what the dense experts found -> mean that others need to matter. What words alone find is left
            out if it cannot reach that, since to the dense experts it is no nearer than the last that they found. All
            of it is wanted if None.

    Raises:
        UnreadableWordsError: if the lexical index cannot be read.
    """
    dense = store.query(vectors, limit, where)
    if not any(query is not None for query in lexical):
        return dense
    found = _find_words(store, limit, where, lexical)
    wanted: dict[str, None] = {}
    for row, (each, candidates, query) in enumerate(zip(found, dense, lexical, strict=True)):
        least = -np.inf if needed is None else needed(row, candidates)
        wanted |= dict.fromkeys(_missing(each, candidates, query, least))
    stored = store.stored(list(wanted))
    return [
        _join(candidates, ids, stored, vector)
        for candidates, ids, vector in zip(dense, found, vectors, strict=True)
    ]


def _find_words(
    store: ChromaStore, limit: int, where: Where | None, lexical: Sequence[LexicalQuery | None]
) -> list[Found]:
    """What words find for each query, at most `limit`."""
    if chroma_where(where) is None:
        return [_find(query, limit) for query in lexical]
    found: list[Found] = [{} for _ in lexical]
    open_rows = [row for row, query in enumerate(lexical) if query is not None]
    for times in _FURTHER:
        asked = times * limit
        best = {row: _find(lexical[row], asked) for row in open_rows}
        matching = set(store.present([i for ids in best.values() for i in ids], where))
        for row, ids in best.items():
            found[row] = dict([hit for hit in ids.items() if hit[0] in matching][:limit])
        open_rows = [row for row in open_rows if len(found[row]) < limit and len(best[row]) == asked]
        if not open_rows:
            return found
    allowed = store.ids(where)
    for row in open_rows:
        found[row] = _find(lexical[row], limit, allowed)
    return found


def _find(query: LexicalQuery | None, limit: int, allowed: Sequence[str] | None = None) -> Found:
    return {} if query is None else query.find(limit, allowed)


def _missing(found: Found, dense: Candidates, query: LexicalQuery | None, needed: float) -> Iterator[str]:
    """What words alone found, as far as it may have the score that is needed."""
    if query is None:
        return
    known = {r.id for r in dense.records}
    least = needed - (1 - query.share) * float(dense.means.min(initial=1.0))
    yield from (i for i, score in found.items() if i not in known and query.share * score > least)


def _join(dense: Candidates, found: Iterable[str], stored: Mapping[str, Stored], vector: Array) -> Candidates:
    """What the dense experts found, and after it what words alone did, which is scored by its stored means."""
    places = {identifier: place for place, identifier in enumerate(found)}
    ranks = [min(rank, places.pop(r.id, rank)) for r, rank in zip(dense.records, dense.ranks, strict=True)]
    others = {place: stored[identifier] for identifier, place in places.items() if identifier in stored}
    means = [float(each.mean.astype(np.float64) @ vector.astype(np.float64)) for each in others.values()]
    return Candidates(
        [*dense.records, *(each.record for each in others.values())],
        np.concatenate([dense.means, means]),
        [*dense.variances, *(each.variance for each in others.values())],
        np.array([*ranks, *others], dtype=np.int64),
    )
