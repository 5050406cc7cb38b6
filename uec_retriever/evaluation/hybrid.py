"""Peers of UEC with words: what others do to fuse a lexical and a dense ranking, none of which needs uncertainty.

Reciprocal rank fusion reads ranks (`fusion`). Convex combinations read scores that a query's own range has made comparable:

| | maps a score s of a query to |
|---|---|
| min-max | `(s - min) / (max - min)` |
| TMM | `(s - t) / (max - t)`, with the theoretical minimum t: 0 of BM25, -1 of a cosine |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.choosing import LabelledSet, mean_ndcg
from uec_retriever.evaluation.collection_encoder import EncodedCollection
from uec_retriever.evaluation.exact import Mask, Ranking, Scorer
from uec_retriever.evaluation.fusion import reciprocal_rank_fusion
from uec_retriever.gaussian import Array

WORDS = "words"
ALL_DENSE = "all"
MIN_MAX, TMM = "min-max", "TMM"
CONVEX = (MIN_MAX, TMM)
WEIGHTS = tuple(i / 20 for i in range(21))
_LEAST_BM25, _LEAST_COSINE = 0.0, -1.0


@dataclass(frozen=True)
class Hybrid:
    """Words with dense experts.

    Attributes:
        way: `RRF`, or a convex combination of `CONVEX`.
        dense: label of an expert; `ALL_DENSE` for the mean of all cosines, in RRF for the rankings of all.
    """

    way: str
    dense: str

    def fuse_ranks(self, words: Ranking, dense: dict[str, Ranking]) -> Ranking:
        """Reciprocal rank fusion, where every ranking counts alike.

        Args:
            words: of the queries.
            dense: label of an expert -> its rankings of the same queries.
        """
        chosen = list(dense.values()) if self.dense == ALL_DENSE else [dense[self.dense]]
        return reciprocal_rank_fusion([words, *chosen])

    def scorer(
        self, encoded: EncodedCollection, labels: Sequence[str], barred: Mask, weight: float
    ) -> Scorer:
        """A convex combination.

        Args:
            encoded: with words.
            labels: of the experts, in their order.
            barred: what a query may not find; ranges are those of the other passages.
            weight: of words, in [0, 1].

        Raises:
            InvalidInputError: if it is none.
        """
        if self.way not in CONVEX:
            raise InvalidInputError(f"{self.way} reads ranks, it has no scores")
        lows = (_LEAST_BM25, _LEAST_COSINE) if self.way == TMM else (None, None)
        if self.dense == ALL_DENSE:
            cosine: Scorer = lambda rows: np.mean(encoded.cosines(rows), axis=0)  # noqa: E731
        else:
            cosine = encoded.cosine_of(list(labels).index(self.dense))

        def score(rows: slice) -> Array:
            hidden = barred(rows)
            parts = (encoded.lexical_moments(rows)[0], cosine(rows))
            words, dense = (normalise_range(s, hidden, low) for s, low in zip(parts, lows, strict=True))
            return weight * words + (1 - weight) * dense

        return score


def words_scorer(encoded: EncodedCollection) -> Scorer:
    """BM25 as a share of the reachable; a passage without any word of the query is not ranked."""

    def score(rows: slice) -> Array:
        mean = encoded.lexical_moments(rows)[0]
        return np.where(mean > 0, mean, -np.inf)

    return score


def normalise_range(scores: Array, hidden: NDArray[np.bool_] | None, low: float | None) -> Array:
    """Map each query's scores to [0, 1] by their range.

    Args:
        scores: `[b, m]`.
        hidden: `[b, m]` what does not count for the range; None for nothing.
        low: the least score there can be; the least there is if None.

    Returns:
        `[b, m]`, float64; 0 where all scores of a query are equal, and beyond the range where hidden.

    Source: Bruch, Gai and Ingber (2022), "An Analysis of Fusion Functions for Hybrid Retrieval", over all passages of a
        query and not only each side's first 1,000.
    """
    scores = np.asarray(scores, dtype=np.float64)
    least, most = (
        f(scores if hidden is None else np.where(hidden, fill, scores), axis=1)[:, None]
        for f, fill in ((np.min, np.inf), (np.max, -np.inf))
    )
    if low is not None:
        least = np.full_like(least, low)
    width = most - least
    return np.asarray(np.where(width > 0, (scores - least) / np.where(width > 0, width, 1), 0))


def choose_weights_of_words(
    hybrids: Mapping[str, Hybrid], labels: Sequence[str], sets: Iterable[LabelledSet]
) -> dict[str, float]:
    """Label of each convex combination -> the weight of words with the highest nDCG@10; of equals the nearest to 1/2.

    Args:
        hybrids: label -> method; those that read ranks have no weight.
        labels: of the experts.
        sets: labelled queries, encoded with words; never those that are reported.
    """
    convex = {label: hybrid for label, hybrid in hybrids.items() if hybrid.way in CONVEX}

    def scorers(one: LabelledSet) -> dict[tuple[str, float], Scorer]:
        pairs = ((label, hybrid, w) for label, hybrid in convex.items() for w in WEIGHTS)
        return {(label, w): h.scorer(one.encoded, labels, one.barred, w) for label, h, w in pairs}

    found = mean_ndcg(sets, scorers)
    return {label: max(WEIGHTS, key=lambda w: (found[label, w], -abs(w - 0.5))) for label in convex}
