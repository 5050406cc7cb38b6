"""Expert: one sentence-transformers model, its last layer and, once fitted, its posterior."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import Tensor

from uec_retriever.data.texts import check_texts
from uec_retriever.errors import InvalidInputError, NumericalError
from uec_retriever.experts.discovery import find_last_layer
from uec_retriever.experts.fingerprint import model_fingerprint
from uec_retriever.experts.loading import load_model, resolved
from uec_retriever.gaussian import Array, GaussianEmbedding, normalise
from uec_retriever.laplace.posterior import Posterior

Role = Literal["query", "document", "text"]  # the last: compared with its like, as in STS or clustering
Progress = Callable[[int], None]
_PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
    "text": (),
}
_CHUNK = 512
_NOT_RECORDED = {"token", "use_auth_token", "cache_folder", "cache_dir", "local_files_only"}


@dataclass(frozen=True, eq=False)
class Linearised:
    """One forward pass over n texts, in their order; on the CPU, whatever device the model is on.

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


@dataclass(frozen=True, eq=False)
class Encoding:
    """Gaussian embeddings of texts.

    Attributes:
        gaussian: n Gaussians of dimension D with unit means.
        truncated: `[n]` whether the model cut the text to its maximal length.
    """

    gaussian: GaussianEmbedding
    truncated: list[bool]


class Expert:
    """An embedding model that says how sure it is.

    Safe under threads: features are captured per call.

    Args:
        model: a loaded sentence-transformers model.
        name: hub id or path that it came from.
        label: short name for people; derived from `name` if absent.
        posterior: posterior over the last layer; without one only `linearise` works.
        options: how the model was loaded, so that an index can load it again.

    Raises:
        UnsupportedModelError: naming the module that stands in the way.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        name: str,
        *,
        label: str | None = None,
        posterior: Posterior | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.name = name
        self.label = label or _label(name)
        self.posterior = posterior
        self.options = dict(options or {})
        self.last_layer = find_last_layer(model)
        self._tokenizing = threading.Lock()  # fast tokenizers are not safe under threads

    @classmethod
    def load(
        cls,
        name: str,
        *,
        label: str | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        **model_options: Any,
    ) -> Expert:
        """Load a model by hub id or path.

        Args:
            name: hub id or folder.
            label: short name for people.
            device: torch device; the library's choice if absent.
            trust_remote_code: run code that comes with the model. Off unless you say so.
            **model_options: passed to `SentenceTransformer`, e.g. `revision`, `prompts`,
                `truncate_dim`, `model_kwargs`.

        Raises:
            ModelNotFoundError: if it cannot be loaded.
            UnsupportedModelError: if its last layer cannot be linearised.
        """
        model = load_model(name, device=device, trust_remote_code=trust_remote_code, **model_options)
        return cls(model, resolved(name), label=label, options=_recorded(model_options))

    @property
    def dimension(self) -> int:
        """D, after Matryoshka truncation."""
        return self.last_layer.dimension

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides the embeddings; see `model_fingerprint`."""
        return model_fingerprint(self.model)

    @property
    def variance_basis(self) -> Array:
        """`[r, D]` basis of its variances, float32 (see `laplace.basis`)."""
        if self.posterior is None or self.posterior.basis is None:
            raise InvalidInputError(f"expert {self.label} has no calibrated posterior: fit one first")
        return self.posterior.basis.numpy()

    def prompt(self, role: Role, preferred: Sequence[str] = ()) -> str | None:
        """The prompt that goes before texts of a role, as `encode_query` / `encode_document` / `encode` choose.

        Args:
            role: of the texts.
            preferred: names of prompts that go before the role's own, where the model has them.
        """
        prompts = self.model.prompts
        for name in (*preferred, *_PROMPT_NAMES[role], self.model.default_prompt_name):
            if name is not None and name in prompts:
                return prompts[name] or None
        return None

    def linearise(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        batch_size: int = 32,
        progress: Progress | None = None,
        prompts: Sequence[str] = (),
    ) -> Linearised:
        """Embeddings and last-layer features of texts, from one forward pass.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`; decides the prompt.
            batch_size: texts in one forward pass.
            progress: called with the number of texts done, after each batch.
            prompts: names of prompts to prefer to the role's (see `prompt`).

        Raises:
            InvalidInputError: for a text that cannot be encoded, or no texts.
        """
        texts = _checked(texts, role)
        self.model.eval()  # a training step elsewhere may have switched dropout on
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        parts: list[Linearised] = []
        for start in range(0, len(order), batch_size):
            batch = [texts[i] for i in order[start : start + batch_size]]
            parts.append(self._forward(batch, self.prompt(role, prompts)))
            if progress:
                progress(len(batch))
        if len(parts) == 1 and len(texts) == 1:
            return parts[0]
        back = torch.tensor(np.argsort(order))
        gains = [p.gain for p in parts]
        truncated = [flag for part in parts for flag in part.truncated]
        return Linearised(
            features=torch.cat([p.features for p in parts]).index_select(0, back),
            embeddings=torch.cat([p.embeddings for p in parts])[back],
            gain=gains[0] if gains[0].ndim == 1 else torch.cat(gains)[back],
            truncated=[truncated[i] for i in back.tolist()],
        )

    def encode(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        batch_size: int = 32,
        progress: Progress | None = None,
        prompts: Sequence[str] = (),
    ) -> Encoding:
        """Gaussian embeddings: unit means, variances by the posterior (arguments as `linearise`).

        Raises:
            InvalidInputError: for a text that cannot be encoded, or no texts.
            NumericalError: if the model yields NaN, infinite or zero vectors.
        """
        texts = _checked(texts, role)
        gaussians, truncated = [], []
        for start in range(0, len(texts), _CHUNK):
            chunk = self.linearise(
                texts[start : start + _CHUNK],
                role,
                batch_size=batch_size,
                progress=progress,
                prompts=prompts,
            )
            gaussians.append(self.gaussian(chunk, first=start))
            truncated += chunk.truncated
        return Encoding(GaussianEmbedding.concatenate(gaussians), truncated)

    def gaussian(self, texts: Linearised, *, first: int = 0) -> GaussianEmbedding:
        """Unit means and their variances; `first` is the position of the first text, for messages.

        `Var(z) = gamma^2 (g^T (x) I) Cov(W) (g (x) I)`, divided by |z|^2 (design, step 1).
        """
        if self.posterior is None:
            raise InvalidInputError(f"expert {self.label} has no posterior: fit one first")
        norms = texts.embeddings.norm(dim=1)
        bad = torch.nonzero(~torch.isfinite(norms) | (norms == 0))
        if len(bad):
            row = int(bad[0])
            raise NumericalError(
                f"expert {self.label}: text {first + row} has a zero, NaN or infinite embedding: "
                "drop the text, or load the model in float32",
                position=first + row,
            )
        variance = texts.gain**2 * self.posterior.output_variance(texts.features)
        return normalise(texts.embeddings.numpy(), variance.numpy())

    @torch.inference_mode(False)  # weights of the pooling come from autograd
    @torch.no_grad()
    def _forward(self, batch: list[str], prompt: str | None) -> Linearised:
        with self._tokenizing:
            features = self.model.preprocess(batch, prompt=prompt)
            truncated = self._truncated(batch, features, prompt)
        with self.last_layer.capture() as capture:
            self.model(batch_to_device(features, self.model.device))
        assert capture.embedding is not None
        return Linearised(
            features=self.last_layer.features(capture).cpu(),
            embeddings=capture.embedding[:, : self.dimension].float().cpu(),
            gain=self.last_layer.gain(capture),
            truncated=truncated,
        )

    def _truncated(self, batch: list[str], features: dict[str, Any], prompt: str | None) -> list[bool]:
        """A text at the maximal length is tokenised again to see whether it was longer."""
        limit = self.model.max_seq_length
        if limit is None or "attention_mask" not in features:
            return [False] * len(batch)
        full: list[bool] = (features["attention_mask"].sum(1) >= limit).tolist()
        if not any(full):
            return full
        suspects = [(prompt or "") + text for text, flag in zip(batch, full, strict=True) if flag]
        lengths = iter(self.model.tokenizer(suspects, truncation=False, verbose=False)["input_ids"])
        return [flag and len(next(lengths)) > limit for flag in full]


def _checked(texts: Sequence[str], role: Role) -> list[str]:
    checked = check_texts(texts, role)
    if not checked:
        raise InvalidInputError(f"there are no texts to encode as {role}: give at least one")
    return checked


def _recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that an index may keep: no secrets, nothing that only holds on this machine."""
    return {
        key: _recorded(value) if isinstance(value, Mapping) else value
        for key, value in options.items()
        if key not in _NOT_RECORDED
    }


def _label(name: str) -> str:
    parts = [p for p in re.split(r"[/\\]", name) if p]
    return parts[-1] if parts else name
