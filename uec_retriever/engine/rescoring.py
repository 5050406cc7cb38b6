"""Rescoring: texts of any origin, scored as if they were candidates of an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from uec_retriever.engine.ensemble import Ensemble, count_truncated, truncated_rows
from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.engine.results import Rescoring
from uec_retriever.engine.scoring import dense_moments, score_moments
from uec_retriever.engine.search import cutters_of, shares_of
from uec_retriever.experts.lexical import LexicalStatistics
from uec_retriever.similarity import unit_score


def rescore(
    ensemble: Ensemble,
    query: str,
    texts: Sequence[str],
    batch_size: int,
    lexical: Sequence[LexicalQuery | None],
) -> Rescoring:
    """Score texts of any origin against a query, as if they were candidates of an index of these experts.

    In an empty index nothing is known of words: how rare each one is in these texts serves instead.

    Args:
        ensemble: the experts.
        query: non-empty.
        texts: n non-empty texts.
        batch_size: texts in one forward pass.
        lexical: one, the query as words.

    Raises:
        UnreadableWordsError: if the lexical index cannot be read.
    """
    words = _informed(lexical[0], texts)
    encoded = ensemble.encode_queries([query])
    shares, cutters = shares_of(ensemble, encoded, 0, words), cutters_of(ensemble, encoded, 0)
    if not texts:
        nothing = np.empty(0)
        return Rescoring(query, shares, nothing, nothing, nothing, query_truncated=cutters)
    encoded_texts = ensemble.encode_documents(texts, batch_size=batch_size)
    documents = encoded_texts.gaussian
    means = documents.mean.astype(np.float64) @ encoded.gaussian.mean[0].astype(np.float64)
    dense = dense_moments(ensemble, encoded.gaussian, means, ensemble.codec.code(documents))
    raw, deviations = score_moments(
        ensemble, dense, words, None if words is None else words.moments_of_texts(texts)
    )
    return Rescoring(
        query,
        shares,
        unit_score(raw),
        raw,
        deviations,
        count_truncated(ensemble.labels, encoded_texts),
        tuple(truncated_rows(encoded_texts)),
        cutters,
    )


def _informed(words: LexicalQuery | None, texts: Sequence[str]) -> LexicalQuery | None:
    """A query as words under the statistics of the index; of the texts themselves, if the index is empty."""
    if words is None or words.statistics.texts or not texts:
        return words
    found = [words.follower.analyzer.terms(text) for text in texts]
    frequencies = Counter(term for terms in found for term in set(terms))
    statistics = LexicalStatistics(
        len(texts),
        sum(map(len, found)) / len(texts) or 1.0,
        np.array([frequencies[term] for term in words.terms], dtype=np.float64),
    )
    return replace(words, gaussian=words.expert.encode_query(statistics), statistics=statistics)
