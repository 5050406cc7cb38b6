"""Expert: an embedding, what its features are and, once fitted, its posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sentence_transformers import SentenceTransformer

from uec_retriever.checks.numbers import check_whole
from uec_retriever.data.progress import Progress
from uec_retriever.data.texts import check_texts
from uec_retriever.errors import InvalidInputError, ModelMismatchError
from uec_retriever.experts.adapters import OBJECT, embedding_of
from uec_retriever.experts.embedding_cache import EmbeddingCache
from uec_retriever.experts.head import Head, Linearised, Role, counting_from
from uec_retriever.experts.identity import IdentityHead
from uec_retriever.experts.last_layer import LastLayer
from uec_retriever.experts.linearised import LinearisedModel
from uec_retriever.experts.loading import lasting_options, short_name
from uec_retriever.experts.local import SentenceTransformerEmbedding
from uec_retriever.experts.opening import head_of, load_head, model_name
from uec_retriever.experts.reloading import Reloads
from uec_retriever.gaussian import Array, FactoredVariance, GaussianEmbedding, normalise
from uec_retriever.laplace.posterior import Posterior

_CHUNK = 512
ExpertLike = Any  # an Expert, a name as `Expert.load` takes it, or whatever `Expert.of` takes


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
        model: a loaded sentence-transformers model, whose last layer is read if it can be reached, or a head.
        name: hub id or path that it came from.
        label: short name for people; derived from `name` if absent.
        posterior: posterior over the last layer, or the identity head; without one only `linearise` works.
        options: how the model was loaded, so that an index can load it again.

    Raises:
        ModelMismatchError: if the posterior is one of another layer.
    """

    def __init__(
        self,
        model: SentenceTransformer | Head,
        name: str,
        *,
        label: str | None = None,
        posterior: Posterior | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.head: Head = head_of(model, name) if isinstance(model, SentenceTransformer) else model
        self.name, self.label = name, label or short_name(name)
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
        """Load a model by name.

        Args:
            name: hub id or folder of a sentence-transformers model; or `onnx:MODEL` for its ONNX file, `openai:MODEL` for a
                server that speaks OpenAI's `/v1/embeddings` (`openai:MODEL@URL` says where it is), `fastembed:MODEL`,
                `model2vec:MODEL`.
            label: short name for people.
            device: torch device, of sentence-transformers alone; the library's choice if absent.
            trust_remote_code: run code that comes with the model. Off unless you say so.
            **model_options: passed to `SentenceTransformer`, e.g. `revision`, `prompts`, `backend`, `model_kwargs`, beside
                `head`: `last_layer` or `identity`, the last layer where it can be reached if absent; to `OnnxEmbedding`, e.g.
                `file_name`; to `EndpointEmbedding`, e.g. `base_url`, `dimensions`; or to the other libraries.

        Raises:
            InvalidInputError: for an option that there is none of.
            ModelNotFoundError: if it cannot be loaded.
            UnsupportedModelError: if the last layer is asked for and cannot be linearised.
            MissingExtraError: if the library of the provider is not installed.
        """
        head, options = load_head(
            name, device=device, trust_remote_code=trust_remote_code, options=model_options
        )
        expert = cls(head, model_name(name), label=label, options=lasting_options(options))
        return expert.loaded_with(options, device=device, trust_remote_code=trust_remote_code)

    @classmethod
    def of(cls, source: Any, *, name: str | None = None, label: str | None = None) -> Expert:
        """An expert of whatever embeds texts, by an identity head.

        An index cannot load it again: whoever opens the index gives it, `Engine.open(path, experts={label: source})`.

        Args:
            source: a LangChain `Embeddings`, a LlamaIndex `BaseEmbedding`, a function of a list of texts that gives
                `[n, D]` numbers, an object with `encode(texts)`, or a hub id, a folder or an expert, which stays as it is.
            name: of the model; found in the source if None.
            label: short name for people; derived from `name` if None.

        Raises:
            InvalidInputError: for anything else.
        """
        if isinstance(source, Expert):
            return source
        if isinstance(source, str | Path):
            return cls.load(str(source), label=label)
        if isinstance(source, SentenceTransformer):
            name = name or str(source.model_card_data.base_model or "sentence-transformers")
            return cls(source, name, label=label)
        embedding = embedding_of(source, name and OBJECT + name)
        label, options = label or (short_name(name) if name else None), embedding.options
        expert = cls(IdentityHead(embedding), embedding.name, label=label, options=options)
        return expert if options is None else expert.loaded_with(options)

    @property
    def model(self) -> SentenceTransformer:
        """The sentence-transformers model.

        Raises:
            InvalidInputError: for an expert of something else.
        """
        head = self.head
        if isinstance(head, LinearisedModel):
            return head.model
        if isinstance(head, IdentityHead) and isinstance(head.embedding, SentenceTransformerEmbedding):
            return head.embedding.model
        raise InvalidInputError(f"expert {self.label} is no sentence-transformers model")

    @property
    def last_layer(self) -> LastLayer:
        """The last linear layer and the path from it to the embedding.

        Raises:
            InvalidInputError: for an expert with an identity head.
        """
        if isinstance(self.head, LinearisedModel):
            return self.head.last_layer
        raise InvalidInputError(f"expert {self.label} has an identity head: its last layer is not read")

    @property
    def dimension(self) -> int:
        """D, after Matryoshka truncation."""
        return self.head.shape[0]

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the embeddings, or what probes become; see `fingerprint.same_model`."""
        return self.head.fingerprint

    @property
    def posterior(self) -> Posterior | None:
        """Over the weights of its head; another one makes another expert (`with_posterior`)."""
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
            prompts: names of prompts to prefer to the role's (see `prompts.choose_prompt`).

        Raises:
            InvalidInputError: for a text that cannot be encoded, or no texts.
        """
        texts, batch_size = _check_some(texts, role), check_whole("batch_size", batch_size, 1)
        return self.head.linearise(texts, role, batch_size=batch_size, progress=progress, prompts=prompts)

    @property
    def cache(self) -> EmbeddingCache | None:
        """Where its embeddings are kept, if anywhere."""
        return self.head.cache if isinstance(self.head, IdentityHead) else None

    def with_cache(self, cache: EmbeddingCache | None) -> Self:
        """The same expert that embeds no text twice; itself where embeddings cost nothing but time here.

        Args:
            cache: where embeddings are kept, or None for no longer.
        """
        if not (isinstance(self.head, IdentityHead) and self.head.embedding.costly):
            return self
        other = copy(self)
        other.head = self.head.with_cache(cache)
        return other

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
            prompts: names of prompts to prefer to the role's (see `prompts.choose_prompt`).

        Raises:
            InvalidInputError: for a text that cannot be encoded, or no texts.
            NumericalError: if the model yields NaN, infinite or zero vectors.
        """
        texts, gaussians, truncated = _check_some(texts, role), [], []
        for start in range(0, len(texts), _CHUNK):
            part = texts[start : start + _CHUNK]
            with counting_from(start):
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
        kept = FactoredVariance(factors[0].numpy(), (factors[1] * square).numpy())
        return normalise(means, kept, owner=owner, first=first)

    def _check_posterior(self, posterior: Posterior | None) -> None:
        if posterior is not None and posterior.shape != self.head.shape:
            raise ModelMismatchError(
                f"the posterior is one of a layer of shape {posterior.shape}, but '{self.head.layer}' of expert "
                f"{self.label} has {self.head.shape}: fit one for this model"
            )


def _check_some(texts: Sequence[str], role: Role) -> list[str]:
    if checked := check_texts(texts, role):
        return checked
    raise InvalidInputError(f"there are no texts to encode as {role}: give at least one")
