"""Texts that are longer than a model's window: it sees their beginning only."""

from __future__ import annotations

from collections.abc import Sequence

from sentence_transformers import SentenceTransformer

from uec_retriever.experts.loading import tokenizer_lock

_ENDLESS = 10**9
_SPECIAL = 8  # tokens that a tokenizer adds to a text, at most


def window(model: SentenceTransformer) -> int | None:
    """Tokens that a model sees of a text; None if it sees them all, or does not tell."""
    limit = model.max_seq_length
    return int(limit) if limit and limit < _ENDLESS and callable(model.tokenizer) else None


def truncation_flags(model: SentenceTransformer, texts: Sequence[str], prompt: str | None) -> list[bool]:
    """Whether a model cuts each of n texts; only those are tokenised whose bytes could be too many tokens.

    Args:
        model: a loaded sentence-transformers model.
        texts: n strings.
        prompt: goes before each of them.
    """
    limit, prompt = window(model), prompt or ""
    if limit is None:
        return [False] * len(texts)
    suspects = [i for i, text in enumerate(texts) if len((prompt + text).encode()) + _SPECIAL > limit]
    flags = [False] * len(texts)
    if suspects:
        with tokenizer_lock(model):
            ids = model.tokenizer([prompt + texts[i] for i in suspects], truncation=False, verbose=False)
        for i, tokens in zip(suspects, ids["input_ids"], strict=True):
            flags[i] = len(tokens) > limit
    return flags
