"""Peers of UEC that need no uncertainty: reciprocal rank fusion, and weights chosen on labelled queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.encoded import Encoded
from uec_retriever.evaluation.metrics import Values
from uec_retriever.evaluation.scoring import Ranked, rank, single
from uec_retriever.gaussian import Array

RRF_CONSTANT = 60
POOL = 100  # passages of each expert that a choice of weights looks at
_FINE, _COARSE, _MANY = 10, 4, 5


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


def choose_weights(pools: Sequence[Pool]) -> NDArray[np.float64]:
    """The weights of a grid on the simplex with the highest nDCG@10, averaged over pools.

    Args:
        pools: labelled queries, one pool per set; never those that are reported on.

    Returns:
        `[K]` weights >= 0 summing to 1, in tenths (quarters for five experts and more); of equally good ones
        those nearest to uniform.
    """
    experts = len(pools[0].cosines)
    tried = [
        (float(np.mean([pool.ndcg(weights).mean() for pool in pools])), -float((weights**2).sum()), weights)
        for weights in simplex(experts, _FINE if experts < _MANY else _COARSE)
    ]
    return max(tried, key=lambda item: (round(item[0], 9), item[1]))[2]


def simplex(experts: int, steps: int) -> Iterator[NDArray[np.float64]]:
    """All weights that are multiples of 1 / steps and sum to 1, and the uniform ones."""
    yield np.full(experts, 1 / experts)
    for bars in combinations(range(steps + experts - 1), experts - 1):
        edges = np.array([-1, *bars, steps + experts - 1])
        yield (np.diff(edges) - 1) / steps
