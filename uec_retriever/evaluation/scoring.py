"""Exact scores of queries against a corpus, in blocks of queries, and the rankings that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.encoded import Encoded, Stopwatch
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.similarity import moments, probit_score

_CELLS = 4_000_000  # of one score matrix: 16 MB


@dataclass(frozen=True, eq=False)
class Block:
    """Some of the queries against all documents; what is computed is kept for the next method.

    Attributes:
        encoded: the collection.
        rows: which queries.
        watch: counts what is computed here.
    """

    encoded: Encoded
    rows: slice
    watch: Stopwatch = field(default_factory=Stopwatch)
    _cosines: list[Array] = field(default_factory=list)
    _variances: dict[str, list[Array]] = field(default_factory=dict)

    @property
    def cosines(self) -> list[Array]:
        """Per expert, `[b, m]` cosines of the means."""
        if not self._cosines:
            pairs = zip(self.encoded.queries.means, self.encoded.documents.means, strict=True)
            with self.watch("cosines"):
                self._cosines.extend(q[self.rows] @ d.T for q, d in pairs)
        return self._cosines

    def variances(self, structure: str) -> list[Array]:
        """Per expert, `[b, m]` Var[s] of its own similarity, before any weighting."""
        if structure not in self._variances:
            sides = (self.encoded.queries, self.encoded.documents)
            pairs = zip(*(side.gaussians[structure] for side in sides), strict=True)
            with self.watch(f"similarity {structure}"):
                self._variances[structure] = [moments(q[self.rows], d)[1] for q, d in pairs]
        return self._variances[structure]


Scorer = Callable[[Block], Array]


@dataclass(frozen=True, eq=False)
class Ranked:
    """Rankings of n queries.

    Attributes:
        documents: `[n, depth]` positions, best first; -1 where a ranking is shorter.
        scores: `[n, depth]` their scores; -inf there.
    """

    documents: NDArray[np.int64]
    scores: NDArray[np.float64]

    def ids(self, collection: Collection) -> dict[str, list[str]]:
        """Query id -> passage ids, for `rank_metrics`."""
        return {
            query.id: [collection.ids[i] for i in row if i >= 0]
            for query, row in zip(collection.queries, self.documents, strict=True)
        }

    @property
    def confidence(self) -> NDArray[np.float64]:
        """`[n]` score of the best passage."""
        return self.scores[:, 0]


def single(expert: int) -> Scorer:
    """The cosine of one expert."""
    return lambda block: block.cosines[expert]


def merged(label: str) -> Scorer:
    """The cosine of a merged model."""

    def score(block: Block) -> Array:
        encoded = block.encoded
        return encoded.queries.merged[label][block.rows] @ encoded.documents.merged[label].T

    return score


def weighted_cosines(weights: Array) -> Scorer:
    """`sum_k w_k cos_k`, the same weights `[K]` for every query."""
    return lambda block: _combined(block.cosines, np.broadcast_to(weights, (1, len(weights))))


def block_scorer(weights: Array, structure: str | None) -> Scorer:
    """The uncertainty-aware similarity in the block layout, from parts that every weighting shares.

    With query blocks `pi_k mu_k, pi_k^2 Sigma_k` and unweighted documents, `E[s] = sum_k pi_k cos_k` and
    `Var[s] = sum_k pi_k^2 Var[s_k]`.

    Args:
        weights: `[n, K]` coefficients of the queries.
        structure: whose variances; None scores by `E[s]` alone.
    """

    def score(block: Block) -> Array:
        pi = weights[block.rows]
        mean = _combined(block.cosines, pi)
        if structure is None:
            return mean
        return probit_score(mean, _combined(block.variances(structure), pi**2))

    return score


def fused_scorer(queries: GaussianEmbedding, documents: GaussianEmbedding, *, similarity: bool) -> Scorer:
    """The similarity of Gaussians already fused, as the sum layout needs it."""

    def score(block: Block) -> Array:
        if not similarity:
            return queries.mean[block.rows] @ documents.mean.T
        return probit_score(*moments(queries[block.rows], documents))

    return score


def rank(
    encoded: Encoded,
    collection: Collection,
    scorers: Mapping[str, Scorer],
    scope: str,
    depth: int,
    watch: Stopwatch | None = None,
) -> dict[str, Ranked]:
    """Rank by every scorer.

    Args:
        encoded: of the collection.
        collection: its queries' excluded passages, and in the scope `group` those of other groups, are left out.
        scorers: label -> scores.
        scope: `corpus` or `group`.
        depth: passages of a ranking, at most.
        watch: counts the seconds of the stages `cosines`, `similarity ...`, `scores` and `ranking`.
    """
    watch = watch or Stopwatch()
    parts: dict[str, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {label: [] for label in scorers}
    for rows in blocks(len(collection.queries), len(collection.ids)):
        block = Block(encoded, rows, watch)
        barred = _barred(collection, rows, scope)
        for label, scorer in scorers.items():
            with watch("scores"):
                scores = scorer(block)
            with watch("ranking"):
                if barred is not None:
                    scores = np.where(barred, -np.inf, scores)
                parts[label].append(top(scores, depth))
    return {
        label: Ranked(np.concatenate([d for d, _ in found]), np.concatenate([s for _, s in found]))
        for label, found in parts.items()
    }


def blocks(queries: int, documents: int) -> Iterator[slice]:
    """Slices of the queries such that one score matrix keeps a moderate size."""
    size = max(1, _CELLS // max(documents, 1))
    for start in range(0, queries, size):
        yield slice(start, min(start + size, queries))


def top(scores: Array, depth: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions and scores of the best of each row, best first; of equal ones the first.

    Args:
        scores: `[n, m]`; -inf is never ranked.
        depth: at most.

    Returns:
        `[n, min(depth, m)]` each, filled up with -1 and -inf.
    """
    documents = scores.shape[1]
    if depth < documents:
        chosen = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
    else:
        chosen = np.broadcast_to(np.arange(documents), scores.shape)
    values = np.take_along_axis(scores, chosen, axis=1).astype(np.float64)
    order = np.lexsort((chosen, -values), axis=1)
    found = np.take_along_axis(chosen, order, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    return np.where(np.isneginf(values), -1, found).astype(np.int64), values


def _combined(parts: Sequence[Array], weights: Array) -> Array:
    """`sum_k w[:, k] parts_k`, in the precision of the parts."""
    total = parts[0] * weights[:, :1].astype(parts[0].dtype)
    for k, part in enumerate(parts[1:], start=1):
        total += part * weights[:, k : k + 1].astype(part.dtype)
    return total


def _barred(collection: Collection, rows: slice, scope: str) -> NDArray[np.bool_] | None:
    """`[b, m]` which passages a query may not find; None if all may."""
    queries = collection.queries[rows]
    if scope == "corpus" and not any(q.excluded for q in queries):
        return None
    barred = np.zeros((len(queries), len(collection.ids)), dtype=bool)
    for row, query in enumerate(queries):
        pool = collection.pool(query, scope)
        if pool is not None:
            barred[row] = True
            barred[row, pool] = False
        barred[row, [collection.positions[p] for p in query.excluded if p in collection.positions]] = True
    return barred
