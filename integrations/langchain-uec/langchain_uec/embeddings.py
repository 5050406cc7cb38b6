"""UAEEmbedding: any sentence-transformers model as LangChain embeddings; IndexEmbeddings: those of an index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_serializer,
    field_validator,
)

from uec_retriever.engine.options import refuse_validation

if TYPE_CHECKING:
    from uec_retriever import Embedder, Engine, Expert
else:  # pydantic resolves annotations, and torch is not to be imported for that
    Embedder = Any

_SECRETS = ("token", "use_auth_token")
_HARMLESS = {"batch_size", "show_progress_bar", "normalize_embeddings"}


class UAEEmbedding(BaseModel, Embeddings):
    """A bi-encoder, meant for utility-aligned ones (UAE), for any LangChain vector store.

    Takes the arguments of `HuggingFaceEmbeddings`. The model's own prompts for queries and documents are used,
    and embeddings have unit length unless `encode_kwargs` says `normalize_embeddings=False`.

    Example:
        ```python
        embedding = UAEEmbedding(model_name="my-uae-model", encode_kwargs={"batch_size": 64})
        store = Chroma(embedding_function=embedding)
        ```

    Attributes:
        model_name: hub id or folder; `model` for short.
        posterior: posterior file that `uec fit` made for the model, for variances.
        cache_folder: where models from the hub are kept.
        device: torch device; the library's choice if None.
        trust_remote_code: run code that comes with the model. Off unless you say so.
        model_kwargs: passed to `SentenceTransformer`, e.g. `revision`, `prompts`, `truncate_dim`, `token`.
        encode_kwargs: passed to `encode_document`, e.g. `batch_size`.
        query_encode_kwargs: passed to `encode_query`; `encode_kwargs` if empty.
        show_progress: show a progress bar while encoding.

    Raises:
        InvalidInputError: for an option that cannot be used.
        ModelNotFoundError: if the model cannot be loaded.
        ModelMismatchError: if the posterior belongs to another model.
        UnsupportedModelError: if there is a posterior but the last layer cannot be linearised.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)

    model_name: str = Field(validation_alias=AliasChoices("model_name", "model"), frozen=True)
    posterior: str | Path | None = Field(default=None, frozen=True)
    cache_folder: str | None = Field(default=None, frozen=True)
    device: str | None = Field(default=None, frozen=True)
    trust_remote_code: bool = Field(default=False, frozen=True)
    model_kwargs: dict[str, Any] = Field(default_factory=dict, frozen=True)
    encode_kwargs: dict[str, Any] = Field(default_factory=dict, frozen=True)
    query_encode_kwargs: dict[str, Any] = Field(default_factory=dict, frozen=True)
    show_progress: bool = Field(default=False, frozen=True)
    _embedder: Embedder = PrivateAttr()

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise refuse_validation(UAEEmbedding, error) from None
        # not in model_post_init: there pydantic would hide our errors, if they are ValueErrors, in its own
        from uec_retriever import Embedder as LoadedEmbedder

        documents = {"show_progress_bar": self.show_progress, **self.encode_kwargs}
        queries = {"show_progress_bar": self.show_progress, **self.query_encode_kwargs}
        self._embedder = LoadedEmbedder.load(
            self.model_name,
            posterior=self.posterior,
            encode_options=documents,
            query_encode_options=queries if self.query_encode_kwargs else None,
            **self._model_options(),
        )

    @field_validator("model_kwargs")
    @classmethod
    def _hide_tokens(cls, options: dict[str, Any]) -> dict[str, Any]:
        return _hide(options)

    @field_serializer("model_kwargs", "encode_kwargs", "query_encode_kwargs", when_used="json")
    def _serialise_options(self, options: dict[str, Any]) -> Any:
        return _plain(options)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embeddings of texts, each a list of D floats.

        Args:
            texts: non-empty strings.

        Raises:
            InvalidInputError: for a text that cannot be encoded.
        """
        embeddings: list[list[float]] = self._embedder.embed(texts).tolist()
        return embeddings

    def embed_query(self, text: str) -> list[float]:
        """Embedding of a query, D floats.

        Args:
            text: non-empty.

        Raises:
            InvalidInputError: for a text that cannot be encoded.
        """
        embedding: list[float] = self._embedder.embed([text], "query")[0].tolist()
        return embedding

    def embed_documents_with_variance(self, texts: list[str]) -> tuple[list[list[float]], list[list[float]]]:
        """Means of unit length and variances of texts: each text is N(mean, diag(variance)).

        Of `encode_kwargs` only `batch_size` counts here.

        Args:
            texts: at least one, non-empty.

        Returns:
            n lists of D means, and n lists of D variances, >= 0.

        Raises:
            InvalidInputError: for a text that cannot be encoded, or if there is no posterior.
        """
        gaussian = self._embedder.embed_with_variance(texts)
        return gaussian.mean.tolist(), gaussian.variance.tolist()

    def embed_query_with_variance(self, text: str) -> tuple[list[float], list[float]]:
        """Mean of unit length and variance of a query, which is N(mean, diag(variance)).

        Args:
            text: non-empty.

        Returns:
            D floats, and D floats >= 0.

        Raises:
            InvalidInputError: for a text that cannot be encoded, or if there is no posterior.
        """
        gaussian = self._embedder.embed_with_variance([text], "query")
        return gaussian.mean[0].tolist(), gaussian.variance[0].tolist()

    def as_expert(self, *, device: str | None = None) -> Expert:
        """The model as an expert of an index, which uses it with the model's own prompts and dimension.

        Args:
            device: where the embedding has none.

        Raises:
            InvalidInputError: if `encode_kwargs` or `query_encode_kwargs` would change the embeddings.
            UnsupportedModelError: if the last layer cannot be linearised.
        """
        from uec_retriever import Expert as LoadedExpert
        from uec_retriever.errors import InvalidInputError

        other = sorted({*self.encode_kwargs, *self.query_encode_kwargs} - _HARMLESS)
        if other or self.encode_kwargs.get("normalize_embeddings") is False:
            raise InvalidInputError(
                f"an index cannot use {self.model_name} with the encode_kwargs {other or ['normalize_embeddings']}: "
                "leave them out; prompts and truncate_dim can be given as model_kwargs"
            )
        options = self._model_options()
        return LoadedExpert.load(self.model_name, **{**options, "device": options["device"] or device})

    def __reduce__(self) -> Any:
        """Pickle the options, without tokens; unpickling loads the model again, with HF_TOKEN if that is set."""
        options = {name: getattr(self, name) for name in self.model_fields_set}
        return _rebuild, (type(self), {**options, "model_kwargs": _without_secrets(self.model_kwargs)})

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> UAEEmbedding:
        """The model is shared."""
        return self.model_copy()

    def _model_options(self) -> dict[str, Any]:
        given = _reveal(self.model_kwargs)
        if self.cache_folder is not None:
            given["cache_folder"] = self.cache_folder
        own = {"device": self.device, "trust_remote_code": self.trust_remote_code}
        return {**own, **given, **{key: value for key, value in own.items() if value}}


class IndexEmbeddings(Embeddings):
    """How an index embeds texts: its experts' means, weighted for a query.

    Only this index can be searched with them (`similarity_search_by_vector`).

    Args:
        engine: of the index.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """What texts would be stored as, each a list of D floats."""
        embeddings: list[list[float]] = self.engine.embed_documents(texts).tolist()
        return embeddings

    def embed_query(self, text: str) -> list[float]:
        """What the index is searched with, D floats."""
        embedding: list[float] = self.engine.embed_queries([text])[0].tolist()
        return embedding


def _rebuild(cls: type[UAEEmbedding], options: dict[str, Any]) -> UAEEmbedding:
    return cls(**options)


def _hide(options: dict[str, Any]) -> dict[str, Any]:
    """Options whose tokens are secrets, those of nested options too."""
    return {
        key: SecretStr(value)
        if key in _SECRETS and isinstance(value, str)
        else _hide(value)
        if isinstance(value, dict)
        else value
        for key, value in options.items()
    }


def _reveal(options: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.get_secret_value()
        if isinstance(value, SecretStr)
        else _reveal(value)
        if isinstance(value, dict)
        else value
        for key, value in options.items()
    }


def _without_secrets(options: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_secrets(value) if isinstance(value, dict) else value
        for key, value in options.items()
        if key not in _SECRETS
    }


def _plain(value: Any) -> Any:
    """What JSON can hold; secrets masked, say, a torch.dtype by name."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
