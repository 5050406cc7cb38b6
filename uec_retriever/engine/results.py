"""What the engine gives back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from uec_retriever.data.records import Metadata
from uec_retriever.gaussian import Array


@dataclass(frozen=True)
class Hit:
    """One text found.

    Attributes:
        id: of the record.
        text: of the record.
        metadata: the user's own.
        score: in [0, 1], higher is better: `(1 + raw_score) / 2`.
        raw_score: uncertainty-aware similarity s^ in [-1, 1].
        deviation: standard deviation of the similarity, >= 0, in units of `raw_score`.
        payload: of the record, see `Record`.
    """

    id: str
    text: str
    metadata: Metadata
    score: float
    raw_score: float
    deviation: float
    payload: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Rescoring:
    """Texts of any origin, scored against one query.

    Attributes:
        query: its text.
        coefficients: expert label -> share of trust, summing to 1.
        scores: `[n]` in [0, 1], in the order of the texts: `(1 + raw_scores) / 2`.
        raw_scores: `[n]` uncertainty-aware similarity s^ in [-1, 1].
        deviations: `[n]` standard deviation of the similarity, >= 0, in units of `raw_scores`.
    """

    query: str
    coefficients: dict[str, float]
    scores: Array
    raw_scores: Array
    deviations: Array


@dataclass(frozen=True)
class SearchResult:
    """The hits of one query, best first; iterates over them.

    Attributes:
        query: its text.
        coefficients: expert label -> share of trust, summing to 1.
        hits: at most k.
        seconds: stage -> time; `encode`, `query` and `rescore`.
        confidence: P(a right answer is among the first k), with the k it was calibrated for, in [0, 1];
            None unless calibrated (`Engine.calibrate_confidence`), and at another temperature.
        embedding: `[D]` what the index was searched with.
    """

    query: str
    coefficients: dict[str, float]
    hits: list[Hit]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    confidence: float | None = None
    embedding: Array | None = field(default=None, repr=False, compare=False)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


@dataclass(frozen=True)
class AddReport:
    """What became of the records given to `Engine.add`.

    Attributes:
        added: new ones.
        updated: replaced ones.
        unchanged: already there, word for word.
        truncated: expert label -> texts that it cut to its maximal length.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    truncated: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: AddReport) -> AddReport:
        labels = [*self.truncated, *(label for label in other.truncated if label not in self.truncated)]
        return AddReport(
            self.added + other.added,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            {label: self.truncated.get(label, 0) + other.truncated.get(label, 0) for label in labels},
        )
