"""Questions with answers, and the passages that may help: what is to be labelled. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uec_retriever.data.corpus import read_jsonl
from uec_retriever.data.qrels import Qrels, read_split
from uec_retriever.data.records import content_id
from uec_retriever.data.texts import text_problem
from uec_retriever.errors import CorpusError, show
from uec_retriever.utility_labeler.labels import Source

_SHOWN = 5


@dataclass(frozen=True)
class Candidate:
    """A passage to be labelled for a question.

    Attributes:
        passage_id: unique within the question.
        text: as retrievers see it.
        source: how it became a candidate.
        relevance: of the qrels; None without qrels.
    """

    passage_id: str
    text: str
    source: Source = "given"
    relevance: float | None = None


@dataclass(frozen=True)
class Question:
    """A question with its answers.

    Attributes:
        id: unique in a run.
        text: non-empty.
        answers: at least one; none empty, none twice.
        group: `metadata.group`, e.g. the paper it is about.
        relevance: passage id -> judgement of the qrels; None without qrels.
        candidates: given ones; None where they are to be mined.
        place: file and line, for messages.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    group: str | None = None
    relevance: Mapping[str, float] | None = None
    candidates: tuple[Candidate, ...] | None = None
    place: str = ""


@dataclass(frozen=True)
class Pair:
    """One label to be made."""

    question: Question
    candidate: Candidate

    @property
    def key(self) -> tuple[str, str]:
        """(question id, passage id)."""
        return self.question.id, self.candidate.passage_id


@dataclass
class Questions:
    """Questions of a BEIR folder or of one JSONL file, read when iterated.

    A row has `_id`, `text`, and `answer` or `answers` (at the top or in `metadata`), may have
    `metadata.group` and `candidates`: a list of strings, or of objects with `text` and optionally
    `_id`, `title`, `relevance`.

    Attributes:
        path: folder with `queries.jsonl`, or the file itself.
        split: name of a file in `qrels/`: only its questions; None for all, without relevance.
        skip_unanswered: pass over questions without an answer, instead of refusing the file.
        skipped: places of those passed over, after an iteration.
    """

    path: Path
    split: str | None = None
    skip_unanswered: bool = False
    skipped: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Question]:
        """The questions, in order.

        Raises:
            CorpusError: naming the lines that have no answer, or a line that cannot be read.
        """
        self.skipped.clear()
        file = self.path / "queries.jsonl" if self.path.is_dir() else self.path
        qrels = read_split(self.path, self.split) if self.split is not None else None
        seen: dict[str, str] = {}
        unanswered: list[str] = []
        for place, row in read_jsonl(file):
            identifier = _identifier(row, place)
            if identifier in seen:
                raise CorpusError(f"{place}: the id {identifier!r} is that of {seen[identifier]} too")
            seen[identifier] = place
            if qrels is not None and identifier not in qrels:
                continue
            answers = _answers(row, place)
            if not answers:
                unanswered.append(place)
                continue
            yield _question(identifier, row, place, answers, qrels)
        if qrels is not None and (lost := qrels.keys() - seen.keys()):
            raise CorpusError(
                f"{file} lacks {len(lost)} questions of the qrels, e.g. {show(sorted(lost)[0])}"
            )
        self.skipped.extend(unanswered)
        if unanswered and not self.skip_unanswered:
            shown = "; ".join(unanswered[:_SHOWN]) + ("; ..." if len(unanswered) > _SHOWN else "")
            raise CorpusError(
                f"{len(unanswered)} questions have no answer ({shown}): a utility needs one. Add 'answer' or "
                "'answers' to them, or pass over them (skip_unanswered=True, --skip-unanswered)"
            )


def _question(
    identifier: str,
    row: dict[str, Any],
    place: str,
    answers: tuple[str, ...],
    qrels: Qrels | None,
) -> Question:
    if problem := text_problem(row.get("text")):
        raise CorpusError(f"{place}: the question {problem}")
    group = (row.get("metadata") or {}).get("group")
    return Question(
        identifier,
        row["text"],
        answers,
        None if group is None else str(group),
        None if qrels is None else qrels[identifier],
        _candidates(row, place),
        place,
    )


def _identifier(row: dict[str, Any], place: str) -> str:
    if not isinstance(row.get("metadata") or {}, dict):
        raise CorpusError(f"{place}: 'metadata' is no object")
    value = row.get("_id", row.get("id"))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise CorpusError(f"{place}: '_id' is missing or no string")
    return value


def _answers(row: dict[str, Any], place: str) -> tuple[str, ...]:
    """All answers, the one called `answer` first; () if there is none at all."""
    metadata = row.get("metadata") or {}
    single = row.get("answer", metadata.get("answer"))
    several = row.get("answers", metadata.get("answers"))
    if several is not None and not isinstance(several, list):
        raise CorpusError(f"{place}: 'answers' is {type(several).__name__}, not a list of strings")
    given = ([] if single is None else [single]) + (several or [])
    if all(isinstance(a, str) and not a.strip() for a in given):
        return ()
    for answer in given:
        if problem := text_problem(answer):
            raise CorpusError(f"{place}: an answer {problem}")
    return tuple(dict.fromkeys(answer.strip() for answer in given))


def _candidates(row: dict[str, Any], place: str) -> tuple[Candidate, ...] | None:
    given = row.get("candidates")
    if given is None:
        return None
    if not isinstance(given, list) or not given:
        raise CorpusError(f"{place}: 'candidates' is no list, or an empty one")
    found: dict[str, Candidate] = {}
    for number, entry in enumerate(given):
        candidate = _candidate(entry, f"{place}, candidate {number}")
        if candidate.passage_id in found:
            raise CorpusError(f"{place}: candidate {number} repeats {candidate.passage_id!r}")
        found[candidate.passage_id] = candidate
    return tuple(found.values())


def _candidate(entry: Any, place: str) -> Candidate:
    fields = {"text": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, dict):
        raise CorpusError(f"{place}: neither a string nor an object")
    title, body = fields.get("title") or "", fields.get("text")
    if problem := text_problem(body):
        raise CorpusError(f"{place}: the text {problem}")
    text = f"{title} {body}".strip()
    relevance = fields.get("relevance")
    if relevance is not None and (
        not isinstance(relevance, int | float) or isinstance(relevance, bool) or not abs(relevance) < math.inf
    ):
        raise CorpusError(f"{place}: 'relevance' is no finite number")
    identifier = fields.get("_id", fields.get("id"))
    return Candidate(
        content_id(text, {}) if identifier is None else str(identifier), text, "given", relevance
    )
