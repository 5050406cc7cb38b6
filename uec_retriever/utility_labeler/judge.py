"""What every judge can do, whether its model is here or on a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Dtype = Literal["auto", "float32", "bfloat16", "float16"]  # precision of a local judge
Quantize = Literal["none", "int8"]


@dataclass(frozen=True)
class TokenSequence:
    """A prompt and the answer whose likelihood is asked for, in tokens.

    Attributes:
        prompt: at least one token.
        answer: at least one token.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


class Judge(Protocol):
    """A causal language model that says how likely answers are."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers that the model was trained with."""

    @property
    def context(self) -> int:
        """Tokens it can read at once."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what makes its likelihoods: weights, precision, tokenizer."""

    @property
    def description(self) -> dict[str, Any]:
        """For manifests: name, precision and the like; no secrets."""

    def log_likelihoods(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """Log-likelihood of each whole answer given its prompt: a sum over its tokens, nats, <= 0."""

    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[str]:
        """The most likely continuation of each prompt (greedy), as text."""
