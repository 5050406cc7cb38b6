"""Forward passes in which the last layer is read: a model, and what it makes of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import Tensor

from uec_retriever.experts.discovery import find_last_layer
from uec_retriever.experts.fingerprint import model_fingerprint
from uec_retriever.experts.last_layer import Recorder
from uec_retriever.experts.loading import tokenizer_lock


@dataclass(frozen=True, eq=False)
class Linearised:
    """What forward passes say of n texts, in their order; on the CPU, whatever device the model is on.

    Attributes:
        features: g `[n, I]`, dense or sparse COO, float32.
        embeddings: z `[n, D]` before L2 normalisation, float32.
        gain: gamma, `[D]` or `[n, D]`, float32.
        truncated: `[n]` whether the model cut the text to its maximal length.
    """

    features: Tensor
    embeddings: Tensor
    gain: Tensor
    truncated: list[bool]

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[np.integer[Any]]) -> Linearised:
        """The chosen texts, in the order of `rows`."""
        chosen = torch.from_numpy(np.arange(len(self))[rows].copy())
        return Linearised(
            self.features.index_select(0, chosen),
            self.embeddings[chosen],
            self.gain if self.gain.ndim == 1 else self.gain[chosen],
            [self.truncated[i] for i in chosen.tolist()],
        )

    @staticmethod
    def concatenate(parts: Sequence[Linearised]) -> Linearised:
        """Join forward passes of one model, at least one, in order."""
        gains = [part.gain for part in parts]
        return Linearised(
            torch.cat([part.features for part in parts]),
            torch.cat([part.embeddings for part in parts]),
            gains[0] if gains[0].ndim == 1 else torch.cat(gains),
            [flag for part in parts for flag in part.truncated],
        )


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
