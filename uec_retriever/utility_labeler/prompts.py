"""What the judge reads: prompt templates, chat or plain, with the passage first so that questions share it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from uec_retriever.data.rows import FINITE_ROW, read_row
from uec_retriever.errors import InvalidInputError

_PLACE = re.compile(r"\{(passage|question)\}")


@dataclass(frozen=True)
class Prompt:
    """A template; `{passage}` and `{question}` are filled in, whatever braces the texts hold.

    Put what all questions share first and the question last: equal beginnings are computed once.

    Attributes:
        with_passage: has both places.
        without_passage: has `{question}` only.
        chat: wrap it as a user's turn with the model's chat template.
        system: a system turn before it (chat only).
        answer_prefix: stands between prompt and answer, e.g. a space after `Answer:`.
    """

    __pydantic_config__ = FINITE_ROW

    with_passage: str
    without_passage: str
    chat: bool = False
    system: str | None = None
    answer_prefix: str = " "

    def __post_init__(self) -> None:
        for name, wanted in (
            ("with_passage", {"passage", "question"}),
            ("without_passage", {"question"}),
        ):
            if set(_PLACE.findall(getattr(self, name))) != wanted:
                places = " and ".join(f"{{{place}}}" for place in sorted(wanted))
                raise InvalidInputError(f"the prompt's {name!r} must have {places}, and no other place")
        if self.system is not None and not self.chat:
            raise InvalidInputError(
                "a system turn needs a chat prompt: set chat, or put it into the templates"
            )

    def render(self, question: str, passage: str | None) -> str:
        """The filled template, before any chat template.

        Args:
            question: non-empty.
            passage: may be empty; None for the template without a passage.
        """
        return fill(self.without_passage if passage is None else self.with_passage, question, passage)

    def to_dict(self) -> dict[str, Any]:
        """For manifest and fingerprint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Prompt:
        """A prompt from JSON.

        Raises:
            InvalidInputError: for unknown or missing keys, wrong types or places.
        """
        return read_row(cls, dict(row))


def fill(template: str, question: str | None, passage: str | None) -> str:
    """A template with its places filled, once and for all: braces in the texts are texts."""
    texts = {"question": question, "passage": passage}
    return _PLACE.sub(lambda match: str(texts[match[1]]), template)


PLAIN = (
    Prompt("Passage: {passage}\n\nQuestion: {question}\nAnswer:", "Question: {question}\nAnswer:"),
    Prompt(
        "Read this text.\n{passage}\n\nAccording to it, {question}\nThe answer is:",
        "{question}\nThe answer is:",
    ),
    Prompt("Context: {passage}\n\nQ: {question}\nA:", "Q: {question}\nA:"),
)
CHAT = (
    Prompt(
        "Answer the question with the help of the passage.\n\nPassage: {passage}\n\nQuestion: {question}",
        "Answer the question.\n\nQuestion: {question}",
        chat=True,
        answer_prefix="",
    ),
    Prompt(
        "Here is a text.\n{passage}\n\nAnswer briefly: {question}",
        "Answer briefly: {question}",
        chat=True,
        answer_prefix="",
    ),
    Prompt(
        "Context:\n{passage}\n\nUse the context to reply.\nQ: {question}",
        "Reply to the question.\nQ: {question}",
        chat=True,
        answer_prefix="",
    ),
)


def default_prompts(*, chat: bool, paraphrases: int = 1) -> Sequence[Prompt]:
    """The first templates of ours.

    Args:
        chat: for models with a chat template.
        paraphrases: how many, 1 to 3; likelihoods are averaged over them.

    Raises:
        InvalidInputError: for another number.
    """
    prompts = CHAT if chat else PLAIN
    if not 1 <= paraphrases <= len(prompts):
        raise InvalidInputError(
            f"there are 1 to {len(prompts)} paraphrases, not {paraphrases}: give prompts of your own"
        )
    return prompts[:paraphrases]
