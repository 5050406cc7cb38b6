"""Embedder: any sentence-transformers model as a plain embedding, with variances if it has a posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sentence_transformers import SentenceTransformer

from uec_retriever.data.texts import check_texts
from uec_retriever.data.truncation import warn_of_cut_query, warn_of_truncation
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.attachment import attach_posterior
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.loading import load_model, model_source, short_name, tokenizer_lock
from uec_retriever.experts.prompts import PROMPT_NAMES
from uec_retriever.experts.truncation import truncation_flags
from uec_retriever.gaussian import Array, GaussianEmbedding, lengths

Role = Literal["query", "document"]


class Embedder:
    """A bi-encoder, for example a utility-aligned one; safe under threads. Texts that it cuts are told in the log.

    Unlike an `Expert` it takes models whose last layer cannot be linearised: only variances need that.

    Args:
        model: a loaded sentence-transformers model.
        name: hub id or path that it came from.
        posterior: posterior file, for variances.
        encode_options: passed to `encode_document`, e.g. `batch_size`, `truncate_dim`.
        query_encode_options: passed to `encode_query`; those of documents if None.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        name: str,
        *,
        posterior: str | Path | None = None,
        encode_options: Mapping[str, Any] | None = None,
        query_encode_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.name = name
        self.posterior = None if posterior is None else Path(posterior).expanduser()
        documents = dict(encode_options or {})
        queries = documents if query_encode_options is None else dict(query_encode_options)
        self._options: dict[Role, dict[str, Any]] = {"document": documents, "query": queries}
        self._expert: Expert | None = None
        if self.posterior is not None:
            self._expert, _ = attach_posterior(Expert(model, name), self.posterior)

    @classmethod
    def load(
        cls,
        name: str | Path,
        *,
        posterior: str | Path | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        encode_options: Mapping[str, Any] | None = None,
        query_encode_options: Mapping[str, Any] | None = None,
        **model_options: Any,
    ) -> Embedder:
        """Load a model by hub id or path.

        Args:
            name: hub id or folder.
            posterior: posterior file made for it by `uec fit` or `fit_posterior`.
            device: torch device; the library's choice if None.
            trust_remote_code: run code that comes with the model. Off unless you say so.
            encode_options: passed to `encode_document`, e.g. `batch_size`, `truncate_dim`.
            query_encode_options: passed to `encode_query`; those of documents if None.
            **model_options: passed to `SentenceTransformer`.

        Raises:
            ModelNotFoundError: if the model cannot be loaded.
            ModelMismatchError: if the posterior belongs to another model.
            UnsupportedModelError: if there is a posterior but the last layer cannot be linearised.
        """
        name = str(name)
        model = load_model(name, device=device, trust_remote_code=trust_remote_code, **model_options)
        return cls(
            model,
            model_source(name),
            posterior=posterior,
            encode_options=encode_options,
            query_encode_options=query_encode_options,
        )

    @property
    def dimension(self) -> int:
        """D of the embeddings."""
        return int(self.model.get_embedding_dimension() or 0)

    def embed(self, texts: Sequence[str], role: Role = "document") -> Array:
        """`[n, D]` embeddings, float32, of unit length unless the options say `normalize_embeddings=False`.

        Args:
            texts: n non-empty strings; none gives none.
            role: `query` or `document`; decides the prompt.

        Raises:
            InvalidInputError: for a text that cannot be encoded.
            NumericalError: if the model yields NaN, infinite or zero vectors.
        """
        texts = check_texts(texts, "query" if role == "query" else "text")
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        encode = self.model.encode_query if role == "query" else self.model.encode_document
        options = {"normalize_embeddings": True, "show_progress_bar": False, **self._options[role]}
        with tokenizer_lock(self.model):
            vectors = np.asarray(encode(texts, **{**options, "convert_to_numpy": True}), dtype=np.float32)
        lengths(vectors, owner=self.name)
        self._warn(truncation_flags(self.model, texts, self._prompt(role)), role)
        return vectors

    def embed_with_variance(self, texts: Sequence[str], role: Role = "document") -> GaussianEmbedding:
        """Gaussian embeddings of n >= 1 texts: unit means and variances by the posterior.

        Of the options for encoding only `batch_size` counts here.

        Args:
            texts: n non-empty strings.
            role: `query` or `document`; decides the prompt.

        Raises:
            InvalidInputError: for a text that cannot be encoded, none at all, or if there is no posterior.
            NumericalError: if the model yields NaN, infinite or zero vectors.
        """
        if self._expert is None:
            raise InvalidInputError(
                f"{self.name} has no posterior, so it cannot tell variances: fit one with 'uec fit' (or "
                "uec_retriever.fit_posterior) and give its file as posterior=..."
            )
        batch = self._options[role].get("batch_size", 32)
        encoding = self._expert.encode(texts, role, batch_size=batch)
        self._warn(encoding.truncated, role)
        return encoding.gaussian

    def _prompt(self, role: Role) -> str | None:
        """What the model puts before texts of a role, given the options for encoding."""
        options, prompts = self._options[role], self.model.prompts
        if options.get("prompt") is not None:
            return str(options["prompt"])
        names = (options.get("prompt_name"), *PROMPT_NAMES[role])
        return next((prompts[name] for name in names if name in prompts), None)

    def _warn(self, truncated: Sequence[bool], role: Role) -> None:
        name = short_name(self.name)
        if role == "query":
            warn_of_cut_query([name] * any(truncated))
        else:
            warn_of_truncation({name: sum(truncated)}, [i for i, cut in enumerate(truncated) if cut])
