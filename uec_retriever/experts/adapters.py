"""What people have at hand as embeddings: objects of frameworks and libraries, and functions of texts."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from uec_retriever.errors import EmbeddingError, InvalidInputError, UECError, show
from uec_retriever.experts.ahead import AsyncEmbed, taken_ahead
from uec_retriever.experts.head import Role
from uec_retriever.experts.static_model import StaticModelEmbedding
from uec_retriever.experts.text_embedding import Batch, TextEmbedding
from uec_retriever.gaussian import Array

_KEY = re.compile(r"(sk-|Bearer\s+)[\w.*-]{4,}")  # as vendors' clients repeat it
Embed = Callable[[list[str]], Any]
OBJECT = "object:"  # before the name of what an index cannot load again


class FunctionEmbedding(TextEmbedding):
    """An embedding made of functions; as safe under threads as they are.

    Args:
        documents: n texts -> `[n, D]` numbers, as an array or lists.
        queries: the same for queries; `documents` if None.
        name: of the model, for people and for the index.
        aquery: one query -> `[D]` numbers, asynchronously, if that can be had.
    """

    def __init__(
        self, documents: Embed, queries: Embed | None = None, aquery: AsyncEmbed | None = None, *, name: str
    ) -> None:
        self.name = name
        self._aquery = aquery
        self._functions: dict[Role, Embed] = {
            "query": queries or documents,
            "document": documents,
            "text": documents,
        }

    @property
    def aquery(self) -> AsyncEmbed | None:
        """Query -> its embedding, asynchronously; None where a thread does it."""
        return self._aquery

    def embed(
        self, texts: Sequence[str], role: Role, *, batch_size: int, prompts: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """Embed texts, a batch at a time.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`, which is taken for a document.
            batch_size: texts in one call.
            prompts: not used: a function has none.

        Yields:
            Positions of m texts, and their embeddings `[m, D]`, float32.

        Raises:
            EmbeddingError: if the function fails, or gives something else than as many vectors of equal length.
        """
        for start in range(0, len(texts), batch_size):
            part = list(texts[start : start + batch_size])
            try:
                ahead = taken_ahead(self._aquery, part) if role == "query" else None
                vectors = _numbers(self._functions[role](part) if ahead is None else ahead)
            except UECError:
                raise
            except Exception as error:  # whatever a stranger's client raises
                told = str(error)
                raise EmbeddingError(
                    f"{self.name} failed to embed texts {start} to {start + len(part) - 1}: {type(error).__name__}: "
                    f"{_KEY.sub('...', told)[:300]}"
                ) from (None if _KEY.search(told) else error)  # a traceback shows causes as well
            if vectors.ndim != 2 or len(vectors) != len(part):
                raise EmbeddingError(
                    f"{self.name} gave an array of shape {vectors.shape} for {len(part)} texts: it must give one vector each"
                )
            yield range(start, start + len(part)), vectors


def embedding_of(source: Any, name: str | None = None) -> TextEmbedding:
    """An embedding of whatever embeds texts.

    Args:
        source: a LangChain `Embeddings`, a LlamaIndex `BaseEmbedding`, a fastembed `TextEmbedding`, a model2vec
            `StaticModel`, anything else with `encode(texts)`, or a function of a list of texts.
        name: of the model; found in the source if None.

    Raises:
        InvalidInputError: for anything else.
    """
    if isinstance(source, TextEmbedding):
        return source
    refusal = InvalidInputError(
        f"{show(source)} cannot be an expert: give the hub id or folder of a sentence-transformers model, "
        "'openai:MODEL' for a server, a LangChain Embeddings, a LlamaIndex BaseEmbedding, or a function of a list of texts"
    )
    if isinstance(source, type):
        raise refusal  # a class, not one of its objects
    called = name or _name(source)
    if isinstance(source, getattr(sys.modules.get("model2vec"), "StaticModel", ())):
        return StaticModelEmbedding(source, called)
    functions = _functions(source)
    if functions is None:
        raise refusal
    return FunctionEmbedding(*functions, name=called)


def _functions(source: Any) -> tuple[Embed, Embed | None, AsyncEmbed | None] | None:
    """What embeds documents, queries, and a query asynchronously; None if nothing does."""
    if _has(source, "embed_documents", "embed_query"):  # LangChain
        aquery = getattr(source, "aembed_query", None)
        return source.embed_documents, _one_by_one(source.embed_query), aquery
    if _has(source, "get_text_embedding_batch", "get_query_embedding"):  # LlamaIndex
        aquery = getattr(source, "aget_query_embedding", None)
        return source.get_text_embedding_batch, _one_by_one(source.get_query_embedding), aquery
    if _has(source, "passage_embed", "query_embed"):  # fastembed
        return source.passage_embed, source.query_embed, None
    if _has(source, "encode"):
        return source.encode, None, None
    return (source, None, None) if callable(source) else None


def _one_by_one(embed: Callable[[str], Any]) -> Embed:
    return lambda texts: [embed(text) for text in texts]


def _has(source: Any, *methods: str) -> bool:
    return all(callable(getattr(source, method, None)) for method in methods)


def _numbers(vectors: Any) -> Array:
    """Arrays, lists, tensors of any device, and generators, as fastembed's, as an array of float32."""
    if isinstance(vectors, torch.Tensor):
        return np.asarray(vectors.detach().float().cpu().numpy())
    if isinstance(vectors, Iterable) and not isinstance(vectors, np.ndarray | Sequence):
        vectors = list(vectors)
    if isinstance(vectors, Sequence) and vectors and isinstance(vectors[0], torch.Tensor):
        return _numbers(torch.stack(list(vectors)))
    with np.errstate(over="ignore"):  # infinity is refused later, with the text's position
        return np.asarray(vectors, dtype=np.float32)


def _name(source: Any) -> str:
    """Where a source is from, and the model that it says it is."""
    kind = source if hasattr(source, "__qualname__") else type(source)
    for attribute in ("model_name", "model", "model_id", "deployment", "base_model_name"):
        if isinstance(model := getattr(source, attribute, None), str) and model:
            return f"{OBJECT}{kind.__module__}.{kind.__qualname__}/{model}"
    return f"{OBJECT}{kind.__module__}.{kind.__qualname__}"
