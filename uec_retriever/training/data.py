"""Questions with candidates of known utility: from label files or qrels; selection, and a held-out part."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from uec_retriever.checks.numbers import check_whole
from uec_retriever.data.corpus import Corpus, read_queries
from uec_retriever.data.documents import Document
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.qrels import read_split
from uec_retriever.errors import CorpusError, InvalidInputError
from uec_retriever.utility_labeler.labels import Label


@dataclass(frozen=True)
class GradedPassage:
    """A passage and what it is worth to a question.

    Attributes:
        id: of the passage.
        text: of the passage.
        utility: nats, finite; higher helps more.
        relevance: of the qrels, where known.
    """

    id: str
    text: str
    utility: float
    relevance: float | None = None


@dataclass(frozen=True)
class GradedQuestion:
    """A question and its labelled candidates, best first.

    Attributes:
        id: of the question.
        text: of the question.
        candidates: at least one, by falling utility.
        group: what must not be torn apart by a split, e.g. the paper that the question is about.
    """

    id: str
    text: str
    candidates: tuple[GradedPassage, ...]
    group: str | None = None


def questions_from_labels(labels: Iterable[Label]) -> list[GradedQuestion]:
    """Group labels by question, in the order of their first lines.

    Raises:
        InvalidInputError: if a question id stands for two texts or two groups, or there is no label.
    """
    found: dict[str, tuple[Label, list[GradedPassage]]] = {}
    for label in labels:
        first, candidates = found.setdefault(label.question_id, (label, []))
        if (first.question, first.group) != (label.question, label.group):
            raise InvalidInputError(
                f"the labels give question {label.question_id!r} two texts or groups: they come from different "
                "data, so train on one label file at a time or rename the ids"
            )
        candidates.append(GradedPassage(label.passage_id, label.passage, label.utility, label.relevance))
    if not found:
        raise InvalidInputError("there are no labels: make some with 'uec label'")
    return [
        GradedQuestion(identifier, first.question, _by_utility(candidates), first.group)
        for identifier, (first, candidates) in found.items()
    ]


def questions_from_qrels(folder: Path, split: str = "train") -> list[GradedQuestion]:
    """Questions and their judged passages of a BEIR folder; grades serve as utilities.

    Passages judged 0 or lower are left out: with in-batch negatives alone, unjudged ones do as well.

    Args:
        folder: with `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`.
        split: which qrels.

    Raises:
        CorpusError: for a file that cannot be read, or qrels that name what is not there.
    """
    documents = {d.record.id: d for d in Corpus(folder)}
    queries = dict(read_queries(folder))
    judged: dict[str, list[GradedPassage]] = {}
    for query, grades in read_split(folder, split).items():
        if query not in queries:
            raise CorpusError(f"the {split} qrels name the query {query!r}, which is not in queries.jsonl")
        for passage, grade in grades.items():
            if passage not in documents:
                raise CorpusError(
                    f"the {split} qrels name the passage {passage!r}, which is not in the corpus"
                )
            if grade > 0:
                found = GradedPassage(passage, documents[passage].record.text, float(grade), grade)
                judged.setdefault(query, []).append(found)
    return [
        GradedQuestion(query, queries[query], _by_utility(found), _group(documents[found[0].id]))
        for query, found in judged.items()
    ]


def _group(document: Document) -> str | None:
    group = document.record.metadata.get("group")
    return None if group is None else str(group)


def select_candidates(
    question: GradedQuestion, limit: int, similarities: Mapping[str, float] | None = None
) -> GradedQuestion:
    """Keep at most `limit` candidates: those that teach most.

    The better half by utility stays: the positives. The rest of the places go to the *hard*
    candidates, those that the student itself finds most similar, or without similarities to the next by utility.

    Args:
        question: with candidates by falling utility.
        limit: at least 1.
        similarities: passage id -> similarity to the question as the base model sees it.
    """
    if len(question.candidates) <= check_whole("limit", limit, 1):
        return question
    cut = limit if similarities is None else math.ceil(limit / 2)
    kept, rest = list(question.candidates[:cut]), list(question.candidates[cut:])
    if similarities is not None:
        rest.sort(key=lambda c: -similarities[c.id])
    return replace(question, candidates=_by_utility(kept + rest[: limit - cut]))


def useful(questions: Sequence[GradedQuestion], minimum: float | None) -> list[GradedQuestion]:
    """Questions that some passage helps by at least `minimum` nats; all of them for None."""
    if minimum is None:
        return list(questions)
    return [q for q in questions if q.candidates[0].utility >= minimum]


def calibration_pairs(questions: Sequence[GradedQuestion], seed: int) -> CalibrationPairs:
    """Pairs for `fit_posterior`: each question with its best passage, in random order.

    The best is the most relevant one where the qrels know a relevant one, else the one of highest utility, if it
    helps at all.

    Raises:
        InvalidInputError: for too few pairs.
    """
    pairs = []
    for question in questions:
        best = max(question.candidates, key=lambda c: (c.relevance or 0, c.utility))
        if (best.relevance or 0) > 0 or best.utility > 0:
            pairs.append((question.text, best.text))
    random.Random(seed).shuffle(pairs)
    return CalibrationPairs([q for q, _ in pairs], [p for _, p in pairs], "training data")


def split_heldout(
    questions: Sequence[GradedQuestion], share: float, seed: int
) -> tuple[list[GradedQuestion], list[GradedQuestion]]:
    """Split off a held-out part without a leak: a group, or a question's text, is on one side only.

    Args:
        questions: all of them.
        share: of the held-out part, in [0, 1); at least one group is held out where there are two.
        seed: of the choice.

    Returns:
        Questions to train on and held-out ones, each in the given order.

    Raises:
        InvalidInputError: for a share out of range, or if nothing is left to train on.
    """
    if not 0 <= share < 1:
        raise InvalidInputError(f"the held-out share is {share}: give one in [0, 1)")
    parts = _inseparable(questions)
    if share == 0:
        return list(questions), []
    if len(parts) < 2:
        raise InvalidInputError(
            "all questions belong to one group, so none can be held out without a leak: "
            "label questions of more groups, or hold out none (share 0) and choose nothing by it"
        )
    random.Random(seed).shuffle(parts)
    room = share * len(questions)
    held: set[int] = set()
    for part in parts:
        if len(held) + len(part) <= room:
            held.update(part)
    held = held or set(sorted(parts, key=len)[0])
    return (
        [q for i, q in enumerate(questions) if i not in held],
        [q for i, q in enumerate(questions) if i in held],
    )


def _inseparable(questions: Sequence[GradedQuestion]) -> list[list[int]]:
    """Positions that share a group or a text, directly or through others."""
    leader = list(range(len(questions)))

    def root(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    seen: dict[tuple[str, str], int] = {}
    for i, question in enumerate(questions):
        keys = [("text", " ".join(question.text.lower().split()))]
        if question.group is not None:
            keys.append(("group", question.group))
        for key in keys:
            leader[root(i)] = root(seen.setdefault(key, i))
    parts: dict[int, list[int]] = {}
    for i in range(len(questions)):
        parts.setdefault(root(i), []).append(i)
    return list(parts.values())


def _by_utility(candidates: Iterable[GradedPassage]) -> tuple[GradedPassage, ...]:
    return tuple(sorted(candidates, key=lambda c: -c.utility))
