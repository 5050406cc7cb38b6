"""How far a search is to be trusted: its confidence, and what is given where that is too low."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from uec_retriever.checks.numbers import check_number
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.signals import abstention_signals
from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.engine.results import Abstain, SearchResult
from uec_retriever.errors import InvalidInputError, LowConfidenceError, show
from uec_retriever.gaussian import Array
from uec_retriever.store.connection import Where
from uec_retriever.store.entries import Candidates
from uec_retriever.store.filters import chroma_where


def confidence_reason(
    model: ConfidenceModel | None, where: Where | None, candidates: int | None
) -> str | None:
    """Why a confidence model says nothing about a search; None if it does.

    Args:
        model: of the index.
        where: Chroma's metadata filter.
        candidates: how many the search was asked to rescore.
    """
    if model is None:
        return "not calibrated: 'uec calibrate-confidence' or Engine.calibrate_confidence does it"
    if chroma_where(where) is not None:
        return "calibrated for searches without a filter: leave the filter out"
    if candidates is not None and candidates < model.candidates:
        return f"calibrated for {model.candidates} candidates, not {candidates}: leave candidates out"
    return None


def search_confidence(
    model: ConfidenceModel, query: str, found: Candidates, raw: Array, words: LexicalQuery | None
) -> float:
    """P(a right answer is among the first k), from the candidates that a search at calibration would have had.

    Where nothing was found, there is none.

    Args:
        model: of the index.
        query: its text.
        found: m candidates.
        raw: `[m]` their raw scores, `comparable_scores`.
        words: the query as words; None for one without, or an index without.
    """
    if not found.records:
        return 0.0
    rows = found.first(model.candidates)
    texts = [found.records[i].text for i in rows]
    rarities = None if words is None else words.rarities
    return model.probability(abstention_signals(query, texts, raw[rows], rarities))


def hit_relevances(model: ConfidenceModel, found: Candidates, raw: Array) -> Array | None:
    """`[m]` P(it is a right text) of each candidate; None of a model that an earlier version fitted.

    Args:
        model: of the index.
        found: m candidates.
        raw: `[m]` their raw scores, `comparable_scores`.
    """
    rows = found.first(model.candidates)
    return model.relevance.probabilities(raw, rows) if model.relevance and rows else None


def check_abstention(
    min_confidence: object, abstain: object, min_relevance: object = None, reason: str | None = None
) -> None:
    """Refuse a confidence or relevance that cannot be asked for.

    Args:
        min_confidence: below which a search abstains; None for never.
        abstain: how.
        min_relevance: below which hits are left out; None for none.
        reason: why there is no confidence; None if there is one, as far as is known.

    Raises:
        InvalidInputError: for a number outside [0, 1], another way than there are, or if there is no confidence.
    """
    if abstain not in get_args(Abstain):
        raise InvalidInputError(f"abstain is one of {', '.join(get_args(Abstain))}, got {show(abstain)}")
    for name, value in (("min_confidence", min_confidence), ("min_relevance", min_relevance)):
        if value is None:
            continue
        check_number(name, value, "a number in [0, 1]", 0, 1)
        if reason is not None:
            raise InvalidInputError(f"{name} needs a confidence, and this search has none: {reason}")


def abstaining(result: SearchResult, min_confidence: float | None, abstain: Abstain) -> SearchResult:
    """What is given in place of a result whose confidence may be too low.

    Args:
        result: with a confidence, if one is asked for.
        min_confidence: below which to abstain; None for never.
        abstain: how.

    Raises:
        LowConfidenceError: if it is to be raised.
    """
    confidence = result.confidence
    if min_confidence is None or confidence is None or confidence >= min_confidence:
        return result
    flagged = replace(result, abstained=True)
    if abstain == "raise":
        raise LowConfidenceError(
            f"the confidence that a right answer to {show(result.query)} is among the hits is {confidence:.2f}, below the "
            f"{min_confidence:g} that was asked for: {result.verdict}",
            flagged,
        )
    if abstain == "flag":
        return flagged
    broken = flagged.promise and replace(flagged.promise, reason="the search abstained")
    return replace(flagged, hits=[], promise=broken)
