"""Exact search: every passage is scored, in blocks of queries that keep the matrices of scores small."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uec_retriever.evaluation.bootstrap import Values
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.stopwatch import Stopwatch
from uec_retriever.gaussian import Array

DEPTH = 100  # passages of a ranking, enough for Recall@100
_MATRIX = 4_000_000  # numbers: 16 MB
Scorer = Callable[[slice], Array]  # rows of the queries -> `[b, m]` scores of the passages
Mask = Callable[
    [slice], NDArray[np.bool_] | None
]  # rows -> `[b, m]` what they may not find; None for nothing


@dataclass(frozen=True, eq=False)
class Ranking:
    """Rankings of n queries.

    Attributes:
        documents: `[n, depth]` positions of passages, best first; -1 where a ranking is shorter.
        scores: `[n, depth]` their scores; -inf there.
    """

    documents: NDArray[np.int64]
    scores: Values

    def positions(self) -> list[list[int]]:
        """The passages of each query."""
        return [row[row >= 0].tolist() for row in self.documents]

    def ids(self, collection: Collection) -> dict[str, list[str]]:
        """Query id -> passage ids, for `rank_metrics`."""
        return {
            query.id: [collection.ids[i] for i in found]
            for query, found in zip(collection.queries, self.positions(), strict=True)
        }


def rank(
    scorers: Mapping[str, Scorer],
    queries: int,
    documents: int,
    depth: int = DEPTH,
    *,
    barred: Mask = lambda rows: None,
    block: int | None = None,
    watch: Stopwatch | None = None,
) -> dict[str, Ranking]:
    """Rank by every scorer.

    Args:
        scorers: label -> scores.
        queries: n.
        documents: m.
        depth: passages of a ranking, at most.
        barred: what a query may not find.
        block: queries at a time; as many as a moderate matrix holds if absent.
        watch: counts the seconds of the stages `scores` and `ranking`.
    """
    watch = watch or Stopwatch()
    parts: dict[str, list[tuple[NDArray[np.int64], Values]]] = {label: [] for label in scorers}
    for rows in _blocks(queries, block or max(1, _MATRIX // max(documents, 1))):
        hidden = barred(rows)
        for label, scorer in scorers.items():
            with watch("scores"):
                scores = scorer(rows)
            with watch("ranking"):
                parts[label].append(
                    top(scores if hidden is None else np.where(hidden, -np.inf, scores), depth)
                )
    nothing = [(np.empty((0, min(depth, documents)), np.int64), np.empty((0, min(depth, documents))))]
    return {
        label: Ranking(*(np.concatenate(sides) for sides in zip(*(found or nothing), strict=True)))
        for label, found in parts.items()
    }


def top(scores: Array, depth: int) -> tuple[NDArray[np.int64], Values]:
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


def mask_passages(collection: Collection, scope: str) -> Mask:
    """Passages excluded for a query and, in the scope `group`, those of other groups.

    Raises:
        CorpusError: when it is asked for a query without a group, in that scope.
    """

    def mask(rows: slice) -> NDArray[np.bool_] | None:
        queries = collection.queries[rows]
        if scope == "corpus" and not any(q.excluded for q in queries):
            return None
        hidden = np.zeros((len(queries), len(collection.ids)), dtype=bool)
        for row, query in enumerate(queries):
            pool = collection.pool(query, scope)
            if pool is not None:
                hidden[row] = True
                hidden[row, pool] = False
            hidden[row, [collection.positions[p] for p in query.excluded if p in collection.positions]] = True
        return hidden

    return mask


def _blocks(queries: int, size: int) -> Iterator[slice]:
    for start in range(0, queries, size):
        yield slice(start, min(start + size, queries))
