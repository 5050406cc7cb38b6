"""Searching an index: fetch candidates of encoded queries, and rescore them with their variances."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uec_retriever.checks.numbers import check_whole
from uec_retriever.engine.abstention import (
    abstaining,
    check_abstention,
    confidence_reason,
    hit_relevances,
    search_confidence,
)
from uec_retriever.engine.candidates import find_candidates
from uec_retriever.engine.coverage import broken_promise, check_coverage, needed_model, promise
from uec_retriever.engine.ensemble import EncodedTexts, Ensemble
from uec_retriever.engine.expert_scores import with_expert_scores
from uec_retriever.engine.grouping import PIECES, GroupBy, check_group_by, grouped
from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.engine.results import Abstain, Hit, MatchedWords, SearchResult
from uec_retriever.engine.scoring import comparable_scores, score_candidates
from uec_retriever.errors import InvalidInputError, show
from uec_retriever.gaussian import Array
from uec_retriever.similarity import unit_score
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import Where
from uec_retriever.store.entries import Candidates
from uec_retriever.store.filters import chroma_where
from uec_retriever.store.lexical_options import WORDS

DEFAULT_CANDIDATES = 30
_MANY = 1000
_logger = logging.getLogger(__name__)


def default_candidates(k: int) -> int:
    """How many candidates are fetched and rescored for k hits, unless the user says otherwise."""
    return max(DEFAULT_CANDIDATES, 2 * k)


@dataclass(frozen=True)
class SearchOptions:
    """How to search.

    Attributes:
        k: hits, at least 1.
        where: Chroma's metadata filter.
        candidates: how many to fetch and rescore, at least k; if None `max(30, 2 k)`, or as many as confidence was
            calibrated with if those are more.
        expert_scores: whether hits tell each expert's own score, which reads them once more.
        min_confidence: in [0, 1], below which a search abstains; None for never.
        abstain: how, see `SearchResult.abstained` and `LowConfidenceError`.
        min_relevance: in [0, 1], below which hits are left out; None for none.
        coverage: in (0, 1), how often a right text is to be among the hits, which are as many as that needs instead of k;
            None for k.
        max_k: at most this many hits then; None for as many as are needed.
        group_by: `document` for k documents, each by the best of its pieces; None for texts as they are.

    Raises:
        InvalidInputError: for k < 1, fewer candidates than that, other numbers out of range, or what is no filter.
    """

    k: int = 10
    where: Where | None = None
    candidates: int | None = None
    expert_scores: bool = False
    min_confidence: float | None = None
    abstain: Abstain = "flag"
    min_relevance: float | None = None
    coverage: float | None = None
    max_k: int | None = None
    group_by: GroupBy | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_whole("k", self.k, 1))
        if self.candidates is not None:
            object.__setattr__(self, "candidates", check_whole("candidates", self.candidates, 1))
        if self.coverage is None and self.limit < self.k:
            raise InvalidInputError(
                f"candidates must be at least k = {show(self.k)}, got {show(self.candidates)}"
            )
        check_abstention(self.min_confidence, self.abstain, self.min_relevance)
        check_coverage(self.coverage, self.max_k, min_relevance=self.min_relevance)
        check_group_by(self.group_by, self.coverage)
        chroma_where(self.where)

    @property
    def needs_confidence(self) -> bool:
        """Whether what is given depends on how probable it is that it is right."""
        return self.min_confidence is not None or self.min_relevance is not None

    @property
    def limit(self) -> int:
        """How many to fetch and rescore; for coverage at least."""
        if self.candidates is not None:
            return self.candidates
        if self.coverage is not None:
            return DEFAULT_CANDIDATES
        return default_candidates(self.k) * (1 if self.group_by is None else PIECES)


def why_no_confidence(ensemble: Ensemble, options: SearchOptions, other: str | None = None) -> str | None:
    """Why searches have no confidence, None if they have; refuses what they cannot do without, before anything is encoded.

    Args:
        ensemble: the experts.
        options: how to search.
        other: what is other than at calibration, beside the options.

    Raises:
        InvalidInputError: for a `min_confidence` or `min_relevance` where there is no confidence, or a `coverage` that is
            not calibrated.
    """
    model = ensemble.confidence
    reason = (model and other) or confidence_reason(model, options.where, options.candidates)
    check_abstention(options.min_confidence, options.abstain, options.min_relevance, reason)
    if options.min_relevance is not None and model is not None and model.relevance is None:
        raise InvalidInputError(
            "min_relevance needs a relevance, which an earlier version did not calibrate: calibrate confidence again"
        )
    needed_model(ensemble, options.coverage)
    return reason


def search_encoded(
    ensemble: Ensemble,
    store: ChromaStore,
    queries: Sequence[str],
    encoded: EncodedTexts,
    options: SearchOptions,
    encode_seconds: float,
    other: str | None,
    lexical: Sequence[LexicalQuery | None],
    wordless: str | None = None,
) -> list[SearchResult]:
    """The k best texts of each of n queries that are Gaussians in the layout of the index already.

    Args:
        ensemble: the experts.
        store: the index.
        queries: n texts, for the results.
        encoded: the n queries; without coefficients if they did not come from texts.
        options: how to search.
        encode_seconds: that encoding took, for each.
        other: what is other about these queries than at calibration; None if nothing is.
        lexical: the n queries as words.
        wordless: why they are not, in an index with words; then scores are others than at calibration, too.

    Raises:
        InvalidInputError: for a `min_confidence` or `min_relevance` where there is no confidence, or a `coverage` that is
            not calibrated.
        LowConfidenceError: for the first query of too little, if it is to be raised.
        UnreadableWordsError: if the lexical index cannot be read.
    """
    model, covering = ensemble.confidence, needed_model(ensemble, options.coverage)
    other = other or wordless
    reason = why_no_confidence(ensemble, options, other)
    limit = options.limit
    if model is not None and reason is None:  # it needs as many as it was calibrated with
        limit = max(limit, model.candidates)
    broken = None
    if covering is not None and options.coverage is not None:
        limit = max(limit, covering.candidates) if options.candidates is None else limit
        broken = broken_promise(
            covering,
            options.coverage,
            filtered=chroma_where(options.where) is not None,
            candidates=options.candidates,
            records=store.known_count(),
            other=other,
        )
    if limit > _MANY:  # Chroma takes no number beyond 32 bits
        limit = min(limit, max(1, store.count()))
    start = time.perf_counter()
    candidates = find_candidates(store, encoded.gaussian.mean, limit, options.where, lexical)
    query_seconds = (time.perf_counter() - start) / max(1, len(queries))
    if options.where and not any(map(len, candidates)) and (why := store.explain_nothing(options.where)):
        _logger.warning("the filter matches nothing: %s", why)
    results = []
    for row, (query, words, found) in enumerate(zip(queries, lexical, candidates, strict=True)):
        start = time.perf_counter()
        raw, deviations = score_candidates(ensemble, encoded.gaussian[row : row + 1], found, words)
        k, promised = options.k, None
        among: Sequence[int] = range(len(found))
        if covering is not None and options.coverage is not None:
            among = found.first(covering.candidates)
            promised = promise(covering, options.coverage, raw[among], options.max_k, broken)
            k = promised.needed if options.max_k is None else min(promised.needed, options.max_k)
        among = grouped(options.group_by, found.records, raw, among)
        scores = comparable_scores(ensemble, raw, words)
        relevances = None if reason is not None or model is None else hit_relevances(model, found, scores)
        hits = best_hits(found, raw, deviations, relevances, among, k)
        if options.min_relevance is not None:
            hits = [h for h in hits if h.relevance is not None and h.relevance >= options.min_relevance]
        if options.expert_scores:
            hits = with_expert_scores(ensemble, store, encoded.gaussian.mean[row], words, hits)
        confidence = None
        if reason is None and model is not None:
            confidence = search_confidence(model, query, found, scores, words)
        seconds = {
            "encode": encode_seconds,
            "query": query_seconds,
            "rescore": time.perf_counter() - start,
        }
        result = SearchResult(
            query=query,
            coefficients=shares_of(ensemble, encoded, row, words),
            hits=hits,
            seconds=seconds,
            confidence=confidence,
            confidence_reason=reason,
            truncated=cutters_of(ensemble, encoded, row),
            promise=promised,
            embedding=encoded.gaussian.mean[row],
            words=matched_words(words),
        )
        results.append(abstaining(result, options.min_confidence, options.abstain))
    return results


def shares_of(
    ensemble: Ensemble, encoded: EncodedTexts, row: int, words: LexicalQuery | None
) -> dict[str, float]:
    """Expert label -> share of trust, of one of the queries; empty if they did not come from texts."""
    if encoded.coefficients is None:
        return {}
    share = 0.0 if words is None else words.share
    dense = ((1 - share) * encoded.coefficients[row]).tolist()
    lexical = {} if ensemble.manifest.lexical is None else {WORDS: share}
    return {**dict(zip(ensemble.labels, dense, strict=True)), **lexical}


def matched_words(words: LexicalQuery | None) -> MatchedWords | None:
    """The words of a query, to be found in texts; None for one without any."""
    return None if words is None else MatchedWords(words.follower.analyzer, frozenset(words.terms))


def cutters_of(ensemble: Ensemble, encoded: EncodedTexts, row: int) -> tuple[str, ...]:
    """Labels of the experts that cut one of the queries."""
    return tuple(label for label, cut in zip(ensemble.labels, encoded.truncated[row], strict=True) if cut)


def best_hits(
    found: Candidates, raw: Array, deviations: Array, relevances: Array | None, among: Sequence[int], k: int
) -> list[Hit]:
    """The k candidates of the highest uncertainty-aware similarity among some of them, best first."""
    order = np.asarray(among, dtype=np.int64)[np.argsort(-raw[among], kind="stable")[:k]]
    scores = unit_score(raw)
    return [
        Hit(
            found.records[i],
            float(scores[i]),
            float(raw[i]),
            float(deviations[i]),
            relevance=None if relevances is None else float(relevances[i]),
        )
        for i in order.tolist()
    ]
