"""What retrieval does for answers: a local LLM answers from each system's top passages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.metrics import Values, token_f1
from uec_retriever.utility_labeler.encoding import PromptEncoder
from uec_retriever.utility_labeler.judge import Judge
from uec_retriever.utility_labeler.prompts import default_prompts

Progress = Callable[[int], None]


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
        self._encoder = PromptEncoder(
            judge.tokenizer, prompt, min(max_tokens or judge.context, judge.context)
        )
        self._known: dict[tuple[int, ...], str] = {}

    def answer(self, question: str, passages: Sequence[str]) -> str:
        """The answer from the first passages, up to its first line break."""
        text = "\n\n".join(passages[: self._passages])
        prompt = self._encoder.encode(question, text, self._max_new_tokens).ids
        if prompt not in self._known:
            [said] = self._judge.generate([prompt], self._max_new_tokens)
            self._known[prompt] = said.strip().partition("\n")[0]
        return self._known[prompt]


def answer_f1(
    answerer: Answerer,
    collection: Collection,
    ranked: Mapping[str, Sequence[int]],
    progress: Progress | None = None,
) -> Values:
    """Token F1 of each question that has answers, in their order, in [0, 1].

    Raises:
        InvalidInputError: if no question has an answer.
    """
    values = []
    for query in collection.queries:
        if not query.answers:
            continue
        said = answerer.answer(query.text, [collection.texts[i] for i in ranked[query.id]])
        values.append(token_f1(said, query.answers))
        if progress:
            progress(1)
    if not values:
        raise InvalidInputError(
            f"no question of {collection.name} has an answer: leave Token F1 out (--answers 0)"
        )
    return np.array(values)
