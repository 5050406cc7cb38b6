"""Confidence: abstention signals of a query, and the probability that its hits hold a right answer.

An abstention signal is a number that tends to be higher when a search went well; none is a
probability. A `ConfidenceModel` turns them into one. It is fitted by `Engine.calibrate_confidence`
and kept with the index.

What the retriever's own uncertainty offers was tried as well: the deviation of the best candidate and
the trace of the query's variance tell queries off topic, as the best score does too, but next to nothing
of success on topic; nor does the entropy of the coefficients (benchmarks/results/confidence.json).
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from uec_retriever.checks.json_text import parse_object
from uec_retriever.checks.rows import FINITE_ROW, read_row
from uec_retriever.confidence.relevance import RelevanceModel
from uec_retriever.data.staleness import is_stale
from uec_retriever.errors import CorruptFileError, FormatVersionError, InvalidInputError, UECError, show
from uec_retriever.gaussian import Array

DEPTH = 10  # candidates that signals look at, whatever k a search asks for
SIGNALS = {  # higher is better; chosen without the test splits (benchmarks/confidence.py)
    "top": "raw score of the best candidate",
    "margin_10": "raw score of the best candidate less that of the tenth",
    "lexical": "correlation of the raw scores of the first ten with the share of the query's words they hold",
}
_FORMAT = 1
_WORD = re.compile(r"\w{3,}")
_READ = 2000  # characters of a text that are searched for words
_LEAST_SPREAD = 1e-9  # below it, a correlation is rounding
_logger = logging.getLogger(__name__)


def abstention_signals(query: str, texts: Sequence[str], raw: Array) -> dict[str, float]:
    """The signals of one query, from its first ten candidates (from all of them, if they are fewer).

    Args:
        query: its text.
        texts: m texts of the candidates, m >= 1, in any order.
        raw: `[m]` their raw scores.

    Returns:
        Every name in `SIGNALS` with its value. Where there is nothing to compare, the margin and the
        correlation are 0.

    Raises:
        InvalidInputError: without candidates, or if they are not as many of each.
    """
    raw = np.asarray(raw, dtype=np.float64)
    if raw.ndim != 1 or len(raw) == 0 or len(texts) != len(raw):
        raise InvalidInputError(
            f"signals need texts and raw scores of the same candidates, at least one: got {len(texts)} and {raw.shape}"
        )
    order = np.argsort(-raw, kind="stable")[:DEPTH]
    first = raw[order]
    return {
        "top": float(first[0]),
        "margin_10": float(first[0] - first[-1]),
        "lexical": _correlation(first, _word_shares(query, [texts[i] for i in order])),
    }


def _word_shares(query: str, texts: Sequence[str]) -> Array:
    """`[m]` share of the query's words that each text holds, rare ones among the texts counting more.

    A word is found inside longer ones too, so that inflected forms match without a stemmer.
    """
    words = set(_WORD.findall(query.lower()))
    found = [{w for w in words if w in text} for text in (text[:_READ].lower() for text in texts)]
    frequency = Counter(w for held in found for w in held)
    weight = {w: math.log1p((len(texts) + 1) / (frequency[w] + 0.5)) for w in words}
    total = sum(weight.values()) or 1.0
    return np.array([sum(weight[w] for w in sorted(held)) for held in found]) / total


def _correlation(one: Array, other: Array) -> float:
    """Pearson's, 0 where either does not vary."""
    one, other = one - one.mean(), other - other.mean()
    lengths = float(np.sqrt(one @ one)), float(np.sqrt(other @ other))
    return float(one @ other) / (lengths[0] * lengths[1]) if min(lengths) > _LEAST_SPREAD else 0.0


@dataclass(frozen=True)
class ConfidenceModel:
    """Logistic regression from standardised signals to P(a right answer is among the first k).

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
        """P(a right answer is among the first k), in [0, 1].

        Args:
            signals: what `abstention_signals` gives for the query.
        """
        logit = self.intercept
        for name, mean, scale, weight in zip(
            self.signals, self.means, self.scales, self.weights, strict=True
        ):
            logit += weight * (signals[name] - mean) / scale
        return 1.0 / (1.0 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1.0 + math.exp(logit))

    def to_string(self) -> str:
        """One short string: collection metadata holds nothing but scalars."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, separators=(",", ":"))

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
            if isinstance(version, int) and version != _FORMAT:
                raise FormatVersionError(
                    f"the index's confidence has format {version}, this version reads {_FORMAT}: "
                    "calibrate it anew with 'uec calibrate-confidence'"
                )
            if version != _FORMAT:
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
