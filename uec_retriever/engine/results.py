"""What the engine gives back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from uec_retriever.checks.numbers import check_number, check_whole
from uec_retriever.confidence.conformal import CoveragePromise
from uec_retriever.data.records import Metadata, Record
from uec_retriever.data.truncation import SHOWN
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.engine.options import check_names
from uec_retriever.gaussian import Array

RescoringExtra = Literal["score", "raw_score", "deviation", "coefficients"]
Extra = Literal[
    RescoringExtra,
    "expert_scores",
    "matched",
    "relevance",
    "confidence",
    "confidence_reason",
    "verdict",
    "abstained",
    "promise",
]
Abstain = Literal["flag", "empty", "raise"]
"""What a search does that is to abstain: say so, leave out its hits too, or raise LowConfidenceError."""
NO_EVIDENCE_ID = "uec_no_evidence"
"""Id of the hit that holds a sentence for the language model, where nothing was found."""
Verdict = Literal["likely in here", "unsure", "probably not in these documents"]
_LIKELY, _UNLIKELY = 2 / 3, 1 / 3  # confidence from which, and to which, a verdict is one
EXTRAS: dict[Extra, str] = {name: f"uec_{name}" for name in get_args(Extra)}
"""What the framework packages put into metadata on request, and under which key each."""


def check_min_score(min_score: float | None) -> None:
    """Refuse a lowest score outside [0, 1], where all scores lie."""
    if min_score is not None:
        check_number("a lowest score", min_score, "a number in [0, 1], as scores are", 0, 1)


def check_include(include: object, possible: Collection[str] = EXTRAS) -> tuple[Extra, ...]:
    """The extras asked for, each once.

    Args:
        include: names of extras.
        possible: those that there are.

    Raises:
        InvalidInputError: for one that does not exist, or something else than a list.
    """
    return check_names("include", include, possible)


@dataclass(frozen=True)
class Hit:
    """One text found.

    Attributes:
        record: what was found; `id`, `text`, `metadata` and `payload` are its.
        score: in [0, 1], higher is better: `(1 + raw_score) / 2`.
        raw_score: uncertainty-aware similarity s^ in [-1, 1].
        deviation: standard deviation of the similarity, in [0, 1] and units of `raw_score`; 0 where the index's calibration
            pairs say nothing (`Manifest.informative`).
        expert_scores: expert label -> its own similarity, before coefficients and uncertainty; None unless the search
            was asked for them. Cosines in [-1, 1], and of `words` the share of what any text could reach, in [0, 1].
            An expert of coefficient 0 takes no part and is left out. In the sum layout the vectors of the experts
            are one, so there is one cosine, under their labels joined by `+`.
        relevance: P(this text is a right one), in [0, 1], comparable between queries; None where the search has no
            confidence.
    """

    record: Record
    score: float
    raw_score: float
    deviation: float
    expert_scores: dict[str, float] | None = None
    relevance: float | None = None

    @property
    def id(self) -> str:
        """Of the record."""
        return self.record.id

    @property
    def text(self) -> str:
        """Of the record."""
        return self.record.text

    @property
    def metadata(self) -> Metadata:
        """The user's own, of the record."""
        return self.record.metadata

    @property
    def payload(self) -> str | None:
        """Of the record, see `Record`."""
        return self.record.payload


@dataclass(frozen=True, eq=False)
class Rescoring:
    """Texts of any origin, scored against one query.

    Attributes:
        query: its text.
        coefficients: expert label -> share of trust, summing to 1.
        scores: `[n]` in [0, 1], in the order of the texts: `(1 + raw_scores) / 2`.
        raw_scores: `[n]` uncertainty-aware similarity s^ in [-1, 1].
        deviations: `[n]` standard deviation of the similarity, in [0, 1] and units of `raw_scores`; 0 where the
            index's calibration pairs say nothing.
        truncated: expert label -> texts that it cut to its maximal length.
        truncated_positions: of the texts that an expert cut.
        query_truncated: labels of the experts that cut the query.
    """

    query: str
    coefficients: dict[str, float]
    scores: Array
    raw_scores: Array
    deviations: Array
    truncated: dict[str, int] = field(default_factory=dict)
    truncated_positions: tuple[int, ...] = ()
    query_truncated: tuple[str, ...] = ()

    def best(self, n: int | None = None, min_score: float | None = None) -> list[int]:
        """Positions of the n best texts, the best first; of all if None.

        Args:
            n: at most this many.
            min_score: leave out those of a lower score, in [0, 1].

        Raises:
            InvalidInputError: for n < 0, or a `min_score` outside [0, 1].
        """
        check_min_score(min_score)
        count = None if n is None else check_whole("n", n, 0)
        order = np.argsort(-self.raw_scores, kind="stable")[:count].tolist()
        return [i for i in order if min_score is None or self.scores[i] >= min_score]

    def extras(self, position: int) -> dict[RescoringExtra, float | dict[str, float]]:
        """What is known of one text: `score`, `raw_score`, `deviation`, and the query's `coefficients`."""
        return {
            "score": float(self.scores[position]),
            "raw_score": float(self.raw_scores[position]),
            "deviation": float(self.deviations[position]),
            "coefficients": dict(self.coefficients),
        }


@dataclass(frozen=True)
class MatchedWords:
    """The words of a query, to be found in texts.

    Attributes:
        analyzer: that made its terms.
        terms: distinct ones.
    """

    analyzer: WordAnalyzer
    terms: frozenset[str]


@dataclass(frozen=True)
class SearchResult:
    """The hits of one query, best first; iterates over them.

    Attributes:
        query: its text.
        coefficients: expert label -> share of trust, summing to 1.
        hits: at most k, or with `coverage` as many as that needs, at most `max_k`.
        seconds: stage -> time; `encode`, `query` and `rescore`, each query's share where several go together.
        confidence: P(a right answer is among the first k), with the k it was calibrated for, in [0, 1]; None where
            it says nothing about this search.
        confidence_reason: why there is no confidence; None if there is one.
        truncated: labels of the experts that cut the query to their maximal length: they did not see its end.
        abstained: whether the confidence is below the `min_confidence` that was asked for.
        promise: what was asked for by `coverage`, and whether it holds; None if nothing was.
        embedding: `[D]` what the index was searched with by the dense experts.
        words: those of the query; None if it has none, or the index knows none.
    """

    query: str
    coefficients: dict[str, float]
    hits: list[Hit]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    confidence: float | None = None
    confidence_reason: str | None = None
    truncated: tuple[str, ...] = ()
    abstained: bool = False
    promise: CoveragePromise | None = None
    embedding: Array | None = field(default=None, repr=False, compare=False)
    words: MatchedWords | None = field(default=None, repr=False, compare=False)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    @property
    def verdict(self) -> Verdict | None:
        """The confidence in words, `likely` from 2/3 and `probably not` up to 1/3; None without one."""
        if self.confidence is None:
            return None
        if self.confidence >= _LIKELY:
            return "likely in here"
        return "unsure" if self.confidence > _UNLIKELY else "probably not in these documents"

    def best(self, min_score: float | None = None, no_evidence: str | None = None) -> list[Hit]:
        """The hits, best first.

        Args:
            min_score: leave out those of a lower score, in [0, 1].
            no_evidence: text of the one hit, of the score 0 and the id `NO_EVIDENCE_ID`, where there would be none.

        Raises:
            InvalidInputError: for a `min_score` outside [0, 1].
        """
        check_min_score(min_score)
        found = [hit for hit in self.hits if min_score is None or hit.score >= min_score]
        if not found and no_evidence is not None:
            return [Hit(Record(NO_EVIDENCE_ID, no_evidence), 0.0, -1.0, 0.0)]
        return found

    def matched(self, hit: Hit) -> list[tuple[int, int]]:
        """Where a hit's text has words of the query: `(start, end)` in characters, in order, none overlapping."""
        if self.words is None or hit.id == NO_EVIDENCE_ID:
            return []
        return self.words.analyzer.matched(self.words.terms, hit.text)

    def extras(self, hit: Hit, names: Iterable[Extra] = tuple(EXTRAS)) -> dict[Extra, Any]:
        """What is known of a hit, and of the query.

        Args:
            hit: one of these.
            names: of `EXTRAS`, those that are wanted.
        """
        known: dict[Extra, Callable[[], Any]] = {
            "score": lambda: hit.score,
            "raw_score": lambda: hit.raw_score,
            "deviation": lambda: hit.deviation,
            "coefficients": lambda: dict(self.coefficients),
            "expert_scores": lambda: None if hit.expert_scores is None else dict(hit.expert_scores),
            "matched": lambda: [list(span) for span in self.matched(hit)],
            "relevance": lambda: hit.relevance,
            "confidence": lambda: self.confidence,
            "confidence_reason": lambda: self.confidence_reason,
            "verdict": lambda: self.verdict,
            "abstained": lambda: self.abstained,
            "promise": lambda: self.promise and {**asdict(self.promise), "holds": self.promise.holds},
        }
        return {name: known[name]() for name in names}


@dataclass(frozen=True)
class AddReport:
    """What became of the records given to `Engine.add`.

    Attributes:
        added: new ones.
        updated: replaced ones.
        unchanged: already there, word for word.
        skipped: there with other content, which stays, since `existing` was `skip`.
        deleted: others that went, as parts of documents that have other content now.
        updated_ids: ids of the first replaced ones.
        deleted_ids: ids of the first that went.
        truncated: expert label -> texts that it cut to its maximal length.
        truncated_ids: ids of the first of them.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    deleted: int = 0
    truncated: dict[str, int] = field(default_factory=dict)
    updated_ids: tuple[str, ...] = field(default=(), compare=False)
    truncated_ids: tuple[str, ...] = field(default=(), compare=False)
    deleted_ids: tuple[str, ...] = field(default=(), compare=False)

    def __add__(self, other: AddReport) -> AddReport:
        labels = [*self.truncated, *(label for label in other.truncated if label not in self.truncated)]
        return AddReport(
            self.added + other.added,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.skipped + other.skipped,
            self.deleted + other.deleted,
            {label: self.truncated.get(label, 0) + other.truncated.get(label, 0) for label in labels},
            (*self.updated_ids, *other.updated_ids)[:SHOWN],
            (*self.truncated_ids, *other.truncated_ids)[:SHOWN],
            (*self.deleted_ids, *other.deleted_ids)[:SHOWN],
        )
