"""UAEEmbedding: a bi-encoder as an embedding of LlamaIndex."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from pydantic import BaseModel, ValidationError

from uec_retriever import Embedder, GaussianEmbedding
from uec_retriever.engine.options import refuse_validation
from uec_retriever.errors import InvalidInputError

_CACHE = (
    "embeddings_cache looks vectors up by the text alone, so a query's could come back as a document's: "
    "leave it out, and keep vectors in a vector store or an IngestionPipeline's cache"
)
_SECRETS = ("token", "use_auth_token")


class UAEEmbedding(BaseEmbedding):
    """A sentence-transformers model, with its prompts for queries and documents; safe under threads.

    Variances come from `get_text_embeddings_with_variance` if there is a posterior.

    Raises:
        InvalidInputError: for options that cannot be used.
        ModelNotFoundError: if the model cannot be loaded.
        ModelMismatchError: if the posterior belongs to another model.
        UnsupportedModelError: if there is a posterior, but the last layer cannot be linearised.
    """

    model_config = ConfigDict(
        extra="forbid", protected_namespaces=("pydantic_model_",), arbitrary_types_allowed=True
    )
    model_name: str = Field(description="Hub id or folder.")
    posterior: str | None = Field(
        default=None, description="Posterior file made for the model by 'uec fit', for variances."
    )
    device: str | None = Field(default=None, description="Torch device; the library's choice if None.")
    trust_remote_code: bool = Field(default=False, description="Run code that comes with the model.")
    text_options: dict[str, Any] = Field(
        default_factory=dict, description="Passed to encode_document, e.g. truncate_dim or prompt."
    )
    query_options: dict[str, Any] | None = Field(
        default=None, description="Passed to encode_query; those of texts if None."
    )
    model_options: dict[str, Any] = Field(
        default_factory=dict, description="Passed to SentenceTransformer, e.g. revision or model_kwargs."
    )
    _loading: _Loading = PrivateAttr()

    def __init__(self, model_name: str, **options: Any) -> None:
        if options.get("embeddings_cache") is not None:
            raise InvalidInputError(_CACHE)
        if secret := next((name for name in _SECRETS if name in (options.get("model_options") or {})), None):
            raise InvalidInputError(
                f"model_options would be serialised with the {secret!r} in it: set the environment variable "
                "HF_TOKEN instead"
            )
        try:
            super().__init__(model_name=model_name, **options)
        except ValidationError as error:
            raise refuse_validation(UAEEmbedding, error) from None
        self._loading = _Loading(
            name=self.model_name,
            posterior=self.posterior,
            device=self.device,
            trust_remote_code=self.trust_remote_code,
            encode_options={"batch_size": self.embed_batch_size, **self.text_options},
            query_encode_options=self.query_options,
            **self.model_options,
        )
        self._loading.embedder()

    @classmethod
    def class_name(cls) -> str:
        """Name for LlamaIndex's serialisation."""
        return "UAEEmbedding"

    @property
    def dimension(self) -> int:
        """D of the embeddings."""
        return self._loading.embedder().dimension

    def get_text_embeddings_with_variance(self, texts: Sequence[str]) -> GaussianEmbedding:
        """Unit means and variances of n >= 1 texts, by the posterior.

        Raises:
            InvalidInputError: if there is no posterior.
        """
        return self._loading.embedder().embed_with_variance(texts)

    def get_query_embedding_with_variance(self, query: str) -> GaussianEmbedding:
        """Unit mean and variance of a query, `[1, D]` each, by the posterior.

        Raises:
            InvalidInputError: if there is no posterior.
        """
        return self._loading.embedder().embed_with_variance([query], "query")

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._loading.embedder().embed([query], "query")[0].tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._loading.embedder().embed(texts).tolist()
        return vectors

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "embeddings_cache" and value is not None:
            raise InvalidInputError(_CACHE)
        super().__setattr__(name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        BaseModel.__setstate__(self, state)  # LlamaIndex's would load the model


class _Loading:
    """How to load a model: copies share it, and only its first use loads it after unpickling."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._embedder: Embedder | None = None
        self._lock = threading.Lock()

    def embedder(self) -> Embedder:
        """The model."""
        with self._lock:
            if self._embedder is None:
                self._embedder = Embedder.load(**self._options)
            return self._embedder

    def __deepcopy__(self, memo: dict[int, Any]) -> _Loading:
        return self

    def __reduce__(self) -> tuple[Callable[..., _Loading], tuple[dict[str, Any]]]:
        return _unpickle, (self._options,)


def _unpickle(options: dict[str, Any]) -> _Loading:
    return _Loading(**options)


UAEEmbedding.model_rebuild()
