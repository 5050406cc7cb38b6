"""Coverage: how many hits to return so that a right one is among them as often as promised.

Split conformal prediction. A candidate's nonconformity depends on the raw scores of the query's own candidates alone; a
query's is the least over its right candidates, infinite where none is among them. The threshold for coverage c is the
ceil((n + 1) c)-th smallest of n labelled queries, and a search returns the candidates up to it. If its query is
exchangeable with those n, a right one is returned with probability at least c: over queries and calibrations together,
not for each query. Pseudo-queries are not exchangeable with those people ask, and promise nothing.

Every nonconformity is non-decreasing along the ranking and equal for equal scores: what is returned is a prefix of the
ranking, and holds all or none of a tie.
"""

from __future__ import annotations

import json
import logging
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Context
from fractions import Fraction
from typing import Annotated

import numpy as np
from pydantic import Field

from uec_retriever.checks.json_text import parse_object
from uec_retriever.checks.rows import FINITE_ROW, read_row
from uec_retriever.errors import CorruptFileError, FormatVersionError, InvalidInputError, UECError, show
from uec_retriever.gaussian import Array

NONCONFORMITIES = {
    "rank": "place in the ranking: as many hits for every query",
    "score": "minus the raw score",
    "relative": "top raw score less the candidate's, in standard deviations of the query's candidates",
    "ranked": "the relative one plus the natural logarithm of the place",
    "cumulative": "share of the candidates' softmax mass up to it, at that deviation as temperature",
}
NONCONFORMITY = "ranked"
"""Which is taken unless another is asked for: on four train splits it gave the fewest hits, see `benchmarks.coverage`."""
_FORMAT = 1
_COMPACT = Context(prec=8, rounding=ROUND_CEILING)  # upwards: a threshold may only grow

_logger = logging.getLogger(__name__)


def nonconformities(name: str, raw: Array) -> Array:
    """Nonconformity of each candidate of one query.

    Args:
        name: out of `NONCONFORMITIES`.
        raw: `[m]` raw scores of the candidates, m >= 1, in any order.

    Returns:
        `[m]` in the order of `raw`: the higher a score, the lower or equal.

    Raises:
        InvalidInputError: for another name, without candidates, or if a score is not finite.
    """
    if name not in NONCONFORMITIES:
        raise InvalidInputError(
            f"there is no nonconformity {show(name)}: choose from {list(NONCONFORMITIES)}"
        )
    raw = np.asarray(raw, dtype=np.float64)
    if raw.ndim != 1 or len(raw) == 0 or not np.isfinite(raw).all():
        raise InvalidInputError(f"raw scores must be a row of finite numbers, at least one: got {raw}")
    if name == "score":
        return -raw
    ordered = np.sort(raw)  # ascending
    last = len(raw) - np.searchsorted(ordered, raw)  # of its tie, counted from the best
    if name == "rank":
        return last.astype(np.float64)
    spread = float(raw.std())
    behind = (ordered[-1] - raw) / spread if spread > 0 else np.zeros(len(raw))
    if name == "relative":
        return behind
    if name == "ranked":
        return np.asarray(behind + np.log(last))
    mass = np.cumsum(np.exp(-np.sort(behind)))
    return np.asarray(mass[last - 1] / mass[-1])


def query_nonconformity(name: str, raw: Array, right: Iterable[int]) -> float:
    """Least nonconformity of the right candidates; infinite where none of them is among the candidates.

    Args:
        name: out of `NONCONFORMITIES`.
        raw: `[m]` raw scores of the candidates; may be empty.
        right: places of the right ones in `raw`.
    """
    places = list(right)
    return float(nonconformities(name, raw)[places].min()) if places else math.inf


@dataclass(frozen=True)
class CoveragePromise:
    """That a right text is among the hits as often as asked: over queries like the labelled ones, not for each of them.

    Like them in that their answer is in the index, too: whether one is, is for the confidence to say.

    Attributes:
        coverage: how often, in (0, 1).
        needed: hits that this takes for this query.
        queries: labelled ones that it rests on.
        lowest_error: share of queries, in [0, 1], that no number of hits answers: their right text is no candidate.
        reason: why it does not hold for this search, with the remedy; None if it does.
    """

    coverage: float
    needed: int
    queries: int
    lowest_error: float
    reason: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it does for this search."""
        return self.reason is None


@dataclass(frozen=True)
class CoverageModel:
    """Nonconformities of labelled queries, from which a threshold for any coverage is read.

    Attributes:
        nonconformity: out of `NONCONFORMITIES`.
        values: the finite ones, ascending.
        missed: queries with no right text among the candidates: their nonconformity is infinite.
        candidates: how many were fetched and rescored.
        records: texts in the index at that time.
        source: where the queries came from.
        asked: a sketch of them (`query_sketch`).
    """

    __pydantic_config__ = FINITE_ROW

    nonconformity: str
    values: tuple[float, ...]
    missed: Annotated[int, Field(ge=0)]
    candidates: int
    records: Annotated[int, Field(ge=0)]
    source: str
    asked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.nonconformity not in NONCONFORMITIES:
            raise InvalidInputError(
                f"there is no nonconformity {show(self.nonconformity)}: choose from {list(NONCONFORMITIES)}"
            )
        if not all(map(math.isfinite, self.values)) or list(self.values) != sorted(self.values):
            raise InvalidInputError("values must be finite and ascending")
        if self.missed < 0 or self.queries < 1:
            raise InvalidInputError("a coverage model needs at least one labelled query")
        if self.candidates < 1:
            raise InvalidInputError(f"candidates must be at least 1, got {self.candidates}")

    @classmethod
    def fit(
        cls, nonconformity: str, values: Sequence[float], *, candidates: int, records: int, source: str
    ) -> CoverageModel:
        """A model of what `query_nonconformity` gave for n labelled queries, rounded up to eight digits.

        Raises:
            InvalidInputError: without a query, or if a value is NaN or minus infinity.
        """
        if any(math.isnan(value) or value == -math.inf for value in values):
            raise InvalidInputError("a query's nonconformity must be a number or infinite")
        finite = sorted(float(_COMPACT.create_decimal_from_float(v)) for v in values if v != math.inf)
        return cls(nonconformity, tuple(finite), len(values) - len(finite), candidates, records, source)

    @property
    def queries(self) -> int:
        """n, how many queries were labelled."""
        return len(self.values) + self.missed

    @property
    def recall(self) -> float:
        """Share of the queries with a right text among the candidates."""
        return len(self.values) / self.queries

    @property
    def lowest_error(self) -> float:
        """Lowest error that can be promised: 1 - recall of the candidates, if the next query counts as missed too."""
        return (self.missed + 1) / (self.queries + 1)

    def threshold(self, coverage: float) -> float:
        """The ceil((n + 1) coverage)-th smallest nonconformity; infinite where the promise cannot be kept.

        Raises:
            InvalidInputError: unless coverage is in (0, 1), or with fewer than 1 / (1 - coverage) - 1 queries.
        """
        if not 0 < coverage < 1:
            raise InvalidInputError(f"coverage must lie between 0 and 1, got {coverage}")
        share = Fraction(repr(float(coverage)))  # as written: .95 of 100 is 95, not a little more
        place = math.ceil((self.queries + 1) * share)
        if place > self.queries:
            raise InvalidInputError(
                f"coverage {coverage} needs at least {math.ceil(share / (1 - share))} labelled queries, there are "
                f"{self.queries}: label more, or ask for less"
            )
        return self.values[place - 1] if place <= len(self.values) else math.inf

    def size(self, raw: Array, coverage: float) -> int:
        """How many of a query's candidates to return, the highest raw scores first.

        Never 0: one hit more than needed breaks no promise, and whether to answer at all is for the confidence to say.
        All of them where the threshold is infinite; no number of hits keeps the promise then.

        Args:
            raw: `[m]` raw scores of the candidates, m >= 1, as many as were fetched at calibration.
            coverage: in (0, 1).
        """
        ascending = np.sort(nonconformities(self.nonconformity, raw)).tolist()
        return max(1, bisect_right(ascending, self.threshold(coverage)))

    def to_string(self) -> str:
        """One short string: collection metadata holds nothing but scalars."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_string(cls, string: str) -> CoverageModel:
        """Inverse of `to_string`.

        Raises:
            FormatVersionError: if another version wrote it.
            CorruptFileError: if it is damaged.
        """
        fix = "calibrate it anew with 'uec calibrate-confidence'"
        try:
            values = parse_object(string)
            version = values.pop("format", None)
            if isinstance(version, int) and version != _FORMAT:
                raise FormatVersionError(
                    f"the index's coverage has format {version}, this version reads {_FORMAT}: {fix}"
                )
            if version != _FORMAT:
                raise InvalidInputError(f"its format is {show(version)}")
            return read_row(cls, values)
        except InvalidInputError as error:
            raise CorruptFileError(f"the index's coverage is damaged ({error}): {fix}") from error


def read_coverage(string: str | None) -> CoverageModel | None:
    """The coverage model of a manifest; None, with a warning in the log, if it cannot be read."""
    if string is None:
        return None
    try:
        return CoverageModel.from_string(string)
    except UECError as error:  # the index is whole without it
        _logger.warning("%s", error)
        return None
