"""Texts that are longer than a model's window: it sees their beginning only."""

from __future__ import annotations

from collections.abc import Sequence

from sentence_transformers import SentenceTransformer

from uec_retriever.data.splitting import Window
from uec_retriever.experts.loading import tokenizer_lock

_ENDLESS = 10**9
_SPECIAL = 8  # tokens that a tokenizer adds to a text, at most


def window(model: SentenceTransformer) -> int | None:
    """Tokens that a model sees of a text; None if it sees them all, or does not tell."""
    limit = model.max_seq_length
    return int(limit) if limit and limit < _ENDLESS and callable(model.tokenizer) else None


def document_window(model: SentenceTransformer, prompt: str | None) -> Window | None:
    """What a model sees of a document; None if it sees all of it, or does not tell.

    Args:
        model: a loaded sentence-transformers model.
        prompt: goes before each document.
    """
    limit = window(model)

    def count(text: str) -> int:
        with tokenizer_lock(model):
            return len(model.tokenizer((prompt or "") + text, truncation=False, verbose=False)["input_ids"])

    return None if limit is None else Window(limit, count)


def may_be_cut(texts: Sequence[str], prompt: str, limit: int | None) -> list[int]:
    """Positions of texts whose bytes could be more tokens than a model sees; the others need not be tokenised to tell.

    Args:
        texts: n strings.
        prompt: goes before each of them.
        limit: tokens that the model sees; None for all.
    """
    if limit is None:
        return []
    return [i for i, text in enumerate(texts) if len((prompt + text).encode()) + _SPECIAL > limit]


def truncation_flags(model: SentenceTransformer, texts: Sequence[str], prompt: str | None) -> list[bool]:
    """Whether a model cuts each of n texts; only those are tokenised whose bytes could be too many tokens.

    Args:
        model: a loaded sentence-transformers model.
        texts: n strings.
        prompt: goes before each of them.
    """
    limit, prompt = window(model), prompt or ""
    flags = [False] * len(texts)
    if suspects := may_be_cut(texts, prompt, limit):
        with tokenizer_lock(model):
            ids = model.tokenizer([prompt + texts[i] for i in suspects], truncation=False, verbose=False)
        for i, tokens in zip(suspects, ids["input_ids"], strict=True):
            flags[i] = limit is not None and len(tokens) > limit
    return flags
