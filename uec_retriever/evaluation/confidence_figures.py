"""Confidence, relevance and coverage of searches whose outcome is known, compared with the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from uec_retriever.engine.results import Verdict
from uec_retriever.evaluation.abstention import abstention_curve, nauc
from uec_retriever.evaluation.bootstrap import (
    Interval,
    Rows,
    Values,
    interval,
    resample,
    resample_means,
    wilson,
)
from uec_retriever.evaluation.confidence_queries import TARGETS, Asked
from uec_retriever.evaluation.metrics import auroc
from uec_retriever.evaluation.reliability import ece_interval, reliability

_SAMPLES = 500
SIGNALS = ("confidence", "top score")


def confidence_figures(asked: Sequence[Asked], seed: int) -> dict[str, Any]:
    """How good the confidence is.

    Args:
        asked: n >= 1 queries.
        seed: of the bootstrap.

    Returns:
        `searches`, `without_answer`, `right` (share, Wilson's interval), `said` (mean confidence), `ECE`, `Brier`,
        `Brier of a constant`, `bins`; of each of `SIGNALS` under `nAUC`, `AUROC` (of right searches over others) and
        `AUROC of answers` (of searches with an answer in the index over those without), null where it is not defined;
        `nAUC difference`, paired; `abstention`, the curves; `verdicts`.
    """
    right = np.array([one.is_right for one in asked])
    answered = np.array([one.has_answer for one in asked])
    signals = np.array([[one.confidence, one.top] for one in asked])
    confidence, values = signals[:, 0], right.astype(float)

    def areas(rows: Rows) -> Values:
        return np.array([nauc(values[rows], signals[rows, i]) for i in range(len(SIGNALS))])

    draws = resample(areas, len(asked), seed, _SAMPLES)
    whole = areas(np.arange(len(asked)))
    return {
        "searches": len(asked),
        "without_answer": int((~answered).sum()),
        "right": asdict(wilson(int(right.sum()), len(asked))),
        "said": float(confidence.mean()),
        "ECE": asdict(ece_interval(values, confidence, seed)),
        "Brier": _bootstrap(lambda rows: ((confidence[rows] - values[rows]) ** 2).mean(), len(asked), seed),
        "Brier of a constant": float(values.mean() * (1 - values.mean())),
        "bins": [asdict(b) for b in reliability(values, confidence).bins],
        "nAUC": {name: _cell(interval(whole[i], draws[:, i])) for i, name in enumerate(SIGNALS)},
        "nAUC difference": _cell(interval(whole[0] - whole[1], draws[:, 0] - draws[:, 1])),
        "AUROC": _aurocs(signals, right, seed),
        "AUROC of answers": _aurocs(signals, answered, seed),
        "abstention": _curves(values, signals, seed),
        "verdicts": _verdicts(asked),
    }


def relevance_figures(asked: Sequence[Asked], seed: int) -> dict[str, Any] | None:
    """How good the relevance of hits is: `hits`, `right`, `ECE`, `AUROC`, `bins`; None of an index without relevance.

    Hits of one query are drawn together.

    Args:
        asked: queries.
        seed: of the bootstrap.
    """
    told = [
        (query, hit.relevance, one.has_answer and hit.id in one.right)
        for query, one in enumerate(asked)
        for hit in one.result
        if hit.relevance is not None
    ]
    if not told:
        return None
    query, relevance, right = (np.array(column) for column in zip(*told, strict=True))
    members = [np.flatnonzero(query == number) for number in np.unique(query)]

    def area(rows: Rows) -> float:
        chosen = np.concatenate([members[i] for i in rows])
        return float(auroc(relevance[chosen, None], right[chosen])[0])

    return {
        "hits": len(told),
        "right": float(right.mean()),
        "ECE": asdict(ece_interval(right.astype(float), relevance, seed, query)),
        "AUROC": _bootstrap(area, len(members), seed),
        "bins": [asdict(b) for b in reliability(right.astype(float), relevance).bins],
    }


def coverage_figures(asked: Sequence[Asked], seed: int) -> list[dict[str, Any]]:
    """What each coverage that can be promised comes to, on the queries with an answer in the index.

    Args:
        asked: queries.
        seed: of the bootstrap.

    Returns:
        For each of `TARGETS` that can be promised `coverage`, `queries`, `realised` (Wilson's interval), `hits` on average
        (bootstrap interval) and `fixed`: as many hits for every query as that coverage would take; a fraction stands for a
        mixture of two numbers, and null for more than any gives.
    """
    used = [one for one in asked if one.has_answer and one.needed]
    if not used:
        return []
    first = np.array([one.reached or np.inf for one in used])
    deepest = int(max(first[np.isfinite(first)], default=1))
    reached = np.array([np.mean(first <= k) for k in range(1, deepest + 1)])
    rows = []
    for target in (t for t in TARGETS if t in used[0].needed):
        sizes = np.array([one.needed[target] for one in used], dtype=float)
        realised = wilson(int((first <= sizes).sum()), len(used))
        rows.append(
            {
                "coverage": target,
                "queries": len(used),
                "realised": asdict(realised),
                "hits": _cell(interval(sizes.mean(), resample_means(sizes, seed))),
                "fixed": _fixed(reached, realised.mean),
            }
        )
    return rows


def _fixed(reached: Values, share: float) -> float | None:
    """Hits for every query, the same number, that cover a share; between two numbers where a mixture of them does."""
    if not len(reached) or share > reached[-1]:
        return None
    if share <= reached[0]:
        return 1.0
    place = int(np.searchsorted(reached, share))  # the first number that covers as much
    return float(place + (share - reached[place - 1]) / (reached[place] - reached[place - 1]))


def _aurocs(signals: Values, positive: NDArray[np.bool_], seed: int) -> dict[str, Any] | None:
    """Of each signal; None where all are of one kind."""
    if positive.all() or not positive.any():
        return None
    draws = resample(lambda rows: auroc(signals[rows], positive[rows]), len(positive), seed, _SAMPLES)
    whole = auroc(signals, positive)
    return {name: _cell(interval(whole[i], draws[:, i])) for i, name in enumerate(SIGNALS)}


def _curves(values: Values, signals: Values, seed: int) -> dict[str, Any]:
    """Share of right searches among the most confident ones, by each signal, with the bootstrap interval of each point."""
    found: dict[str, Any] = {"answered": np.round(np.linspace(1, 0.1, 10), 10).tolist()}
    for name, signal in zip(SIGNALS, signals.T, strict=True):
        draws = resample(partial(_drawn_curve, values, signal), len(values), seed, _SAMPLES)
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        found[name] = {
            "right": abstention_curve(values, signal).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        }
    return found


def _drawn_curve(values: Values, signal: Values, rows: Rows) -> Values:
    return abstention_curve(values[rows], signal[rows])


def _verdicts(asked: Sequence[Asked]) -> dict[str, Any]:
    """Words -> how many searches said so, how many of these were right, and their mean confidence."""
    found = {}
    for verdict in get_args(Verdict):
        own = [one for one in asked if one.result.verdict == verdict]
        said = float(np.mean([one.confidence for one in own])) if own else None
        right = _cell(wilson(sum(one.is_right for one in own), len(own)))
        found[verdict] = {"searches": len(own), "right": right, "said": said}
    return found


def _bootstrap(statistic: Callable[[Rows], Any], number: int, seed: int) -> dict[str, float] | None:
    whole = float(statistic(np.arange(number)))
    return _cell(interval(whole, resample(statistic, number, seed, _SAMPLES)))


def _cell(found: Interval) -> dict[str, float] | None:
    """For a result file, which has no NaN: null for a value that is not defined."""
    return None if np.isnan(found.mean) else asdict(found)
