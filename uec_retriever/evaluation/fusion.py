"""Peers of UEC that need no uncertainty: reciprocal rank fusion, and fixed weights that labelled queries like best.

Fusion is ours: the libraries that have it (ranx, and the frameworks' retrievers) weigh more than its few lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from uec_retriever.evaluation.bootstrap import Values
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.collection_encoder import EncodedCollection
from uec_retriever.evaluation.exact import DEPTH, Ranking, mask_passages, rank
from uec_retriever.gaussian import Array

_POINTS = 300  # of the grid of weights, at most


def reciprocal_rank_fusion(
    rankings: Sequence[Ranking], depth: int = DEPTH, constant: int = 60, first_rank: int = 1
) -> Ranking:
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
    documents = np.full((len(rankings[0].documents), depth), -1, dtype=np.int64)
    scores = np.full(documents.shape, -np.inf)
    for row, found in enumerate(zip(*(ranking.positions() for ranking in rankings), strict=True)):
        total: dict[int, float] = {}
        for positions in found:
            for place, document in enumerate(positions, start=first_rank):
                total[document] = total.get(document, 0.0) + 1 / (constant + place)
        best = sorted(total, key=lambda document: -total[document])[:depth]
        documents[row, : len(best)] = best
        scores[row, : len(best)] = [total[document] for document in best]
    return Ranking(documents, scores)


@dataclass(frozen=True, eq=False)
class Pool:
    """Labelled queries with the passages that any expert ranks among its first.

    Attributes:
        cosines: `[K, n, p]`; -inf where a query has fewer than p passages.
        grades: `[n, p]` relevance, >= 0.
        ideal: `[n]` DCG@10 of a perfect ranking, over all that was judged.
    """

    cosines: Array
    grades: Values
    ideal: Values

    def ndcg(self, weights: Array) -> Values:
        """`[n]` nDCG@10 (linear gains) of `sum_k w_k cos_k` over the pool.

        Args:
            weights: `[K]`, > 0 for at least one expert.
        """
        used = np.flatnonzero(weights)
        scores = np.tensordot(weights[used], self.cosines[used], axes=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        return np.asarray(_dcg(np.take_along_axis(self.grades, order, axis=1)) / self.ideal)


def pool_candidates(encoded: EncodedCollection, collection: Collection, scope: str) -> Pool:
    """The passages that weights are chosen on: each expert's first 100 for each query, joined."""
    experts = range(len(encoded.queries.means))
    scorers = {str(k): encoded.cosine_of(k) for k in experts}
    queries = collection.queries
    found = rank(scorers, len(queries), len(collection.ids), barred=mask_passages(collection, scope))
    rows = zip(*(ranking.positions() for ranking in found.values()), strict=True)
    joined = [np.array(sorted({i for positions in row for i in positions}), dtype=np.int64) for row in rows]
    shape = (len(joined), max(len(pool) for pool in joined))
    cosines = np.full((len(experts), *shape), -np.inf, dtype=np.float32)
    grades, ideal = np.zeros(shape), np.zeros((len(joined), 10))
    for row, (query, pool) in enumerate(zip(queries, joined, strict=True)):
        for k, (q, d) in enumerate(zip(encoded.queries.means, encoded.documents.means, strict=True)):
            cosines[k, row, : len(pool)] = d[pool] @ q[row]
        grades[row, : len(pool)] = [max(0, query.relevance.get(collection.ids[i], 0)) for i in pool]
        best = sorted((g for g in query.relevance.values() if g > 0), reverse=True)[:10]
        ideal[row, : len(best)] = best
    return Pool(cosines, grades, _dcg(ideal))


def choose_weights(pools: Sequence[Pool]) -> Array:
    """`[K]` weights with the highest nDCG@10, averaged over pools (see `best_weights`).

    Args:
        pools: labelled queries, one pool per set; never those that are reported on.
    """
    experts = len(pools[0].cosines)
    return best_weights(experts, lambda w: float(np.mean([pool.ndcg(w).mean() for pool in pools])))


def best_weights(experts: int, objective: Callable[[Array], float]) -> Array:
    """`[K]` weights on the simplex with the highest objective; of equals, those nearest to uniform.

    Args:
        experts: K.
        objective: weights -> what to maximise, on data that is not reported.
    """

    def key(weights: Array) -> tuple[float, float]:
        return round(objective(weights), 9), -float(((weights - 1 / experts) ** 2).sum())

    return max(simplex(experts), key=key)


def simplex(experts: int, points: int = _POINTS) -> Iterator[Array]:
    """Weights `[K]` on a regular grid, each in [0, 1], summing to 1, and the uniform ones.

    Tenths, or coarser if that is more than `points`.
    """
    steps = max((s for s in (2, 4, 5, 10) if comb(s + experts - 1, experts - 1) <= points), default=2)

    def parts(left: int, number: int) -> Iterator[list[int]]:
        if number == 1:
            yield [left]
            return
        for first in range(left + 1):
            yield from ([first, *rest] for rest in parts(left - first, number - 1))

    if steps % experts:
        yield np.full(experts, 1 / experts)
    yield from (np.array(counts) / steps for counts in parts(steps, experts))


def _dcg(gains: Values) -> Values:
    return np.asarray((gains / np.log2(np.arange(gains.shape[1]) + 2)).sum(axis=1))
