"""Candidates of queries: the union of what the dense experts find in Chroma and what words find in the lexical index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import Where
from uec_retriever.store.entries import Candidates, Stored
from uec_retriever.store.filters import chroma_where

Found = dict[str, float]  # id -> mean similarity of words, best first


def find_candidates(
    store: ChromaStore,
    vectors: Array,
    limit: int,
    where: Where | None,
    lexical: Sequence[LexicalQuery | None],
) -> list[Candidates]:
    """Each query's nearest by the dense experts, and after them what words alone find.

    Args:
        store: the index.
        vectors: `[n, D]` of the dense experts together.
        limit: at most this many of either leg, >= 1.
        where: Chroma's metadata filter.
        lexical: the n queries as words.

    Raises:
        UnreadableWordsError: if the lexical index cannot be read.
    """
    dense = store.query(vectors, limit, where)
    if not any(query is not None for query in lexical):
        return dense
    found = _find_words(store, limit, where, lexical)
    known = [{r.id for r in candidates.records} for candidates in dense]
    wanted = {i: None for ids, there in zip(found, known, strict=True) for i in ids if i not in there}
    stored = store.stored(list(wanted))
    return [
        _join(candidates, ids, stored, vector)
        for candidates, ids, vector in zip(dense, found, vectors, strict=True)
    ]


def _find_words(
    store: ChromaStore, limit: int, where: Where | None, lexical: Sequence[LexicalQuery | None]
) -> list[Found]:
    """What words find for each query, at most `limit`.

    Under a filter among all that match it, which Chroma lists faster than it checks a few that words have found.
    """
    allowed = None if chroma_where(where) is None else store.ids(where)
    return [{} if query is None else query.find(limit, allowed) for query in lexical]


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
