"""Fit a confidence model on signals with known outcomes, and say how good it is on queries it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from uec_retriever.confidence import DEFAULT_SIGNALS, ConfidenceModel
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array

MINIMUM_QUERIES = 32
_FOLDS = 5
_MINIMUM_OF_A_KIND = 5  # rows of each outcome, one for each fold
_SMALLEST_SCALE = 1e-12  # a signal that hardly varies is left as it is


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Searches whose outcome is known, n of them.

    Attributes:
        signals: n mappings, as `abstention_signals` gives them.
        hits: `[n]` bool, whether a right answer is among the first k.
        answerable: `[n]` bool, whether there was one to be found.
        queries: `[n]` number of the query; one can be searched with and without its answer.
    """

    signals: Sequence[Mapping[str, float]]
    hits: NDArray[np.bool_]
    answerable: NDArray[np.bool_]
    queries: NDArray[np.int_]

    def weights(self, unanswerable: float) -> Array:
        """`[n]` weights of mean 1 that give unanswerable searches the share asked for."""
        share = np.where(self.answerable, 1.0 - unanswerable, unanswerable)
        counts = np.where(self.answerable, self.answerable.sum(), (~self.answerable).sum())
        weights = share / counts
        return np.asarray(weights * len(weights) / weights.sum())


@dataclass(frozen=True)
class ConfidenceReport:
    """How good the confidence is, on queries that it was not fitted on (cross-validation by query).

    Attributes:
        queries: how many.
        hit_rate: share of the answerable queries with a right answer among the first k.
        positives: share of all searches with one, as weighted by `unanswerable`.
        auroc: P(a search that succeeded has the higher confidence); .5 tells nothing, 1 all.
        auroc_answerable: the same among answerable queries alone; None if all or none succeeded.
        ece: expected calibration error, ten bins of equal width, in [0, 1]; 0 is best.
        brier: mean squared error of the confidence, in [0, 1]; 0 is best.
        brier_constant: what a constant confidence of `positives` would get.
    """

    queries: int
    hit_rate: float
    positives: float
    auroc: float
    auroc_answerable: float | None
    ece: float
    brier: float
    brier_constant: float


def fit_confidence(
    outcomes: Outcomes,
    *,
    k: int,
    candidates: int,
    records: int,
    source: str,
    unanswerable: float = 0.5,
    signals: Sequence[str] = DEFAULT_SIGNALS,
    seed: int = 0,
) -> tuple[ConfidenceModel, ConfidenceReport]:
    """Logistic regression (L2, C = 1) from standardised signals to the outcome.

    The model is fitted on all searches; the report is made of predictions for queries left out
    of the fit, five parts in turn.

    Args:
        outcomes: of at least 32 queries, at least 5 that succeeded and 5 that did not.
        k: hits among which the answer was looked for.
        candidates: how many were fetched and rescored.
        records: texts in the index.
        source: of the queries.
        unanswerable: share of queries without an answer to be assumed, in [0, 1).
        signals: names of those to use.
        seed: of the parts.

    Raises:
        InvalidInputError: for too few queries, or if nearly all succeeded or failed.
    """
    if not 0 <= unanswerable < 1:
        raise InvalidInputError(f"unanswerable must be in [0, 1), got {unanswerable}")
    used = outcomes if unanswerable else _rows(outcomes, outcomes.answerable)
    number = len(np.unique(used.queries))
    if number < MINIMUM_QUERIES:
        raise InvalidInputError(
            f"{number} queries are too few to calibrate confidence on: give at least {MINIMUM_QUERIES}, "
            "better some hundreds"
        )
    succeeded = int(used.hits.sum())
    if min(succeeded, len(used.hits) - succeeded) < _MINIMUM_OF_A_KIND:
        raise InvalidInputError(
            f"{succeeded} of {len(used.hits)} searches found a right answer, so there is nothing to tell apart: "
            "give harder or more queries, or another k" + ("" if unanswerable else ", or unanswerable > 0")
        )
    weights = used.weights(unanswerable) if unanswerable else np.ones(len(used.hits))
    table = np.array([[row[name] for name in signals] for row in used.signals], dtype=np.float64)
    predicted = np.empty(len(table))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, held in folds.split(table, used.hits, used.queries):
        means, scales, fitted = _logistic(table[train], used.hits[train], weights[train])
        predicted[held] = fitted.predict_proba((table[held] - means) / scales)[:, 1]
    means, scales, fitted = _logistic(table, used.hits, weights)
    model = ConfidenceModel(
        signals=tuple(signals),
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(fitted.coef_[0].tolist()),
        intercept=float(fitted.intercept_[0]),
        k=k,
        candidates=candidates,
        unanswerable=unanswerable,
        queries=number,
        records=records,
        source=source,
    )
    return model, _report(used, predicted, weights)


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


def _rows(outcomes: Outcomes, chosen: NDArray[np.bool_]) -> Outcomes:
    signals = [row for row, keep in zip(outcomes.signals, chosen, strict=True) if keep]
    return Outcomes(signals, outcomes.hits[chosen], outcomes.answerable[chosen], outcomes.queries[chosen])


def _logistic(table: Array, hits: NDArray[np.bool_], weights: Array) -> tuple[Array, Array, Any]:
    """Means and scales of the signals, and the fitted regression."""
    means = np.average(table, axis=0, weights=weights)
    scales = np.sqrt(np.average((table - means) ** 2, axis=0, weights=weights))
    scales = np.where(scales < _SMALLEST_SCALE, 1.0, scales)
    fitted = LogisticRegression().fit((table - means) / scales, hits, sample_weight=weights)
    return means, scales, fitted


def _report(outcomes: Outcomes, predicted: Array, weights: Array) -> ConfidenceReport:
    hits, answerable = outcomes.hits, outcomes.answerable
    positives = float(np.average(hits, weights=weights))
    among = hits[answerable]
    mixed = 0 < among.sum() < len(among)
    return ConfidenceReport(
        queries=len(np.unique(outcomes.queries)),
        hit_rate=float(among.mean()) if len(among) else 0.0,
        positives=positives,
        auroc=float(roc_auc_score(hits, predicted, sample_weight=weights)),
        auroc_answerable=float(roc_auc_score(among, predicted[answerable])) if mixed else None,
        ece=expected_calibration_error(hits, predicted, weights),
        brier=float(np.average((predicted - hits) ** 2, weights=weights)),
        brier_constant=positives * (1 - positives),
    )
