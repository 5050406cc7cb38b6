"""Scores of candidates: the moments of each expert's similarity, joined by the coefficients, and step 3."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.similarity import join_moments, similarity
from uec_retriever.store.codec import CodedVariances
from uec_retriever.store.entries import Candidates

Moments = tuple[Array, Array]


def dense_moments(
    ensemble: Ensemble, query: GaussianEmbedding, means: Array, coded: CodedVariances
) -> Moments:
    """Moments of the dense experts' similarity of one query with m texts.

    Args:
        ensemble: whose codec made the codes.
        query: one Gaussian in the layout of the ensemble.
        means: `[m]` dot products.
        coded: of the m texts, as stored.

    Returns:
        `[m]` means and `[m]` variances; these are 0 where they have no unit, since the calibration pairs say nothing.
    """
    if not ensemble.manifest.informative:
        return means, np.zeros_like(means)
    coded = CodedVariances(coded.coefficients * ensemble.stored_variance_factors, coded.projections)
    return means, ensemble.codec.score_variance(query, ensemble.codec.bound(coded))


def score_moments(
    ensemble: Ensemble, dense: Moments, words: LexicalQuery | None, lexical: Moments | None
) -> Moments:
    """Uncertainty-aware similarities of one query with m texts, and their deviations.

    Args:
        ensemble: the experts.
        dense: `[m]` moments of the dense experts' similarity.
        words: the query as words; None for one without, or an index without.
        lexical: `[m]` moments of the similarity of words, if there are any.

    Returns:
        Two `[m]` arrays. Where the calibration pairs say nothing, these are the plain similarities and 0.
    """
    if words is None or lexical is None:
        return similarity(*dense)
    mean, variance = join_moments([dense, lexical], [1 - words.share, words.share])
    return similarity(mean, variance if ensemble.manifest.informative else np.zeros_like(variance))


class Scoring:
    """Scores of the candidates of n queries; those of the dense experts say what others need to be among the best.

    Args:
        ensemble: the experts.
        queries: n Gaussians in the layout of the ensemble.
        lexical: the n queries as words.
        best: candidates that matter.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        queries: GaussianEmbedding,
        lexical: Sequence[LexicalQuery | None],
        best: int,
    ) -> None:
        self._ensemble = ensemble
        self._queries = queries
        self._lexical = lexical
        self._best = best
        self._dense: dict[int, Moments] = {}

    def needed(self, row: int, dense: Candidates) -> float:
        """The mean that a candidate needs to be among the best, beside those of the dense experts.

        Any if theirs are negative: a variance lifts negative similarities, so that the mean does not bound them.
        """
        raw, _ = self._dense[row] = self._score(row, dense)
        place = len(raw) - self._best
        least = float(np.partition(raw, place)[place]) if place >= 0 else -np.inf
        return least if least >= 0 else -np.inf

    def of(self, row: int, found: Candidates) -> Moments:
        """`[m]` uncertainty-aware similarities of all candidates of a query, and their `[m]` deviations."""
        if row not in self._dense:
            return self._score(row, found)
        raw, deviations = self._dense[row]
        others = self._score(row, found[range(len(raw), len(found))])
        return np.concatenate([raw, others[0]]), np.concatenate([deviations, others[1]])

    def _score(self, row: int, found: Candidates) -> Moments:
        return score_candidates(self._ensemble, self._queries[row : row + 1], found, self._lexical[row])


def score_candidates(
    ensemble: Ensemble, query: GaussianEmbedding, found: Candidates, words: LexicalQuery | None
) -> Moments:
    """`[m]` uncertainty-aware similarities of candidates with one query, and their `[m]` deviations.

    Raises:
        UnreadableWordsError: if the lexical index cannot be read.
    """
    if not found.records:
        return np.empty(0), np.empty(0)
    dense = dense_moments(ensemble, query, found.means, ensemble.codec.from_strings(found.variances))
    return score_moments(ensemble, dense, words, None if words is None else words.moments(found.records))
