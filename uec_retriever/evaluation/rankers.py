"""Systems that rank passages: bi-encoders over a corpus, and re-rankers over their candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.collection import Collection
from uec_retriever.utility_labeler.encoding import beginning
from uec_retriever.utility_labeler.judge import Judge, TokenSequence

Progress = Callable[[int], None]
DEPTH = 100


class BiEncoder(Protocol):
    """A sentence-transformers model, as far as it is used here."""

    def encode_query(self, inputs: Any, **options: Any) -> Any:
        """Embeddings of questions."""

    def encode_document(self, inputs: Any, **options: Any) -> Any:
        """Embeddings of passages."""


class PairScorer(Protocol):
    """Says how well passages fit a question; higher is better."""

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """One score for each passage."""


@dataclass(frozen=True)
class Ranking:
    """What a system makes of a collection.

    Attributes:
        ranked: query id -> positions of passages, best first.
        scores: query id -> their scores.
        milliseconds: of a query, on average: from its text to its ranking, one query at a time.
    """

    ranked: dict[str, list[int]]
    scores: dict[str, list[float]]
    milliseconds: float

    def ids(self, collection: Collection) -> dict[str, list[str]]:
        """Query id -> passage ids, for `rank_metrics`."""
        return {q: [collection.ids[i] for i in found] for q, found in self.ranked.items()}


def embed_corpus(model: BiEncoder, collection: Collection, batch_size: int = 32) -> NDArray[np.float32]:
    """Unit vectors of all passages, `[passages, D]`."""
    return _unit(
        model.encode_document(list(collection.texts), batch_size=batch_size, show_progress_bar=False)
    )


def search(
    model: BiEncoder, collection: Collection, documents: NDArray[np.float32], scope: str, depth: int = DEPTH
) -> Ranking:
    """Rank by cosine, exactly, one query after the other.

    Args:
        model: encodes the questions.
        collection: where to search.
        documents: of `embed_corpus`.
        scope: `corpus`, or `group` for the passages of the question's own group.
        depth: how many passages are ranked, at most.
    """
    ranked: dict[str, list[int]] = {}
    scores: dict[str, list[float]] = {}
    if collection.queries:
        model.encode_query([collection.queries[0].text], show_progress_bar=False)  # warm up
    start = time.perf_counter()
    for query in collection.queries:
        vector = _unit(model.encode_query([query.text], show_progress_bar=False))[0]
        pool = collection.pool(query, scope)
        cosines = documents @ vector if pool is None else documents[pool] @ vector
        order = np.argsort(-cosines, kind="stable")[:depth]
        ranked[query.id] = [int(i if pool is None else pool[i]) for i in order]
        scores[query.id] = [float(c) for c in cosines[order]]
    return Ranking(ranked, scores, _per_query(start, collection))


@dataclass(frozen=True)
class Judged:
    """What a re-ranker says of the first passages of a ranking.

    Attributes:
        values: query id -> scores of its first passages, in their order.
        milliseconds: of a query, on average.
    """

    values: dict[str, list[float]]
    milliseconds: float


def judge_candidates(
    scorer: PairScorer,
    collection: Collection,
    first: Ranking,
    depth: int,
    progress: Progress | None = None,
) -> Judged:
    """Score the first `depth` passages of each query's ranking.

    Args:
        scorer: of question and passage.
        collection: what was ranked.
        first: the ranking to improve.
        depth: how many passages are scored for each query.
        progress: called with the number of queries done since.
    """
    values: dict[str, list[float]] = {}
    start = time.perf_counter()
    for query in collection.queries:
        texts = [collection.texts[i] for i in first.ranked[query.id][:depth]]
        values[query.id] = list(scorer.score(query.text, texts))
        if progress:
            progress(1)
    return Judged(values, _per_query(start, collection))


def reorder(first: Ranking, judged: Judged, *, blend: bool = False) -> Ranking:
    """Order the passages that were judged anew; what follows them keeps its place.

    Args:
        first: the ranking whose first passages were judged; its time is part of the result's.
        judged: of `judge_candidates`.
        blend: rank by the sum of both stages' scores, each standardised over the candidates.
    """
    ranked: dict[str, list[int]] = {}
    scores: dict[str, list[float]] = {}
    for query, found in judged.values.items():
        candidates, rest = first.ranked[query][: len(found)], first.ranked[query][len(found) :]
        values = np.array(found)
        if blend:
            values = _standardised(values) + _standardised(np.array(first.scores[query][: len(found)]))
        order = np.argsort(-values, kind="stable")
        ranked[query] = [candidates[i] for i in order] + rest
        floor = float(values.min()) if len(values) else 0.0
        scores[query] = [float(values[i]) for i in order] + [floor - 1 - i for i in range(len(rest))]
    return Ranking(ranked, scores, first.milliseconds + judged.milliseconds)


class CrossEncoderScorer:
    """A cross-encoder of sentence-transformers.

    Args:
        model: `CrossEncoder`, as `encoders.loading.load_cross_encoder` gives it.
        batch_size: pairs in one forward pass.
    """

    def __init__(self, model: Any, batch_size: int = 16) -> None:
        self._model = model
        self._batch_size = batch_size

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """Its relevance scores."""
        found = self._model.predict(
            [(question, p) for p in passages], batch_size=self._batch_size, show_progress_bar=False
        )
        values = np.asarray(found, dtype=np.float64)
        if values.ndim != 1:
            raise InvalidInputError(
                f"the cross-encoder gives {values.shape[-1]} scores for a pair: choose one made for re-ranking, "
                "with a single output"
            )
        return [float(v) for v in values]


class LikelihoodScorer:
    """Query likelihood: how likely an LLM would ask the question about the passage.

    The mean log-likelihood of the question's tokens given the passage, nats (UPR, Sachan et al. 2022, arXiv
    2204.07496). Passages too long for the context are cut.

    Args:
        judge: the language model.
        instruction: between passage and question.
        max_tokens: of prompt and question; the judge's context if None.
    """

    def __init__(
        self,
        judge: Judge,
        instruction: str = "\nPlease write a question based on this passage.\nQuestion:",
        max_tokens: int | None = None,
    ) -> None:
        self._judge = judge
        self._instruction = instruction
        self._context = min(max_tokens or judge.context, judge.context)
        self._beginning = beginning(judge.tokenizer)

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """Mean log-likelihood of the question after each passage, nats, <= 0.

        Raises:
            InvalidInputError: if the question does not fit into the context.
        """
        asked, instruction = self._ids(" " + question), self._ids(self._instruction)
        head = (*self._beginning, *self._ids("Passage:"))
        room = self._context - len(head) - len(instruction) - len(asked)
        if room < 1 or not asked:
            raise InvalidInputError(
                f"the question {question[:40]!r} leaves no room for a passage in {self._context} tokens"
            )
        sequences = [
            TokenSequence((*head, *self._ids(" " + passage)[:room], *instruction), asked)
            for passage in passages
        ]
        return [value / len(asked) for value in self._judge.log_likelihoods(sequences)]

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._judge.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _unit(embeddings: Any) -> NDArray[np.float32]:
    vectors = np.asarray(embeddings, dtype=np.float32)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-12))


def _per_query(start: float, collection: Collection) -> float:
    return 1000 * (time.perf_counter() - start) / max(len(collection.queries), 1)
