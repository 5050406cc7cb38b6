"""Fit a confidence model on signals with known outcomes, and say how good it is on queries it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from uec_retriever.checks.numbers import check_number
from uec_retriever.confidence.logistic import fit_logistic
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.prior import Prior
from uec_retriever.confidence.queries import LABELS, MINIMUM_QUERIES
from uec_retriever.confidence.relevance import RelevanceModel
from uec_retriever.confidence.signals import FITTED
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array

OFF_TOPIC_SHARE = 0.2  # of the unanswerable queries
_FOLDS = 5
_MINIMUM_OF_A_KIND = 5  # rows of each outcome, one for each fold


class Kind(IntEnum):
    """What was searched for."""

    ANSWERABLE = 0
    LEFT_OUT = 1  # its answer was taken out of the candidates, or was never in the index
    OFF_TOPIC = 2


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Searches whose outcome is known, n of them.

    Attributes:
        signals: n mappings, as `abstention_signals` gives them.
        hits: `[n]` bool, whether a right answer is among the first k.
        kinds: `[n]` of `Kind`.
        queries: `[n]` number of the query; one can be searched with and without its answer.
        features: n times `[d, 3]`, `relevance_features` of the first d texts of each; none if hits are not looked at.
        right: n times `[d]` bool, whether they are right ones.
    """

    signals: Sequence[Mapping[str, float]]
    hits: NDArray[np.bool_]
    kinds: NDArray[np.int_]
    queries: NDArray[np.int_]
    features: Sequence[Array] = ()
    right: Sequence[NDArray[np.bool_]] = ()

    def weights(self, unanswerable: float) -> Array:
        """`[n]` weights of mean 1, under which this share of searches is unanswerable, a fifth of it off topic."""
        off_topic = OFF_TOPIC_SHARE if (self.kinds == Kind.OFF_TOPIC).any() else 0.0
        shares = np.array([1 - unanswerable, unanswerable * (1 - off_topic), unanswerable * off_topic])
        weights = (shares / np.maximum(np.bincount(self.kinds, minlength=len(Kind)), 1))[self.kinds]
        return np.asarray(weights / weights.mean())

    def among(self, chosen: NDArray[np.bool_]) -> Outcomes:
        """Some of the searches."""
        signals = [row for row, keep in zip(self.signals, chosen, strict=True) if keep]
        places: list[int] = np.flatnonzero(chosen).tolist() if self.features else []
        return Outcomes(
            signals,
            self.hits[chosen],
            self.kinds[chosen],
            self.queries[chosen],
            [self.features[i] for i in places],
            [self.right[i] for i in places],
        )


@dataclass(frozen=True)
class ConfidenceReport:
    """How good the confidence is, on queries that it was not fitted on (cross-validation by query).

    Attributes:
        queries: how many, those off topic not counted.
        hit_rate: share of the answerable queries with a right answer among the first k.
        positives: share of all searches with one, as weighted by `unanswerable`.
        auroc: P(a search that succeeded has the higher confidence); .5 tells nothing, 1 all.
        auroc_answerable: the same among answerable queries alone; None if all or none succeeded.
        ece: expected calibration error, ten bins of equal width, in [0, 1]; 0 is best.
        brier: mean squared error of the confidence, in [0, 1]; 0 is best.
        brier_constant: what a constant confidence of `positives` would get.
        relevance_auroc: P(a right hit has a higher relevance than another one, of whatever query); None without relevance.
        relevance_ece: expected calibration error of the relevance, in [0, 1]; None without.
    """

    queries: int
    hit_rate: float
    positives: float
    auroc: float
    auroc_answerable: float | None
    ece: float
    brier: float
    brier_constant: float
    relevance_auroc: float | None = None
    relevance_ece: float | None = None


def fit_confidence(
    outcomes: Outcomes,
    *,
    k: int,
    candidates: int,
    records: int,
    source: str,
    unanswerable: float = 0.5,
    seed: int = 0,
    prior: Prior | None = None,
) -> tuple[ConfidenceModel, ConfidenceReport]:
    """Logistic regression (L2, C = 1, weights >= 0) from standardised signals to the outcome.

    The model is fitted on all searches; the report is made of predictions for queries left out
    of the fit, five parts in turn.

    Args:
        outcomes: of at least 32 queries, at least 5 that succeeded and 5 that did not.
        k: hits among which the answer was looked for.
        candidates: how many were fetched and rescored.
        records: texts in the index.
        source: of the queries.
        unanswerable: share of queries without an answer to be assumed, in [0, 1).
        seed: of the parts.
        prior: what else is known, averaged with the fit; None for nothing.

    Raises:
        InvalidInputError: for too few queries, or if nearly all succeeded or failed.
    """
    check_share(unanswerable)
    used = outcomes if unanswerable else outcomes.among(outcomes.kinds == Kind.ANSWERABLE)
    number = len(np.unique(used.queries[used.kinds != Kind.OFF_TOPIC]))
    if number < MINIMUM_QUERIES:
        raise InvalidInputError(
            f"{number} queries are too few to calibrate confidence on: give at least {MINIMUM_QUERIES}, "
            "better some hundreds"
        )
    succeeded = int(used.hits.sum())
    if min(succeeded, len(used.hits) - succeeded) < _MINIMUM_OF_A_KIND:
        made = source.startswith("pairs: ") and source != "pairs: user"
        few = succeeded < _MINIMUM_OF_A_KIND
        remedy = (
            f"the texts are too short or too much alike to make queries of that find them: {LABELS}"
            if made and few
            else "give other or more queries, or another k"
            + ("" if unanswerable else ", or unanswerable > 0")
        )
        raise InvalidInputError(
            f"{succeeded} of {len(used.hits)} searches found a right answer, so there is nothing to tell apart: {remedy}"
        )
    weights = used.weights(unanswerable)
    table = np.array([[row[name] for name in FITTED] for row in used.signals], dtype=np.float64)
    folds = list(
        StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed).split(table, used.hits, used.queries)
    )

    def fitted(rows: NDArray[Any] | slice) -> ConfidenceModel:
        own = fit_logistic(table[rows], used.hits[rows], weights[rows])
        return ConfidenceModel(
            signals=FITTED,
            means=tuple(own.means.tolist()),
            scales=tuple(own.scales.tolist()),
            weights=tuple(own.weights.tolist()),
            intercept=own.intercept,
            k=k,
            candidates=candidates,
            unanswerable=unanswerable,
            queries=number,
            records=records,
            source=source,
            prior=prior,
        )

    predicted = np.empty(len(table))
    for train, held in folds:
        fold = fitted(train)
        predicted[held] = [fold.probability(used.signals[row]) for row in held.tolist()]
    relevance, quality = _fit_relevance(used, weights, folds)
    model = replace(fitted(slice(None)), relevance=relevance)
    report = _report(used, predicted, weights)
    return model, replace(
        report, relevance_auroc=quality and quality[0], relevance_ece=quality and quality[1]
    )


def check_share(unanswerable: float) -> None:
    """Raises InvalidInputError for a share of unanswerable queries outside [0, 1)."""
    if check_number("unanswerable", unanswerable, "in [0, 1)", 0) >= 1:
        raise InvalidInputError(f"unanswerable must be in [0, 1), got {unanswerable}")


def expected_calibration_error(
    labels: NDArray[Any], probabilities: Array, weights: Array | None = None, *, bins: int = 10
) -> float:
    """Mean distance of probability and frequency, over bins of equal width.

    Args:
        labels: `[n]` 0 or 1.
        probabilities: `[n]` in [0, 1].
        weights: `[n]`, alike if absent.
        bins: how many.

    Returns:
        In [0, 1]; 0 is best.

    Source: Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (AAAI 2015).
    """
    labels, probabilities = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    bin_of = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights * (probabilities - labels), minlength=bins)
    return float(np.abs(gaps).sum() / weights.sum())


def _fit_relevance(
    outcomes: Outcomes, weights: Array, folds: Sequence[tuple[NDArray[Any], NDArray[Any]]]
) -> tuple[RelevanceModel | None, tuple[float, float] | None]:
    """A relevance model, and its AUROC and ECE on queries left out of the fit; None if too few hits are right ones."""
    if not outcomes.features:
        return None, None
    sizes = [len(rows) for rows in outcomes.features]
    search = np.repeat(np.arange(len(sizes)), sizes)
    table, right = np.concatenate(list(outcomes.features)), np.concatenate(list(outcomes.right))
    if min(right.sum(), (~right).sum()) < _MINIMUM_OF_A_KIND:
        return None, None
    every, predicted = weights[search], np.empty(len(table))
    for train, held in folds:
        chosen, others = np.isin(search, train), np.isin(search, held)
        if not right[chosen].any():
            return None, None
        predicted[others] = fit_logistic(table[chosen], right[chosen], every[chosen]).probabilities(
            table[others]
        )
    fitted = fit_logistic(table, right, every)
    model = RelevanceModel(
        tuple(fitted.means.tolist()),
        tuple(fitted.scales.tolist()),
        tuple(fitted.weights.tolist()),
        fitted.intercept,
    )
    auroc = float(roc_auc_score(right, predicted, sample_weight=every))
    return model, (auroc, expected_calibration_error(right, predicted, every))


def _report(outcomes: Outcomes, predicted: Array, weights: Array) -> ConfidenceReport:
    hits, answerable = outcomes.hits, outcomes.kinds == Kind.ANSWERABLE
    positives = float(np.average(hits, weights=weights))
    among = hits[answerable]
    mixed = 0 < int(among.sum()) < len(among)
    return ConfidenceReport(
        queries=len(np.unique(outcomes.queries[outcomes.kinds != Kind.OFF_TOPIC])),
        hit_rate=float(among.mean()) if len(among) else 0.0,
        positives=positives,
        auroc=float(roc_auc_score(hits, predicted, sample_weight=weights)),
        auroc_answerable=float(roc_auc_score(among, predicted[answerable])) if mixed else None,
        ece=expected_calibration_error(hits, predicted, weights),
        brier=float(np.average((predicted - hits) ** 2, weights=weights)),
        brier_constant=positives * (1 - positives),
    )
