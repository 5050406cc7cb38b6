"""Coverage of an index: as many hits as a right one needs to be among them as often as asked, and what that rests on."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from uec_retriever.checks.numbers import check_number, check_whole
from uec_retriever.confidence.conformal import (
    NONCONFORMITY,
    CoverageModel,
    CoveragePromise,
    nonconformities,
    query_nonconformity,
)
from uec_retriever.confidence.queries import check_labelled
from uec_retriever.confidence.sketch import query_sketch
from uec_retriever.data.progress import Progress
from uec_retriever.engine.answers import records_of, right_records
from uec_retriever.engine.candidates import find_candidates
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.scoring import score_candidates
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore

if TYPE_CHECKING:
    from uec_retriever.engine.words import Words

CANDIDATES = 100
"""How many a search for coverage fetches and rescores, unless it was calibrated with others."""
_BATCH = 64
_NONE = (
    "coverage needs labelled queries: Engine.calibrate_coverage, or 'uec calibrate-confidence' with labels"
)


@dataclass(frozen=True)
class CoverageReport:
    """What a calibration of coverage rests on.

    Attributes:
        queries: labelled ones that the thresholds are read from.
        unanswered: labelled ones left out, since none of their right texts is in the index: the promise is for queries whose
            answer is there.
        nonconformity: what hits are counted by, see `confidence.conformal.NONCONFORMITIES`.
        candidates: how many are fetched and rescored.
        recall: share of the queries with a right text among these.
        highest: highest coverage that can be promised, in [0, 1].
    """

    queries: int
    unanswered: int
    nonconformity: str
    candidates: int
    recall: float
    highest: float


def check_coverage(coverage: object, max_k: object, **leaving_out: object) -> None:
    """Refuse a coverage that cannot be asked for.

    Args:
        coverage: None for none.
        max_k: at most so many hits.
        **leaving_out: what would leave out hits that it needs, by name; None or 0 where it is not asked for.

    Raises:
        InvalidInputError: unless coverage is None or in (0, 1), and max_k None or, with a coverage, at least 1; for a
            coverage beside something that leaves out hits.
    """
    if coverage is not None:
        if check_number("coverage", coverage, "a number between 0 and 1, as .9", 0, 1) in (0, 1):
            raise InvalidInputError(f"coverage is a number between 0 and 1, as .9, got {coverage}")
        for name, value in leaving_out.items():
            if value:
                raise InvalidInputError(
                    f"{name} would leave out hits that coverage needs: give one of them, or bound the hits by max_k"
                )
    if max_k is not None:
        check_whole("max_k", max_k, 1)
        if coverage is None:
            raise InvalidInputError(
                "max_k bounds the hits that coverage asks for: give coverage too, or k instead"
            )


def rounded_down(coverage: float) -> str:
    """A highest coverage as people read it: what it says can be asked for."""
    return f"{math.floor(coverage * 1000) / 1000:g}"


def needed_model(ensemble: Ensemble, coverage: float | None) -> CoverageModel | None:
    """The coverage model for a search; None if it asks for no coverage.

    Raises:
        InvalidInputError: if coverage is not calibrated, or on too few queries for this one.
    """
    if coverage is None:
        return None
    model = ensemble.coverage
    if model is None:
        raise InvalidInputError(_NONE)
    model.threshold(coverage)
    return model


def broken_promise(
    model: CoverageModel,
    coverage: float,
    *,
    filtered: bool,
    candidates: int | None,
    records: int,
    other: str | None,
) -> str | None:
    """Why a coverage does not hold for a search, with the remedy; None if it does.

    Args:
        model: of the index.
        coverage: that was asked for.
        filtered: whether the search has a filter.
        candidates: how many the search was asked to rescore.
        records: texts in the index now, as far as they tell whether it has changed.
        other: what else is other than at calibration.
    """
    if other is not None:
        return other
    if filtered:
        return "calibrated for searches without a filter: leave the filter out"
    if candidates is not None and candidates < model.candidates:
        return f"calibrated for {model.candidates} candidates, not {candidates}: leave candidates out"
    if records != model.records:
        return f"calibrated on {model.records} texts, the index has {records} now: calibrate it again"
    if math.isinf(model.threshold(coverage)):
        return (
            f"of {model.queries} labelled queries {model.missed} have no right text among {model.candidates} candidates, so "
            f"at most {rounded_down(1 - model.lowest_error)} can be promised: ask for less, or calibrate with more candidates"
        )
    return None


def promise(
    model: CoverageModel, coverage: float, raw: Array, max_k: int | None, reason: str | None
) -> CoveragePromise:
    """How many hits a query needs, and whether a right one is among them as often as asked.

    Args:
        model: of the index.
        coverage: that was asked for.
        raw: `[m]` raw scores of the query's candidates, as many as at calibration.
        max_k: at most so many hits.
        reason: why it does not hold for the search.
    """
    needed = model.size(raw, coverage) if len(raw) else 0
    if reason is None and not len(raw):
        reason = "nothing was found"
    if reason is None and max_k is not None and needed > max_k:
        reason = f"it needs {needed} hits, max_k is {max_k}: raise that"
    return CoveragePromise(coverage, needed, model.queries, model.lowest_error, reason)


def calibrate_coverage(
    ensemble: Ensemble,
    store: ChromaStore,
    words: Words,
    labelled: Mapping[str, Collection[str]],
    candidates: int = CANDIDATES,
    nonconformity: str = NONCONFORMITY,
    progress: Progress | None = None,
) -> tuple[CoverageModel, CoverageReport]:
    """A coverage model for an index from labelled queries, each searched once as a search would.

    Args:
        ensemble: the experts.
        store: the index.
        words: of the index.
        labelled: query -> ids of its right texts or documents, as many as there are.
        candidates: how many to fetch and rescore.
        nonconformity: what hits are counted by, out of `NONCONFORMITIES`.
        progress: called with the number of queries done.

    Raises:
        InvalidInputError: for bad queries or numbers, or if no query has a right record in the index.
    """
    candidates = check_whole("candidates", candidates, 1)
    nonconformities(nonconformity, np.zeros(1))  # refuses what is none
    queries = right_records(labelled, records_of(store, check_labelled(labelled)))
    answered = [query for query, ids in queries.items() if ids]
    if not answered:
        raise InvalidInputError(
            "coverage needs queries whose right records are in the index, and there is none"
        )
    values: list[float] = []
    for start in range(0, len(answered), _BATCH):
        batch = answered[start : start + _BATCH]
        encoded = ensemble.encode_queries(batch)
        lexical = words.encode(ensemble.manifest.lexical, [[query] for query in batch])
        found = find_candidates(store, encoded.gaussian.mean, candidates, None, lexical)
        for row, (query, own) in enumerate(zip(batch, found, strict=True)):
            scores, _ = score_candidates(ensemble, encoded.gaussian[row : row + 1], own, lexical[row])
            right = [i for i, record in enumerate(own.records) if record.id in queries[query]]
            values.append(query_nonconformity(nonconformity, scores, right))
        if progress:
            progress(len(batch))
    model = CoverageModel.fit(
        nonconformity, values, candidates=candidates, records=store.count(), source="labelled queries"
    )
    return replace(model, asked=query_sketch(answered)), CoverageReport(
        queries=model.queries,
        unanswered=len(labelled) - len(answered),
        nonconformity=model.nonconformity,
        candidates=candidates,
        recall=model.recall,
        highest=1 - model.lowest_error,
    )
