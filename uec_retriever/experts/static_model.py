"""StaticModelEmbedding: a model of model2vec, which looks token vectors up and averages them."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from uec_retriever.data.splitting import Window
from uec_retriever.experts.head import Role
from uec_retriever.experts.text_embedding import Batch, TextEmbedding
from uec_retriever.experts.truncation import may_be_cut


class StaticModelEmbedding(TextEmbedding):
    """A loaded `model2vec.StaticModel`; safe under threads.

    Args:
        model: the model; nobody changes it any more.
        name: of it, as an index records it.
    """

    costly = False

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        self.name = name
        self._lock = threading.Lock()  # `encode` changes the tokenizer's truncation

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over vectors, weights, tokenizer, normalisation and truncation."""
        with self._lock:
            use = [self.model.tokenizer.to_str(), self.model.normalize, self.model.max_length]
        digest = hashlib.sha256(json.dumps(["model2vec", *use]).encode())
        for array in (self.model.embedding, self.model.weights, self.model.token_mapping):
            if array is not None:
                digest.update(f"{array.shape} {array.dtype}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.model.dim)

    @property
    def window(self) -> Window | None:
        """What the model sees of a document, in tokens and, as it cuts by these first, in characters."""
        limit = self.model.max_length
        return None if limit is None else Window(int(limit), self._count)

    def _count(self, text: str) -> int:
        with self._lock:
            tokens = self.model.tokenizer.encode(text, add_special_tokens=False)
        seen = len(tokens) + sum(len(rest) for rest in tokens.overflowing)
        return int(max(seen, math.ceil(len(text) / self.model.median_token_length)))

    def embed(
        self, texts: Sequence[str], role: Role, *, batch_size: int, prompts: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """Embed texts, a batch at a time.

        Args:
            texts: n >= 1 non-empty strings.
            role: not used: a static model treats queries and documents alike.
            batch_size: texts in one batch.
            prompts: not used: a static model has none.

        Yields:
            Positions of m texts, and their embeddings `[m, D]`, float32; zero for a text of unknown words alone.
        """
        for start in range(0, len(texts), batch_size):
            part = list(texts[start : start + batch_size])
            with self._lock:
                vectors = self.model.encode(part, use_multiprocessing=False)
            yield range(start, start + len(part)), np.asarray(vectors, dtype=np.float32)

    def truncated(self, texts: Sequence[str], role: Role, prompts: Sequence[str] = ()) -> list[bool]:
        """`[n]` whether the model cuts the text."""
        flags, limit = [False] * len(texts), self.model.max_length
        suspects = may_be_cut(texts, "", limit)
        with self._lock:
            tokens = self.model.tokenizer.encode_batch([texts[i] for i in suspects], add_special_tokens=False)
        for i, each in zip(suspects, tokens, strict=True):
            flags[i] = bool(each.overflowing) or len(texts[i]) > limit * self.model.median_token_length
        return flags
