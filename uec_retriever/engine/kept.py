"""Embeddings that were paid for: kept beside an index until they are stored in it, so that nothing is embedded twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from uec_retriever.data.records import Record
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.experts.embedding_cache import EmbeddingCache
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fingerprint import same_model
from uec_retriever.experts.identity import IdentityHead
from uec_retriever.gaussian import Array


def keep_embeddings(experts: Sequence[Expert], cache: EmbeddingCache) -> list[Expert]:
    """The same experts, which look into a cache first; those that have one of the user's keep that.

    Args:
        experts: of an index.
        cache: of its folder.
    """
    return [e if e.cache is not None else e.with_cache(cache) for e in experts]


def keeping(ensemble: Ensemble, cache: EmbeddingCache) -> Ensemble:
    """The same ensemble, whose experts look into a cache first (see `keep_embeddings`)."""
    return replace(ensemble, experts=keep_embeddings(ensemble.experts, cache))


def without(ensemble: Ensemble) -> Ensemble:
    """The same ensemble, whose experts no longer look into the cache of an index: its own, or that of an earlier one."""
    return replace(
        ensemble,
        experts=[e.with_cache(None) if e.cache and e.cache.until_stored else e for e in ensemble.experts],
    )


def forget(ensemble: Ensemble, records: Sequence[Record]) -> None:
    """Drop from the cache of an index what is stored by now; the user's own keep it."""
    texts = [r.embedding_text for r in records]
    for expert in ensemble.experts:
        if isinstance(expert.head, IdentityHead) and expert.cache and expert.cache.until_stored:
            expert.head.forget(texts, "document")


def hand_over(
    source: Ensemble, target: Ensemble, records: Sequence[Record], vectors: dict[str, Array]
) -> None:
    """Put what an index stores into the caches of another one's experts, where those are the same.

    Only of identity heads in blocks: there a stored mean is the embedding itself.

    Args:
        source: of the index that stores them.
        target: with caches.
        records: that are to be added.
        vectors: id -> stored mean, of those that are there.
    """
    if source.manifest.layout != "block":
        return
    there = [r for r in records if r.id in vectors]
    ends = np.cumsum([0, *(e.dimension for e in source.manifest.experts)]).tolist()
    for entry, (start, end) in zip(source.manifest.experts, pairwise(ends), strict=True):
        for expert in target.experts:
            head = expert.head
            if there and isinstance(head, IdentityHead) and same_model(entry.fingerprint, head.fingerprint):
                block = np.stack([vectors[r.id][start:end] for r in there])
                unit = block / np.linalg.norm(block, axis=1, keepdims=True)
                head.remember([r.embedding_text for r in there], "document", unit)
