"""Re-rankers, and answers: what reads a question and passages together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from uec_retriever.errors import InvalidInputError
from uec_retriever.utility_labeler.encoding import PromptEncoder, beginning_tokens
from uec_retriever.utility_labeler.judge import Judge, TokenSequence
from uec_retriever.utility_labeler.prompts import default_prompts


class Reranker(Protocol):
    """Says how well passages fit a question; higher is better."""

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """One score for each passage."""


class CrossEncoderReranker:
    """A cross-encoder of sentence-transformers.

    Args:
        model: `CrossEncoder`, as `experts.loading.load_cross_encoder` gives it.
        batch_size: pairs in one forward pass.
    """

    def __init__(self, model: Any, batch_size: int = 16) -> None:
        self._model = model
        self._batch_size = batch_size

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """Its relevance scores."""
        pairs = [(question, p) for p in passages]
        found = self._model.predict(pairs, batch_size=self._batch_size, show_progress_bar=False)
        values = np.asarray(found, dtype=np.float64)
        if values.ndim != 1:
            raise InvalidInputError(
                f"the cross-encoder gives {values.shape[-1]} scores for a pair: choose one made for re-ranking, "
                "with a single output"
            )
        return [float(v) for v in values]


class LikelihoodReranker:
    """Query likelihood: how likely an LLM would ask the question about the passage.

    The mean log-likelihood of the question's tokens given the passage, nats (UPR, Sachan et al. 2022, arXiv
    2204.07496). Passages too long for the context are cut.

    Args:
        judge: the language model.
        max_tokens: of prompt and question; the judge's context if None.
        instruction: between passage and question.
    """

    def __init__(
        self,
        judge: Judge,
        max_tokens: int | None = None,
        instruction: str = "\nPlease write a question based on this passage.\nQuestion:",
    ) -> None:
        self._judge = judge
        self._context = min(max_tokens or judge.context, judge.context)
        self._head = (*beginning_tokens(judge.tokenizer), *self._ids("Passage:"))
        self._instruction = self._ids(instruction)

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """Mean log-likelihood of the question after each passage, nats, <= 0.

        Raises:
            InvalidInputError: if the question does not fit into the context.
        """
        asked = self._ids(" " + question)
        room = self._context - len(self._head) - len(self._instruction) - len(asked)
        if room < 1 or not asked:
            raise InvalidInputError(
                f"the question {question[:40]!r} leaves no room for a passage in {self._context} tokens"
            )
        cut = (self._ids(" " + passage)[:room] for passage in passages)
        sequences = [TokenSequence((*self._head, *ids, *self._instruction), asked) for ids in cut]
        return [value / len(asked) for value in self._judge.log_likelihoods(sequences)]

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._judge.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


class Answerer:
    """Greedy answers of a judge, each prompt asked once however many systems lead to it.

    Args:
        judge: the language model.
        passages: how many of a ranking's first passages it may read.
        max_new_tokens: of an answer.
        max_tokens: of prompt and answer; the judge's context if None.
    """

    def __init__(
        self, judge: Judge, passages: int = 1, max_new_tokens: int = 32, max_tokens: int | None = None
    ) -> None:
        if passages < 1 or max_new_tokens < 1:
            raise InvalidInputError("an answer needs at least one passage and one token")
        self._judge = judge
        self._passages = passages
        self._max_new_tokens = max_new_tokens
        [prompt] = default_prompts(chat=bool(getattr(judge.tokenizer, "chat_template", None)))
        context = min(max_tokens or judge.context, judge.context)
        self._encoder = PromptEncoder(judge.tokenizer, prompt, context)
        self._known: dict[tuple[int, ...], str] = {}

    def answer(self, question: str, passages: Sequence[str]) -> str:
        """The answer from the first passages, up to its first line break."""
        text = "\n\n".join(passages[: self._passages])
        prompt = self._encoder.encode(question, text, self._max_new_tokens).ids
        if prompt not in self._known:
            [said] = self._judge.generate([prompt], self._max_new_tokens)
            self._known[prompt] = said.strip().partition("\n")[0]
        return self._known[prompt]
