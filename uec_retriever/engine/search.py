"""Searching an index: encode, fetch candidates, rescore them with their variances."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from uec_retriever.confidence.model import ConfidenceModel, abstention_signals
from uec_retriever.data.texts import check_texts
from uec_retriever.engine.ensemble import EncodedTexts, Ensemble
from uec_retriever.engine.results import Hit, Rescoring, SearchResult
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.similarity import probit_score, unit_score
from uec_retriever.store.chroma import Candidates, ChromaStore
from uec_retriever.store.codec import CodedVariances
from uec_retriever.store.connection import Where
from uec_retriever.store.manifest import Manifest

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
    check_limits(k, candidates)
    if not queries:
        return []
    start = time.perf_counter()
    encoded = ensemble.encode_queries(queries, manifest)
    seconds = (time.perf_counter() - start) / len(queries)
    return search_encoded(
        ensemble,
        store,
        queries,
        encoded,
        k,
        where=where,
        candidates=candidates,
        encode_seconds=seconds,
        confident=manifest.temperature == ensemble.manifest.temperature,
    )


def search_encoded(
    ensemble: Ensemble,
    store: ChromaStore,
    queries: Sequence[str],
    encoded: EncodedTexts,
    k: int,
    *,
    where: Where | None,
    candidates: int | None,
    encode_seconds: float = 0.0,
    confident: bool = True,
) -> list[SearchResult]:
    """As `search`, for queries that are Gaussians in the layout of the index already.

    Args:
        ensemble: the experts.
        store: the index.
        queries: their texts, for the results.
        encoded: the queries; without coefficients if they did not come from texts.
        k: hits for each.
        where: metadata filter.
        candidates: how many to fetch and rescore.
        encode_seconds: that encoding took, for each.
        confident: whether the index's confidence model, if any, applies to these queries.
    """
    limit = check_limits(k, candidates)
    dimension = encoded.gaussian.mean.shape[1]
    if dimension != ensemble.manifest.dimension:
        raise InvalidInputError(
            f"the query embedding has {dimension} dimensions, the index has {ensemble.manifest.dimension}: "
            "give one that this index made"
        )
    results = []
    for row, query in enumerate(queries):
        start = time.perf_counter()
        found = store.query(encoded.gaussian.mean[row : row + 1], limit, where)[0]
        fetched = time.perf_counter()
        raw, deviations = score_candidates(ensemble, encoded.gaussian[row : row + 1], found)
        hits = _best(found, raw, deviations, k)
        confidence = None
        if ensemble.confidence and confident:
            confidence = _confidence(ensemble.confidence, query, found, raw)
        seconds = {
            "encode": encode_seconds,
            "query": fetched - start,
            "rescore": time.perf_counter() - fetched,
        }
        shares, mean = _shares(ensemble, encoded, row), encoded.gaussian.mean[row]
        results.append(SearchResult(query, shares, hits, seconds, confidence, mean))
    return results


def rescore(ensemble: Ensemble, query: str, texts: Sequence[str], *, batch_size: int) -> Rescoring:
    """Score texts of any origin against a query, as if they were candidates of an index of these experts.

    Args:
        ensemble: the experts.
        query: non-empty.
        texts: n non-empty texts.
        batch_size: texts in one forward pass.
    """
    check_texts([query], "query")
    texts = check_texts(texts)
    encoded = ensemble.encode_queries([query])
    shares = _shares(ensemble, encoded, 0)
    if not texts:
        nothing = np.empty(0)
        return Rescoring(query, shares, nothing, nothing, nothing)
    documents = ensemble.encode_documents(texts, batch_size=batch_size).gaussian
    means = documents.mean.astype(np.float64) @ encoded.gaussian.mean[0].astype(np.float64)
    raw, deviations = score_coded(ensemble, encoded.gaussian, means, ensemble.codec.code(documents))
    return Rescoring(query, shares, unit_score(raw), raw, deviations)


def check_limits(k: int, candidates: int | None) -> int:
    """How many candidates to fetch for k hits.

    Raises:
        InvalidInputError: for k < 1, fewer candidates than that, or numbers that are not whole.
    """
    if not isinstance(k, int):
        raise InvalidInputError(f"k must be a whole number, got {k!r}")
    if k < 1:
        raise InvalidInputError(f"k must be at least 1, got {k}")
    limit = max(DEFAULT_CANDIDATES, 2 * k) if candidates is None else candidates
    if not isinstance(limit, int):
        raise InvalidInputError(f"candidates must be a whole number, got {limit!r}")
    if limit < k:
        raise InvalidInputError(f"candidates must be at least k = {k}, got {limit}")
    return limit


def _shares(ensemble: Ensemble, encoded: EncodedTexts, row: int) -> dict[str, float]:
    if encoded.coefficients is None:
        return {}
    return dict(zip(ensemble.labels, encoded.coefficients[row].tolist(), strict=True))


def score_coded(
    ensemble: Ensemble, query: GaussianEmbedding, means: Array, coded: CodedVariances
) -> tuple[Array, Array]:
    """Uncertainty-aware similarities of one query with m texts, and their deviations.

    Args:
        ensemble: whose codec made the codes.
        query: one Gaussian in the layout of the ensemble.
        means: `[m]` dot products.
        coded: of the m texts, as stored.

    Returns:
        Two `[m]` arrays.
    """
    coded = CodedVariances(coded.coefficients * ensemble.stored_variance_factors, coded.projections)
    variance = ensemble.codec.score_variance(query, coded)
    return probit_score(means, variance), np.sqrt(variance)


def score_candidates(ensemble: Ensemble, query: GaussianEmbedding, found: Candidates) -> tuple[Array, Array]:
    """`[m]` uncertainty-aware similarities of candidates with one query, and their `[m]` deviations."""
    if not found.ids:
        return np.empty(0), np.empty(0)
    return score_coded(ensemble, query, found.means, ensemble.codec.from_strings(found.variances))


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
                payload=record.payload,
            )
        )
    return hits
