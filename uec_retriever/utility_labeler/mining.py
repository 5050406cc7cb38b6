"""Candidates for questions: gold, lexical or index neighbours, and random passages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from uec_retriever.checks.numbers import check_number, check_whole
from uec_retriever.errors import InvalidInputError, MissingExtraError
from uec_retriever.utility_labeler.questions import Candidate, Pair, Question

if TYPE_CHECKING:
    from uec_retriever.data.records import Record
    from uec_retriever.engine.engine import Engine

_BATCH = 64


@dataclass(frozen=True)
class Mining:
    """How many candidates, and where from.

    Attributes:
        candidates: per question, at least 1. All gold passages are always among them, even if they are more.
        random_share: of the candidates that are random passages, in [0, 1].
        within_group: only passages of the question's own `metadata.group`.
        seed: of the random passages; the choice for a question does not depend on the other questions.
        group_candidates: so many more, the nearest of the question's own group: they tell its passages apart.
    """

    candidates: int = 8
    random_share: float = 0.25
    within_group: bool = False
    seed: int = 0
    group_candidates: int = 0

    def __post_init__(self) -> None:
        for name, least in (("candidates", 1), ("group_candidates", 0), ("seed", 0)):
            object.__setattr__(self, name, check_whole(name, getattr(self, name), least))
        share = check_number("random_share", self.random_share, "from 0 to 1", 0, 1)
        if not isinstance(self.random_share, int | float):  # of NumPy, which JSON does not know
            object.__setattr__(self, "random_share", share)
        if self.group_candidates and self.within_group:
            raise InvalidInputError(
                "within_group takes all candidates from the group: give more candidates instead"
            )


class Passages:
    """A corpus in memory.

    Args:
        records: with distinct ids.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.group_names: list[str | None] = []
        self.groups: dict[str, list[int]] = {}
        for position, record in enumerate(records):
            self.ids.append(record.id)
            self.texts.append(record.text)
            group = record.metadata.get("group")
            self.group_names.append(None if group is None else str(group))
            if group is not None:
                self.groups.setdefault(str(group), []).append(position)
        self.position = {identifier: i for i, identifier in enumerate(self.ids)}
        if not self.ids:
            raise InvalidInputError("the corpus is empty")
        if len(self.position) != len(self.ids):
            raise InvalidInputError("the corpus has an id twice: make ids unique")


class Ranker(Protocol):
    """Finds neighbours of questions."""

    @property
    def source(self) -> Literal["bm25", "index"]:
        """How its passages are called in labels."""

    def rank(self, questions: Sequence[Question], k: int, *, within_group: bool) -> list[list[int]]:
        """Positions in the corpus of up to k neighbours of each question, best first."""


class BM25:
    """Lexical neighbours, by the library bm25s.

    Args:
        passages: the corpus.

    Raises:
        MissingExtraError: if bm25s is not installed.
    """

    source: Final = "bm25"

    def __init__(self, passages: Passages) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise MissingExtraError(
                'mining with BM25 needs bm25s: pip install "uec-retriever[label]"'
            ) from error
        self._passages = passages
        self._tokenize = bm25s.tokenize
        self._index = bm25s.BM25()
        self._index.index(self._tokenize(passages.texts, show_progress=False), show_progress=False)

    def rank(self, questions: Sequence[Question], k: int, *, within_group: bool) -> list[list[int]]:
        """Positions of up to k passages that share a word with the question, best first."""
        tokens = self._tokenize([q.text for q in questions], return_ids=False, show_progress=False)
        ranked = []
        for question, words in zip(questions, tokens, strict=True):
            scores: NDArray[np.float32] = self._index.get_scores(words) if words else np.zeros(0, np.float32)
            pool = _pool(self._passages, question, within_group) if len(scores) else np.zeros(0, np.int64)
            order = pool[np.argsort(-scores[pool], kind="stable")][:k]
            ranked.append([int(i) for i in order if scores[i] > 0])
        return ranked


class IndexNeighbours:
    """Neighbours by a UEC index over the same corpus.

    Args:
        engine: the index; within a group, its texts need the metadata key `group`.
        passages: the corpus; texts of the index that are not in it are passed over.
    """

    source: Final = "index"

    def __init__(self, engine: Engine, passages: Passages) -> None:
        self._engine = engine
        self._passages = passages

    def rank(self, questions: Sequence[Question], k: int, *, within_group: bool) -> list[list[int]]:
        """Positions of up to k passages, best first."""
        found: dict[str, list[int]] = {}
        pools: dict[str | None, list[Question]] = {}
        for question in questions:
            pools.setdefault(question.group if within_group else None, []).append(question)
        for group, members in pools.items():
            where = None if group is None else {"group": group}
            results = self._engine.search_batch([q.text for q in members], k, where=where)
            for question, result in zip(members, results, strict=True):
                hits = (self._passages.position.get(hit.id) for hit in result)
                found[question.id] = [position for position in hits if position is not None]
        return [found[question.id] for question in questions]


def given_pairs(questions: Iterable[Question]) -> Iterator[Pair]:
    """Pairs of questions that bring their candidates.

    Raises:
        InvalidInputError: naming a question without any.
    """
    for question in questions:
        if not question.candidates:
            raise InvalidInputError(
                f"{question.place or question.id}: no 'candidates': add them, or give a corpus to mine (--data)"
            )
        for candidate in question.candidates:
            yield Pair(question, candidate)


def mine(
    questions: Sequence[Question], passages: Passages, ranker: Ranker, options: Mining
) -> Iterator[Pair]:
    """Candidates for each question: all its gold passages, neighbours, random ones.

    Args:
        questions: with `relevance` where gold passages are known; given candidates are kept as they are.
        passages: the corpus.
        ranker: finds neighbours.
        options: how many of what.

    Raises:
        InvalidInputError: if a question has no group, or an unknown one, and the options ask for its passages.
    """
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        if options.within_group or options.group_candidates:
            for question in batch:
                _pool(passages, question, True)  # refuse before searching
        depth = options.candidates + max(len(q.relevance or {}) for q in batch)
        ranked = ranker.rank(batch, depth, within_group=options.within_group)
        inside: list[list[int]] = [[] for _ in batch]
        if options.group_candidates:
            inside = ranker.rank(batch, depth + options.group_candidates, within_group=True)
        for question, neighbours, nearest in zip(batch, ranked, inside, strict=True):
            if question.candidates:
                yield from given_pairs([question])
            else:
                yield from _mine_one(question, passages, neighbours, nearest, ranker.source, options)


def _mine_one(
    question: Question,
    passages: Passages,
    neighbours: list[int],
    nearest: list[int],
    source: Literal["bm25", "index"],
    options: Mining,
) -> Iterator[Pair]:
    relevance = question.relevance
    gold = [
        passages.position[i] for i, score in (relevance or {}).items() if score > 0 and i in passages.position
    ]
    chosen: dict[int, Literal["gold", "bm25", "index", "random"]] = dict.fromkeys(gold, "gold")
    left = max(0, options.candidates - len(chosen))
    random = min(left, round(options.random_share * options.candidates))
    others = [i for i in neighbours if i not in chosen][: left - random]
    chosen.update(dict.fromkeys(others, source))
    pool = _pool(passages, question, options.within_group)
    generator = _generator(options.seed, question.id)
    for i in generator.permutation(pool)[: options.candidates + len(chosen)].tolist():
        if len(chosen) >= options.candidates:
            break
        chosen.setdefault(i, "random")
    chosen.update(dict.fromkeys([i for i in nearest if i not in chosen][: options.group_candidates], source))
    for i, origin in chosen.items():
        judged = None if relevance is None else relevance.get(passages.ids[i], 0)
        yield Pair(question, Candidate(passages.ids[i], passages.texts[i], origin, judged))


def _pool(passages: Passages, question: Question, within_group: bool) -> NDArray[np.int64]:
    if not within_group:
        return np.arange(len(passages.ids))
    if question.group not in passages.groups:
        raise InvalidInputError(
            f"{question.place or question.id}: the corpus has no passages of its group ({question.group!r}): give "
            "questions and passages 'metadata.group', or mine the whole corpus"
        )
    return np.array(passages.groups[question.group])


def _generator(seed: int, question_id: str) -> np.random.Generator:
    digest = hashlib.sha256(question_id.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
