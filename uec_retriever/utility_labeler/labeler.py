"""From pairs to labels: encode, ask the judge once for everything, combine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uec_retriever.data.provenance import digest
from uec_retriever.errors import InvalidInputError
from uec_retriever.utility_labeler.encoding import PromptEncoder
from uec_retriever.utility_labeler.judge import Judge, TokenSequence
from uec_retriever.utility_labeler.labels import Label
from uec_retriever.utility_labeler.prompts import Prompt, default_prompts
from uec_retriever.utility_labeler.questions import Pair, Question
from uec_retriever.utility_labeler.utility import LabelOptions, combine

FORMAT = 1


class Labeler:
    """Labels pairs with one judge, one set of prompts and one definition of utility.

    What a question's answers are worth without a passage is computed once per question and kept.

    Args:
        judge: the language model.
        prompts: one, or paraphrases to average over; ours for the model's chat template, or plain, if None.
        options: what a utility is.

    Raises:
        InvalidInputError: for no prompts, or more tokens than the model can read.
    """

    def __init__(
        self, judge: Judge, prompts: Sequence[Prompt] | None = None, options: LabelOptions | None = None
    ) -> None:
        self.judge = judge
        self.options = options or LabelOptions()
        if prompts is None:
            prompts = default_prompts(chat=bool(getattr(judge.tokenizer, "chat_template", None)))
        if not prompts:
            raise InvalidInputError("give at least one prompt")
        self.prompts = tuple(prompts)
        context = self.options.max_tokens or judge.context
        if context > judge.context:
            raise InvalidInputError(f"max_tokens is {context}, but the model reads {judge.context} at most")
        self.context = context
        self._encoders = [PromptEncoder(judge.tokenizer, prompt, context) for prompt in self.prompts]
        self._without: dict[str, NDArray[np.float64]] = {}
        self.run = digest({**self.description(), "judge": judge.fingerprint, "format": FORMAT})[:16]

    def description(self) -> dict[str, Any]:
        """Prompts, options and context, for manifests; part of the fingerprint `run`."""
        options = self.options.to_dict()
        options["max_tokens"] = self.context
        if self.options.baseline == "none":
            del options["neutral_passage"]
        return {"prompts": [prompt.to_dict() for prompt in self.prompts], "options": options}

    def check(self, question: Question) -> None:
        """Refuse a question that does not fit into the context, before any work is done.

        Raises:
            InvalidInputError: naming its place.
        """
        try:
            for encoder in self._encoders:
                longest = max(len(encoder.answer(a)) for a in self._answers(question))
                encoder.encode(question.text, self._baseline, longest)
                encoder.encode(question.text, "a", longest)
        except InvalidInputError as error:
            raise InvalidInputError(f"{question.place or f'question {question.id!r}'}: {error}") from error

    def label(self, pairs: Sequence[Pair]) -> list[Label]:
        """Labels of pairs, in their order.

        Raises:
            NumericalError: if the model gives a likelihood that is not finite.
            InvalidInputError: if a question does not fit into the context.
        """
        asked, tables = self._score(pairs, [pair.question for pair in pairs])
        return [self._combine(*found) for found in zip(pairs, asked, tables, strict=True)]

    def prepare(self, questions: Sequence[Question]) -> None:
        """Compute what questions' answers are worth without a passage, ahead of `label`.

        Args:
            questions: those already known are passed over.
        """
        self._score([], questions)

    def _score(
        self, pairs: Sequence[Pair], questions: Sequence[Question]
    ) -> tuple[list[_Asked], list[NDArray[np.float64]]]:
        """What is asked of each pair and its likelihoods; those of new questions without a passage are kept."""
        fresh = {q.id: q for q in questions if q.id not in self._without}
        asked = [self._ask(p.question, p.candidate.text) for p in pairs]
        asked += [self._ask(question, self._baseline) for question in fresh.values()]
        values = iter(self.judge.log_likelihoods([s for one in asked for s in one.sequences]))
        tables = [np.array([next(values) for _ in one.sequences]).reshape(one.shape) for one in asked]
        self._without.update(zip(fresh, tables[len(pairs) :], strict=True))
        return asked[: len(pairs)], tables[: len(pairs)]

    @property
    def _baseline(self) -> str | None:
        return self.options.neutral_passage if self.options.baseline == "neutral" else None

    def _answers(self, question: Question) -> tuple[str, ...]:
        return question.answers[:1] if self.options.answers == "first" else question.answers

    def _ask(self, question: Question, passage: str | None) -> _Asked:
        """The sequences of all prompts and answers."""
        sequences: list[TokenSequence] = []
        truncated = False
        for encoder in self._encoders:
            answers = [encoder.answer(answer) for answer in self._answers(question)]
            prompt = encoder.encode(question.text, passage, max(map(len, answers)))
            truncated |= prompt.truncated
            sequences += [TokenSequence(prompt.ids, answer) for answer in answers]
        return _Asked(sequences, (len(self.prompts), -1), truncated)

    def _combine(self, pair: Pair, asked: _Asked, with_passage: NDArray[np.float64]) -> Label:
        question, candidate = pair.question, pair.candidate
        tokens = np.array([len(s.answer) for s in asked.sequences]).reshape(asked.shape)
        utility = combine(with_passage, self._without[question.id], tokens, self.options)
        shown = asked.sequences[utility.answer]  # with the first prompt
        return Label(
            question_id=question.id,
            passage_id=candidate.passage_id,
            question=question.text,
            passage=candidate.text,
            answer=question.answers[utility.answer],
            log_likelihood_with=utility.log_likelihood_with,
            log_likelihood_without=utility.log_likelihood_without,
            utility=utility.value,
            answer_tokens=len(shown.answer),
            prompt_tokens=len(shown.prompt),
            truncated=asked.truncated,
            source=candidate.source,
            relevance=candidate.relevance,
            group=question.group,
            run=self.run,
        )


@dataclass(frozen=True)
class _Asked:
    """What the judge is asked about a question and a passage.

    Attributes:
        sequences: of each prompt, one for each answer.
        shape: of a table of them, `[prompts, answers]`.
        truncated: whether the passage was cut.
    """

    sequences: list[TokenSequence]
    shape: tuple[int, int]
    truncated: bool
