"""Searching an index: encode, fetch candidates, rescore them with their variances."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from uec_retriever.confidence import ConfidenceModel, abstention_signals
from uec_retriever.ensemble import Ensemble
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.results import Hit, SearchResult
from uec_retriever.similarity import probit_score, unit_score
from uec_retriever.store.chroma import Candidates, ChromaStore, Where
from uec_retriever.store.codec import CodedVariances
from uec_retriever.store.manifest import Manifest
from uec_retriever.texts import check_texts

DEFAULT_CANDIDATES = 30


def search(
    ensemble: Ensemble,
    store: ChromaStore,
    queries: Sequence[str],
    k: int,
    *,
    where: Where | None,
    candidates: int | None,
    manifest: Manifest,
) -> list[SearchResult]:
    """The k best texts of each query (arguments as `Engine.search_batch`).

    Args:
        ensemble: the experts.
        store: the index.
        queries: their texts.
        k: hits for each.
        where: metadata filter.
        candidates: how many to fetch and rescore.
        manifest: coefficients come from its temperature, zeros and priors.
    """
    queries = check_texts(queries, "query")
    if not isinstance(k, int):
        raise InvalidInputError(f"k must be a whole number, got {k!r}")
    if k < 1:
        raise InvalidInputError(f"k must be at least 1, got {k}")
    limit = max(DEFAULT_CANDIDATES, 2 * k) if candidates is None else candidates
    if not isinstance(limit, int):
        raise InvalidInputError(f"candidates must be a whole number, got {limit!r}")
    if limit < k:
        raise InvalidInputError(f"candidates must be at least k = {k}, got {limit}")
    if not queries:
        return []
    start = time.perf_counter()
    encoded = ensemble.encode_queries(queries, manifest)
    assert encoded.coefficients is not None
    encode_seconds = (time.perf_counter() - start) / len(queries)
    results = []
    for row, query in enumerate(queries):
        start = time.perf_counter()
        found = store.query(encoded.gaussian.mean[row : row + 1], limit, where)[0]
        fetched = time.perf_counter()
        raw, deviations = score_candidates(ensemble, encoded.gaussian[row : row + 1], found)
        hits = _best(found, raw, deviations, k)
        confidence = None
        if ensemble.confidence and manifest.temperature == ensemble.manifest.temperature:
            confidence = _confidence(ensemble.confidence, query, found, raw)
        seconds = {
            "encode": encode_seconds,
            "query": fetched - start,
            "rescore": time.perf_counter() - fetched,
        }
        shares = dict(zip(ensemble.labels, encoded.coefficients[row].tolist(), strict=True))
        results.append(SearchResult(query, shares, hits, seconds, confidence))
    return results


def score_candidates(ensemble: Ensemble, query: GaussianEmbedding, found: Candidates) -> tuple[Array, Array]:
    """`[m]` uncertainty-aware similarities of candidates with one query, and their `[m]` deviations."""
    if not found.ids:
        return np.empty(0), np.empty(0)
    coded = ensemble.codec.from_strings(found.variances)
    coded = CodedVariances(coded.coefficients * ensemble.stored_variance_factors, coded.projections)
    variance = ensemble.codec.score_variance(query, coded)
    return probit_score(found.means, variance), np.sqrt(variance)


def _confidence(model: ConfidenceModel, query: str, found: Candidates, raw: Array) -> float:
    """P(a right answer is among the first k); where nothing was found, there is none."""
    return model.probability(abstention_signals(query, found.texts, raw)) if found.ids else 0.0


def _best(found: Candidates, raw: Array, deviations: Array, k: int) -> list[Hit]:
    """The k candidates of the highest uncertainty-aware similarity, best first."""
    order = np.argsort(-raw, kind="stable")[:k]
    scores = unit_score(raw)
    hits = []
    for i in order:
        record = found.record(i)
        hits.append(
            Hit(
                id=record.id,
                text=record.text,
                metadata=record.metadata,
                score=float(scores[i]),
                raw_score=float(raw[i]),
                deviation=float(deviations[i]),
            )
        )
    return hits
