"""A model whose last layer is read in its forward passes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device

from uec_retriever.data.progress import Progress
from uec_retriever.data.splitting import Window
from uec_retriever.experts.discovery import find_last_layer
from uec_retriever.experts.fingerprint import model_fingerprint
from uec_retriever.experts.head import Linearised, Role
from uec_retriever.experts.last_layer import Recorder
from uec_retriever.experts.loading import tokenizer_lock
from uec_retriever.experts.prompts import choose_prompt
from uec_retriever.experts.truncation import document_window


class LinearisedModel:
    """A model whose last layer is read in its forward passes; safe under threads.

    Its hooks are removed from the model when the last expert that uses this object is gone.

    Args:
        model: a loaded sentence-transformers model.

    Raises:
        UnsupportedModelError: naming the module that stands in the way.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        self.model = model
        self.last_layer = find_last_layer(model)
        self._recorder = Recorder(self.last_layer)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has a model of its own, with hooks of its own."""
        return type(self), (self.model,)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides the embeddings; see `model_fingerprint`."""
        return model_fingerprint(self.model)

    @property
    def layer(self) -> str:
        """Name of the last layer within the model."""
        return self.last_layer.name

    @property
    def shape(self) -> tuple[int, int]:
        """(D, I) of the last layer."""
        return self.last_layer.shape

    @property
    def squared_norm(self) -> float:
        """|W|^2 of the last layer."""
        return float(self.last_layer.weight.detach().cpu().double().pow(2).sum())

    @property
    def window(self) -> Window | None:
        """What the model sees of a document; None if it sees all of it."""
        return document_window(self.model, choose_prompt(self.model, "document"))

    def linearise(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        batch_size: int,
        progress: Progress | None,
        prompts: Sequence[str],
    ) -> Linearised:
        """Embeddings and last-layer features, from one forward pass for each batch of texts of like length.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`; decides the prompt.
            batch_size: texts in one forward pass, at least 1.
            progress: called with the number of texts done, after each batch.
            prompts: names of prompts to prefer to the role's.
        """
        self.model.eval()  # a training step elsewhere may have switched dropout on
        prompt = choose_prompt(self.model, role, prompts)
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        parts: list[Linearised] = []
        for start in range(0, len(order), batch_size):
            batch = [texts[i] for i in order[start : start + batch_size]]
            parts.append(self.forward(batch, prompt))
            if progress:
                progress(len(batch))
        joined = Linearised.concatenate(parts)
        return joined if len(order) == 1 else joined[np.argsort(order)]

    @torch.inference_mode(False)  # weights of the pooling come from autograd
    @torch.no_grad()
    def forward(self, texts: list[str], prompt: str | None) -> Linearised:
        """One forward pass.

        Args:
            texts: n >= 1 non-empty strings, one batch.
            prompt: goes before each of them.
        """
        with tokenizer_lock(self.model):
            features = self.model.preprocess(texts, prompt=prompt)
            truncated = self._truncation_flags(texts, features, prompt)
        with self._recorder.capture() as capture:
            self.model(batch_to_device(features, self.model.device))
        assert capture.embedding is not None
        return Linearised(
            features=self.last_layer.features(capture).cpu(),
            embeddings=capture.embedding[:, : self.last_layer.dimension].float().cpu(),
            gain=self.last_layer.gain(capture),
            truncated=truncated,
        )

    def _truncation_flags(self, texts: list[str], features: dict[str, Any], prompt: str | None) -> list[bool]:
        """A text at the maximal length is tokenised again to see whether it was longer."""
        limit = self.model.max_seq_length
        if limit is None or "attention_mask" not in features:
            return [False] * len(texts)
        full: list[bool] = (features["attention_mask"].sum(1) >= limit).tolist()
        if not any(full):
            return full
        suspects = [(prompt or "") + text for text, flag in zip(texts, full, strict=True) if flag]
        lengths = iter(self.model.tokenizer(suspects, truncation=False, verbose=False)["input_ids"])
        return [flag and len(next(lengths)) > limit for flag in full]
