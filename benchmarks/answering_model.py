"""What a local language model tells of a question and its passages: how likely its own answer is, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uec_retriever.utility_labeler.encoding import PromptEncoder
from uec_retriever.utility_labeler.judge import Judge, TokenSequence
from uec_retriever.utility_labeler.prompts import Prompt

_BEGINNING = "Passages:\n{passage}\n\nQuestion: {question}\n\n"  # what both prompts share is computed once
_CHAT = (
    "Answer the question briefly, from the passages.",
    "Is the answer to the question in the passages? Answer yes or no only.",
)
_PLAIN = ("Answer:", "Is the answer to the question in the passages, yes or no? Answer:")


@dataclass(frozen=True)
class Question:
    """A question, and the texts that a search found for it, best first."""

    text: str
    passages: tuple[str, ...]


@dataclass(frozen=True)
class Answered:
    """An answer of the model's own, and its signals; more speaks for evidence in the passages.

    Attributes:
        text: the most likely answer (greedy); may be empty.
        mean: log-probability of a token of it, nats, <= 0; of the end, if it is empty.
        total: the sum instead of the mean.
        gain: the mean less that of the same answer to the question alone, without passages.
        verdict: log odds of yes against no, asked whether the answer is in the passages.
    """

    text: str
    mean: float
    total: float
    gain: float
    verdict: float


class AnsweringModel:
    """A causal language model that answers from passages.

    Args:
        judge: the model; its chat template is used if it has one.
        passage_tokens: that each passage is cut to.
        new_tokens: of an answer, at most.
    """

    def __init__(self, judge: Judge, *, passage_tokens: int, new_tokens: int) -> None:
        self._judge, self._passage_tokens, self._new_tokens = judge, passage_tokens, new_tokens
        self.chat = bool(getattr(judge.tokenizer, "chat_template", None))
        answer, verdict = (
            PromptEncoder(judge.tokenizer, _prompt(end, self.chat), judge.context)
            for end in (_CHAT if self.chat else _PLAIN)
        )
        self._answer, self._verdict = answer, verdict
        self._yes, self._no = (verdict.answer(word)[:1] for word in ("Yes", "No"))

    def answers(self, questions: Sequence[Question]) -> list[str]:
        """The model's own answers; a model without a chat goes on after its answer, so that is its first line."""
        prompts = [self._encode(self._answer, question) for question in questions]
        texts = [text.strip() for text in self._judge.generate(prompts, self._new_tokens)]
        return texts if self.chat else [text.split("\n")[0].strip() for text in texts]

    def verdicts(self, questions: Sequence[Question]) -> list[float]:
        """Log odds of yes against no, asked whether the answer is in the passages."""
        found = self._judge.log_likelihoods([s for question in questions for s in self._replies(question)])
        return [yes - no for yes, no in np.reshape(found, (-1, 2)).tolist()]

    def ask(self, questions: Sequence[Question]) -> list[Answered]:
        """Answers and signals of any number of questions."""
        texts, sequences = self.answers(questions), []
        for question, text in zip(questions, texts, strict=True):
            tokens = self._answer.answer(text) if text else (int(self._judge.tokenizer.eos_token_id),)
            prompts = self._encode(self._answer, question), self._encode(self._answer, question, alone=True)
            sequences += [*(TokenSequence(each, tokens) for each in prompts), *self._replies(question)]
        found = np.reshape(self._judge.log_likelihoods(sequences), (-1, 4)).tolist()
        return [
            Answered(text, own / length, own, (own - alone) / length, yes - no)
            for text, length, (own, alone, yes, no) in zip(
                texts, (len(each.answer) for each in sequences[::4]), found, strict=True
            )
        ]

    def tokens(self, question: Question) -> int:
        """Of the prompt for an answer."""
        return len(self._encode(self._answer, question))

    def _replies(self, question: Question) -> list[TokenSequence]:
        prompt = self._encode(self._verdict, question)
        return [TokenSequence(prompt, word) for word in (self._yes, self._no)]

    def _encode(self, encoder: PromptEncoder, question: Question, *, alone: bool = False) -> tuple[int, ...]:
        numbered = (f"[{place}] {self._cut(text)}" for place, text in enumerate(question.passages, 1))
        return encoder.encode(question.text, None if alone else "\n".join(numbered), self._new_tokens).ids

    def _cut(self, text: str) -> str:
        tokenizer = self._judge.tokenizer
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(ids) <= self._passage_tokens:
            return text
        return str(tokenizer.decode(ids[: self._passage_tokens]))


def _prompt(end: str, chat: bool) -> Prompt:
    alone = "Question: {question}\n\n"
    return Prompt(_BEGINNING + end, alone + end, chat=chat, answer_prefix="" if chat else " ")
