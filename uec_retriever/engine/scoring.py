"""Scores of candidates: the moments of each expert's similarity, joined by the coefficients, and step 3."""

from __future__ import annotations

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


def comparable_scores(ensemble: Ensemble, raw: Array, words: LexicalQuery | None) -> Array:
    """`[m]` scores as confidence compares them between queries.

    A query without words is scored by the dense experts alone, which have the trust in words, too: its scores would be too
    good beside others. They count as those of a query whose words no text has.

    Args:
        ensemble: the experts.
        raw: `[m]` scores of one query's candidates.
        words: the query as words; None for one without, or an index without.
    """
    options = ensemble.manifest.lexical
    return raw if options is None or words is not None else (1 - options.share) * raw
