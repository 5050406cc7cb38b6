"""From pairs to labels: encode, ask the judge once for everything, combine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

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
        self._without: dict[str, dict[tuple[int, int], float]] = {}
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

    def prepare(self, questions: Sequence[Question]) -> None:
        """Compute what questions' answers are worth without a passage, ahead of `label`.

        Args:
            questions: those already known are passed over.
        """
        fresh = list({q.id: q for q in questions if q.id not in self._without}.values())
        sequences: list[TokenSequence] = []
        for question in fresh:
            self._add(sequences, question, self._baseline)
        values = iter(zip(sequences, self.judge.log_likelihoods(sequences), strict=True))
        for question in fresh:
            self._keep(values, question)

    def label(self, pairs: Sequence[Pair]) -> list[Label]:
        """Labels of pairs, in their order.

        Raises:
            NumericalError: if the model gives a likelihood that is not finite.
            InvalidInputError: if a question does not fit into the context.
        """
        questions = {p.question.id: p.question for p in pairs}
        fresh = [q for q in questions.values() if q.id not in self._without]
        sequences: list[TokenSequence] = []
        truncated: list[bool] = []
        for pair in pairs:
            cut = self._add(sequences, pair.question, pair.candidate.text)
            truncated.append(cut)
        for question in fresh:
            self._add(sequences, question, self._baseline)
        values = iter(zip(sequences, self.judge.log_likelihoods(sequences), strict=True))
        scored = [self._take(values, pair.question) for pair in pairs]
        for question in fresh:
            self._keep(values, question)
        return [
            self._combine(pair, found, cut) for pair, found, cut in zip(pairs, scored, truncated, strict=True)
        ]

    @property
    def _baseline(self) -> str | None:
        return self.options.neutral_passage if self.options.baseline == "neutral" else None

    def _keep(self, values: Any, question: Question) -> None:
        self._without[question.id] = {key: value for key, (_, value) in self._take(values, question).items()}

    def _answers(self, question: Question) -> tuple[str, ...]:
        return question.answers[:1] if self.options.answers == "first" else question.answers

    def _keys(self, question: Question) -> list[tuple[int, int]]:
        return list(product(range(len(self.prompts)), range(len(self._answers(question)))))

    def _add(self, sequences: list[TokenSequence], question: Question, passage: str | None) -> bool:
        """Append the sequences of all prompts and answers; whether the passage was cut."""
        truncated = False
        for encoder in self._encoders:
            answers = [encoder.answer(answer) for answer in self._answers(question)]
            prompt = encoder.encode(question.text, passage, max(map(len, answers)))
            truncated |= prompt.truncated
            sequences += [TokenSequence(prompt.ids, answer) for answer in answers]
        return truncated

    def _take(self, values: Any, question: Question) -> dict[tuple[int, int], tuple[TokenSequence, float]]:
        return {key: next(values) for key in self._keys(question)}

    def _combine(
        self, pair: Pair, found: dict[tuple[int, int], tuple[TokenSequence, float]], truncated: bool
    ) -> Label:
        question, candidate = pair.question, pair.candidate
        without = self._without[question.id]
        shape = (len(self.prompts), -1)
        utility = combine(
            np.array([value for _, value in found.values()]).reshape(shape),
            np.array([without[key] for key in found]).reshape(shape),
            np.array([len(sequence.answer) for sequence, _ in found.values()]).reshape(shape),
            self.options,
        )
        shown = found[0, utility.answer][0]
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
            truncated=truncated,
            source=candidate.source,
            relevance=candidate.relevance,
            group=question.group,
            run=self.run,
        )
