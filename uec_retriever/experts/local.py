"""SentenceTransformerEmbedding: a sentence-transformers model whose last layer is not read, on any of its backends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from sentence_transformers import SentenceTransformer

from uec_retriever.data.splitting import Window
from uec_retriever.experts.fingerprint import model_fingerprint
from uec_retriever.experts.head import Role
from uec_retriever.experts.loading import tokenizer_lock
from uec_retriever.experts.prompts import choose_prompt
from uec_retriever.experts.text_embedding import Batch, TextEmbedding
from uec_retriever.experts.truncation import document_window, truncation_flags

_BATCHES = 4  # that the model sorts by length together


class SentenceTransformerEmbedding(TextEmbedding):
    """A model as it is; safe under threads.

    Args:
        model: loaded, with weights of PyTorch, ONNX or OpenVINO.
        name: hub id or path that it came from.
    """

    costly = False

    def __init__(self, model: SentenceTransformer, name: str) -> None:
        self.model = model
        self.name = name

    @cached_property
    def fingerprint(self) -> str | None:
        """Hash of weights, vocabulary and use; None for weights outside PyTorch."""
        if next(self.model.parameters(), None) is None:
            return None
        return hashlib.sha256(f"identity head of {model_fingerprint(self.model)}".encode()).hexdigest()

    @property
    def dimension(self) -> int | None:
        """D."""
        return self.model.get_embedding_dimension()

    @property
    def window(self) -> Window | None:
        """What the model sees of a document; None if it sees all of it."""
        return document_window(self.model, choose_prompt(self.model, "document"))

    def embed(
        self, texts: Sequence[str], role: Role, *, batch_size: int, prompts: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """Embed texts, some batches at a time.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`; decides the prompt.
            batch_size: texts in one forward pass.
            prompts: names of prompts to prefer to the role's.

        Yields:
            Positions of m texts, and their embeddings `[m, D]`, float32.
        """
        prompt = choose_prompt(self.model, role, prompts) or ""
        for start in range(0, len(texts), _BATCHES * batch_size):
            part = list(texts[start : start + _BATCHES * batch_size])
            with tokenizer_lock(self.model):
                vectors = self.model.encode(
                    part, prompt=prompt, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True
                )
            yield range(start, start + len(part)), np.asarray(vectors, dtype=np.float32)

    def truncated(self, texts: Sequence[str], role: Role, prompts: Sequence[str] = ()) -> list[bool]:
        """`[n]` whether the model cuts the text."""
        return truncation_flags(self.model, texts, choose_prompt(self.model, role, prompts))
