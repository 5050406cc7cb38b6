"""Peers of UEC that need no uncertainty: reciprocal rank fusion, and weights chosen on labelled queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.encoded import Encoded
from uec_retriever.evaluation.metrics import Values
from uec_retriever.evaluation.scoring import Ranked, rank, single
from uec_retriever.evaluation.weights import best_weights
from uec_retriever.gaussian import Array

RRF_CONSTANT = 60
POOL = 100  # passages of each expert that a choice of weights looks at


def reciprocal_rank_fusion(
    rankings: Sequence[Ranked], depth: int, constant: int = RRF_CONSTANT, first_rank: int = 1
) -> Ranked:
    """Order by `sum_k 1 / (constant + rank_k)` over the rankings that hold a passage.

    Args:
        rankings: of the same queries, one per expert.
        depth: passages of the result, at most.
        constant: 60 in the paper, LangChain and LlamaIndex.
        first_rank: rank of the best passage: 1 in the paper and LangChain, 0 in LlamaIndex.

    Returns:
        The fused rankings; of equal scores the one found first in the order of the rankings leads.

    Source: Cormack, Clarke and Buettcher (2009).
    """
    queries = len(rankings[0].documents)
    documents = np.full((queries, depth), -1, dtype=np.int64)
    scores = np.full((queries, depth), -np.inf)
    for row in range(queries):
        found: dict[int, float] = {}
        for ranking in rankings:
            for place, document in enumerate(ranking.documents[row].tolist(), start=first_rank):
                if document >= 0:
                    found[document] = found.get(document, 0.0) + 1 / (constant + place)
        best = sorted(found.items(), key=lambda item: -item[1])[:depth]
        documents[row, : len(best)] = [d for d, _ in best]
        scores[row, : len(best)] = [s for _, s in best]
    return Ranked(documents, scores)


@dataclass(frozen=True, eq=False)
class Pool:
    """Labelled queries with the passages that any expert ranks among its first.

    Attributes:
        cosines: `[K, n, p]`; -inf where a query has fewer than p passages.
        grades: `[n, p]` relevance, >= 0.
        ideal: `[n]` DCG@10 of a perfect ranking, over all that was judged.
    """

    cosines: Array
    grades: NDArray[np.float64]
    ideal: NDArray[np.float64]

    def ndcg(self, weights: Array) -> Values:
        """`[n]` nDCG@10 (linear gains) of `sum_k w_k cos_k` over the pool.

        Args:
            weights: `[K]`, > 0 for at least one expert.
        """
        used = np.flatnonzero(weights)
        scores = np.tensordot(weights[used], self.cosines[used], axes=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        gains = np.take_along_axis(self.grades, order, axis=1)
        return np.asarray((gains / np.log2(np.arange(gains.shape[1]) + 2)).sum(axis=1) / self.ideal)


def make_pool(encoded: Encoded, collection: Collection, scope: str) -> Pool:
    """The passages that weights are chosen on: each expert's first 100 for each query, joined."""
    experts = len(encoded.queries.means)
    found = rank(encoded, collection, {str(k): single(k) for k in range(experts)}, scope, POOL)
    joined = [
        np.array(sorted({int(i) for r in found.values() for i in r.documents[row] if i >= 0}), dtype=np.int64)
        for row in range(len(collection.queries))
    ]
    width = max(len(pool) for pool in joined)
    cosines = np.full((experts, len(joined), width), -np.inf, dtype=np.float32)
    grades = np.zeros((len(joined), width))
    ideal = np.zeros(len(joined))
    for row, (query, pool) in enumerate(zip(collection.queries, joined, strict=True)):
        for k, (q, d) in enumerate(zip(encoded.queries.means, encoded.documents.means, strict=True)):
            cosines[k, row, : len(pool)] = d[pool] @ q[row]
        grades[row, : len(pool)] = [max(0, query.relevance.get(collection.ids[i], 0)) for i in pool]
        best = sorted((g for g in query.relevance.values() if g > 0), reverse=True)[:10]
        ideal[row] = sum(g / np.log2(place + 2) for place, g in enumerate(best))
    return Pool(cosines, grades, ideal)


def choose_weights(pools: Sequence[Pool]) -> Array:
    """The weights of a grid on the simplex with the highest nDCG@10, averaged over pools (see `best_weights`).

    Args:
        pools: labelled queries, one pool per set; never those that are reported on.

    Returns:
        `[K]` weights >= 0 summing to 1.
    """
    return best_weights(
        len(pools[0].cosines), lambda w: float(np.mean([pool.ndcg(w).mean() for pool in pools]))
    )
