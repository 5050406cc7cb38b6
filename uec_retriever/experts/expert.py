"""Expert: one sentence-transformers model, its last layer and, once fitted, its posterior."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sentence_transformers import SentenceTransformer

from uec_retriever.checks.numbers import check_whole
from uec_retriever.data.texts import check_texts
from uec_retriever.errors import InvalidInputError, ModelMismatchError
from uec_retriever.experts.last_layer import LastLayer
from uec_retriever.experts.linearised import Linearised, LinearisedModel
from uec_retriever.experts.loading import lasting_options, load_model, model_source, short_name
from uec_retriever.experts.reloading import Reloads
from uec_retriever.gaussian import Array, FactoredVariance, GaussianEmbedding, normalise
from uec_retriever.laplace.files import PosteriorHeader, load_posterior
from uec_retriever.laplace.posterior import Posterior

Role = Literal["query", "document", "text"]  # the last: compared with its like, as in STS or clustering
Progress = Callable[[int], None]
PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
    "text": (),
}
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class Encoding:
    """Gaussian embeddings of texts.

    Attributes:
        gaussian: n Gaussians of dimension D with unit means.
        truncated: `[n]` whether the model cut the text to its maximal length.
    """

    gaussian: GaussianEmbedding
    truncated: list[bool]


class Expert(Reloads):
    """An embedding model that says how sure it is; safe under threads.

    Args:
        model: a loaded sentence-transformers model, or one that another expert reads already
            (`Expert.linearised_model`).
        name: hub id or path that it came from.
        label: short name for people; derived from `name` if absent.
        posterior: posterior over the last layer; without one only `linearise` works.
        options: how the model was loaded, so that an index can load it again.

    Raises:
        UnsupportedModelError: naming the module that stands in the way.
        ModelMismatchError: if the posterior is one of another layer.
    """

    def __init__(
        self,
        model: SentenceTransformer | LinearisedModel,
        name: str,
        *,
        label: str | None = None,
        posterior: Posterior | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.linearised_model = model if isinstance(model, LinearisedModel) else LinearisedModel(model)
        self.name = name
        self.label = label or short_name(name)
        self.options = dict(options or {})
        self._check_posterior(posterior)
        self._posterior = posterior

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
        expert = cls(model, model_source(name), label=label, options=lasting_options(model_options))
        return expert.loaded_with(model_options, device=device, trust_remote_code=trust_remote_code)

    @property
    def model(self) -> SentenceTransformer:
        """The sentence-transformers model."""
        return self.linearised_model.model

    @property
    def last_layer(self) -> LastLayer:
        """The last linear layer and the path from it to the embedding."""
        return self.linearised_model.last_layer

    @property
    def dimension(self) -> int:
        """D, after Matryoshka truncation."""
        return self.last_layer.dimension

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the embeddings; see `model_fingerprint`."""
        return self.linearised_model.fingerprint

    @property
    def posterior(self) -> Posterior | None:
        """Over the last layer; another one makes another expert (`with_posterior`)."""
        return self._posterior

    def with_posterior(self, posterior: Posterior | None) -> Self:
        """The same expert with another posterior, or none; it shares the model, and this one stays as it is.

        Raises:
            ModelMismatchError: if the posterior is one of another layer.
        """
        self._check_posterior(posterior)
        other = copy(self)
        other._posterior = posterior
        return other

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
        for name in (*preferred, *PROMPT_NAMES[role], self.model.default_prompt_name):
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
        texts = _check_some(texts, role)
        self.model.eval()  # a training step elsewhere may have switched dropout on
        prompt = self.prompt(role, prompts)
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        parts: list[Linearised] = []
        for start in range(0, len(order), check_whole("batch_size", batch_size, 1)):
            batch = [texts[i] for i in order[start : start + batch_size]]
            parts.append(self.linearised_model.forward(batch, prompt))
            if progress:
                progress(len(batch))
        return Linearised.concatenate(parts)[np.argsort(order)]

    def encode(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        batch_size: int = 32,
        progress: Progress | None = None,
        prompts: Sequence[str] = (),
    ) -> Encoding:
        """Gaussian embeddings: unit means, variances by the posterior.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`; decides the prompt.
            batch_size: texts in one forward pass.
            progress: called with the number of texts done, after each batch.
            prompts: names of prompts to prefer to the role's (see `prompt`).

        Raises:
            InvalidInputError: for a text that cannot be encoded, or no texts.
            NumericalError: if the model yields NaN, infinite or zero vectors.
        """
        texts = _check_some(texts, role)
        gaussians, truncated = [], []
        for start in range(0, len(texts), _CHUNK):
            part = texts[start : start + _CHUNK]
            chunk = self.linearise(part, role, batch_size=batch_size, progress=progress, prompts=prompts)
            gaussians.append(self.gaussian(chunk, first=start))
            truncated += chunk.truncated
        return Encoding(GaussianEmbedding.concatenate(gaussians), truncated)

    def gaussian(self, texts: Linearised, *, first: int = 0) -> GaussianEmbedding:
        """Unit means and their variances: `gamma^2 (g^T (x) I) Cov(W) (g (x) I) / |z|^2` (design, step 1).

        Args:
            texts: n texts that went through the model.
            first: position of the first one, for messages.

        Raises:
            InvalidInputError: if there is no posterior.
            NumericalError: for an embedding that is zero, NaN or infinite.
        """
        if self.posterior is None:
            raise InvalidInputError(f"expert {self.label} has no posterior: fit one first")
        means, square, owner = texts.embeddings.numpy(), texts.gain**2, f"expert {self.label}"
        factors = self.posterior.variance_factors(texts.features) if square.ndim == 1 else None
        if factors is None:  # also with a gain for each text, as after tanh
            dense = square * self.posterior.output_variance(texts.features)
            return normalise(means, dense.numpy(), owner=owner, first=first)
        coefficients, profiles = factors
        kept = FactoredVariance(coefficients.numpy(), (profiles * square).numpy())
        return normalise(means, kept, owner=owner, first=first)

    def _check_posterior(self, posterior: Posterior | None) -> None:
        if posterior is not None and posterior.shape != self.last_layer.shape:
            raise ModelMismatchError(
                f"the posterior is one of a layer of shape {posterior.shape}, but '{self.last_layer.name}' of expert "
                f"{self.label} has {self.last_layer.shape}: fit one for this model"
            )


def attach_posterior(expert: Expert, path: Path) -> tuple[Expert, PosteriorHeader]:
    """An expert with the posterior of a file, and the file's header; the given expert stays as it is.

    Args:
        expert: whose model the posterior was fitted for.
        path: written by `save_posterior`.

    Raises:
        ModelMismatchError: if the file belongs to another model, even one of equal dimension.
        InvalidInputError: if there is no such file, or it is no posterior.
        FormatVersionError: if it has another format version.
        CorruptFileError: if it is damaged or was cut off.
    """
    posterior, header = load_posterior(path)
    check_fingerprint(expert, header.fingerprint, f"the posterior {path} was fitted for {header.model!r}")
    return expert.with_posterior(posterior), header


def check_fingerprint(expert: Expert, fingerprint: str, claim: str) -> None:
    """Refuse a model that is not the one a file or index was made with.

    Args:
        expert: with the model.
        fingerprint: of the model it should be.
        claim: who says so, for the message.

    Raises:
        ModelMismatchError: naming both and the fix.
    """
    if expert.fingerprint != fingerprint:
        raise ModelMismatchError(
            f"{claim}, but {expert.name!r} differs from it in weights, vocabulary, pooling, prompts, truncation or "
            "precision: load the model it was made with, or fit and index anew"
        )


def _check_some(texts: Sequence[str], role: Role) -> list[str]:
    if checked := check_texts(texts, role):
        return checked
    raise InvalidInputError(f"there are no texts to encode as {role}: give at least one")
