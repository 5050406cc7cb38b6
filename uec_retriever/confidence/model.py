"""Confidence: the probability that the hits of a query hold a right answer, from its abstention signals.

A `ConfidenceModel` is fitted by `Engine.calibrate_confidence` and kept with the index.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import Field

from uec_retriever.checks.json_text import parse_object
from uec_retriever.checks.rows import FINITE_ROW, read_row
from uec_retriever.confidence.odds import LEAST, bounded, expit
from uec_retriever.confidence.prior import Prior
from uec_retriever.confidence.relevance import RelevanceModel
from uec_retriever.confidence.signals import SIGNALS
from uec_retriever.data.staleness import is_stale
from uec_retriever.errors import CorruptFileError, FormatVersionError, InvalidInputError, UECError, show

_FORMATS = (1, 2)  # before priors, and since
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConfidenceModel:
    """Logistic regression from standardised signals to P(a right answer is among the first k).

    Where no labels were there to fit it on, its log odds are averaged with those of a prior.

    Attributes:
        signals: names out of `SIGNALS`, S of them.
        means: `[S]` of the signals at calibration.
        scales: `[S]` their standard deviations, > 0.
        weights: `[S]` of the standardised signals, >= 0: no signal speaks against success.
        intercept: log odds at the means.
        k: hits among which the right answer was looked for.
        candidates: how many were fetched and rescored.
        unanswerable: share of queries without an answer in the index that was assumed, in [0, 1).
        queries: how many it was fitted on.
        records: texts in the index at that time.
        source: where the queries came from, e.g. `title + first sentence` or `labelled`.
        relevance: P(a hit is a right text); None in one that an earlier version fitted.
        asked: sketch of the labelled queries that it was fitted on (`query_sketch`); empty if there were none.
        prior: what real queries of other collections tell; None if it says nothing of this index.
    """

    __pydantic_config__ = FINITE_ROW

    signals: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    k: int
    candidates: int
    unanswerable: float
    queries: Annotated[int, Field(ge=0)]
    records: Annotated[int, Field(ge=0)]
    source: str
    relevance: RelevanceModel | None = None
    asked: tuple[str, ...] = ()
    prior: Prior | None = None

    def __post_init__(self) -> None:
        if not self.signals or len(set(self.signals)) < len(self.signals):
            raise InvalidInputError(f"a confidence model needs distinct signals, got {self.signals}")
        if unknown := sorted(set(self.signals) - set(SIGNALS)):
            raise InvalidInputError(f"there are no signals {unknown}: choose from {list(SIGNALS)}")
        for name in ("means", "scales", "weights"):
            values = getattr(self, name)
            if len(values) != len(self.signals) or not all(map(math.isfinite, values)):
                raise InvalidInputError(f"{name} must be {len(self.signals)} finite numbers, got {values}")
        if not (min(self.scales) > 0 and min(self.weights) >= 0):
            raise InvalidInputError(
                f"scales must be positive and weights at least 0, got {self.scales} and {self.weights}"
            )
        if not math.isfinite(self.intercept):
            raise InvalidInputError(f"the intercept must be finite, got {self.intercept}")
        if not (self.k >= 1 and self.candidates >= self.k):
            raise InvalidInputError(f"candidates must be at least k >= 1, got {self.candidates} and {self.k}")
        if not 0 <= self.unanswerable < 1:
            raise InvalidInputError(f"unanswerable must be in [0, 1), got {self.unanswerable}")

    def probability(self, signals: Mapping[str, float]) -> float:
        """P(a right answer is among the first k), in [LEAST, 1 - LEAST] (`confidence.odds`).

        Args:
            signals: what `abstention_signals` gives for the query.
        """
        logit = self.intercept
        for name, mean, scale, weight in zip(
            self.signals, self.means, self.scales, self.weights, strict=True
        ):
            logit += weight * (signals[name] - mean) / scale
        logit = bounded(logit)
        if self.prior is not None:
            logit = (logit + self.prior.logit(signals, self.k, self.unanswerable)) / 2
        return min(max(expit(logit), LEAST), 1 - LEAST)

    def to_string(self) -> str:
        """One short string: collection metadata holds nothing but scalars."""
        return json.dumps({"format": _FORMATS[-1], **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_string(cls, string: str) -> ConfidenceModel:
        """Inverse of `to_string`.

        Raises:
            FormatVersionError: if another version wrote it.
            CorruptFileError: if it is damaged.
        """
        try:
            values = parse_object(string)
            version = values.pop("format", None)
            if isinstance(version, int) and version not in _FORMATS:
                raise FormatVersionError(
                    f"the index's confidence has format {version}, this version reads {_FORMATS[-1]}: "
                    "calibrate it anew with 'uec calibrate-confidence'"
                )
            if version not in _FORMATS:
                raise InvalidInputError(f"its format is {show(version)}")
            return read_row(cls, values)
        except InvalidInputError as error:
            raise CorruptFileError(
                f"the index's confidence is damaged ({error}): calibrate it anew with 'uec calibrate-confidence'"
            ) from error


def staleness(calibrated: int, records: int) -> str | None:
    """Why a calibration no longer fits its index, with the remedy; None while it does.

    Args:
        calibrated: texts in the index at calibration, >= 0.
        records: texts in it now, >= 0.
    """
    if not is_stale(calibrated, records):
        return None
    return (
        f"the confidence is stale: it was calibrated on {calibrated:,} texts, and the index has {records:,} now: "
        "calibrate it anew with 'uec calibrate-confidence'"
    )


def read_confidence(string: str | None) -> ConfidenceModel | None:
    """The confidence model of a manifest; None, with a warning in the log, if it cannot be read."""
    if string is None:
        return None
    try:
        return ConfidenceModel.from_string(string)
    except UECError as error:  # the index is whole without it
        _logger.warning("%s", error)
        return None
