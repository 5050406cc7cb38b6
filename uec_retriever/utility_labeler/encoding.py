"""From texts to tokens: question and answer stay whole, a passage too long for the context is cut and counted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from uec_retriever.errors import InvalidInputError, ModelNotFoundError
from uec_retriever.utility_labeler.prompts import Prompt

_PROBE = "The QUICK brown fox, naïve façade — 42 tests; don't_stop!"


@dataclass(frozen=True)
class Encoded:
    """A prompt in tokens.

    Attributes:
        ids: tokens up to the answer, at least one.
        truncated: whether the passage was cut.
    """

    ids: tuple[int, ...]
    truncated: bool


class PromptEncoder:
    """Tokens of a prompt's texts.

    Args:
        tokenizer: of transformers.
        prompt: the template.
        context: tokens that prompt and answer may have together.

    Raises:
        InvalidInputError: for a chat prompt without a chat template.
    """

    def __init__(self, tokenizer: Any, prompt: Prompt, context: int) -> None:
        if prompt.chat and not getattr(tokenizer, "chat_template", None):
            raise InvalidInputError(
                "the model's tokenizer has no chat template: use a plain prompt (chat=False, --prompt-style plain)"
            )
        self.prompt = prompt
        self.context = context
        self._tokenizer = tokenizer
        self._beginning = () if prompt.chat else beginning_tokens(tokenizer)
        self._offsets = lru_cache(maxsize=256)(self._token_ends)

    def answer(self, answer: str) -> tuple[int, ...]:
        """Tokens of an answer.

        Raises:
            InvalidInputError: if the tokenizer makes nothing of it.
        """
        ids = self._ids(self.prompt.answer_prefix + answer)
        if not ids:
            raise InvalidInputError(f"the answer {answer[:40]!r} has no tokens: drop the question")
        return ids

    def encode(self, question: str, passage: str | None, longest_answer: int) -> Encoded:
        """Tokens of a prompt.

        Args:
            question: non-empty; never cut.
            passage: cut at the end of a token if need be; None for the prompt without one.
            longest_answer: tokens to leave room for.

        Raises:
            InvalidInputError: if question and answer alone do not fit into the context.
        """
        room = self.context - longest_answer
        ids = self._prompt(question, passage)
        if len(ids) <= room:
            return Encoded(ids, False)
        bare = len(self._prompt(question, None if passage is None else ""))
        if passage is None or bare >= room:
            raise InvalidInputError(
                f"question ({question[:40]!r}...) and answer have {bare + longest_answer} tokens with the prompt, "
                f"and a passage needs room, but the context holds {self.context}: shorten them, or allow more "
                "(max_tokens, --max-tokens) if the model can"
            )
        ends = self._offsets(passage)
        keep = min(room - bare, len(ends) - 1)
        while keep > 0:
            ids = self._prompt(question, passage[: ends[keep - 1]])
            if len(ids) <= room:
                return Encoded(ids, True)
            keep -= len(ids) - room
        return Encoded(self._prompt(question, ""), True)

    def _prompt(self, question: str, passage: str | None) -> tuple[int, ...]:
        text = self.prompt.render(question, passage)
        if self.prompt.chat:
            text = chat_text(self._tokenizer, text, self.prompt.system)
        return (*self._beginning, *self._ids(text))

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _token_ends(self, passage: str) -> list[int]:
        """Where in the text each token ends; evenly spread for tokenizers that cannot tell."""
        if getattr(self._tokenizer, "is_fast", False):
            encoded = self._tokenizer(
                passage, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            return [end for _, end in encoded["offset_mapping"]]
        number = max(1, len(self._ids(passage)))
        return [len(passage) * (i + 1) // number for i in range(number)]


def chat_text(tokenizer: Any, text: str, system: str | None = None) -> str:
    """A text as a user's turn of the model's chat, up to the answer."""
    turns = [{"role": "user", "content": text}]
    if system is not None:
        turns.insert(0, {"role": "system", "content": system})
    return str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


def beginning_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Special tokens that the tokenizer puts before a text, e.g. BOS."""
    bare = list(tokenizer(_PROBE, add_special_tokens=False)["input_ids"])
    full = list(tokenizer(_PROBE)["input_ids"])
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return tuple(full[:start])
    return ()


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """SHA-256 (hex) over vocabulary, chat template and the tokens of a probe."""
    vocabulary = sorted(tokenizer.get_vocab().items())
    template = getattr(tokenizer, "chat_template", None)
    ids = list(tokenizer(_PROBE)["input_ids"])
    return hashlib.sha256(repr((ids, template, vocabulary)).encode()).hexdigest()


def load_tokenizer(name: str, gguf_file: str | None, trust_remote_code: bool) -> Any:
    """The tokenizer of a model that runs on a server.

    Raises:
        ModelNotFoundError: if it cannot be loaded.
    """
    from transformers import AutoTokenizer

    options = {} if gguf_file is None else {"gguf_file": gguf_file}
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelNotFoundError(
            f"cannot load the tokenizer {name!r} of the model on the server: name the hub id or folder that has it "
            f"(tokenizer=..., --tokenizer): {str(error).splitlines()[0]}"
        ) from error
