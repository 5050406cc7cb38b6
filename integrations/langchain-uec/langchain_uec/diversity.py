"""Searches for documents that match a query and differ from each other."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from langchain_uec.documents import to_document
from langchain_uec.together import search_one
from uec_retriever.checks.numbers import check_number
from uec_retriever.data.truncation import warn_of_cut_query
from uec_retriever.engine.options import tells_keywords, with_candidates

if TYPE_CHECKING:
    from uec_retriever import Engine, SearchResult


class DiverseSearches(VectorStore):
    """A vector store with searches by maximal marginal relevance.

    Attributes:
        engine: the index.
    """

    engine: Engine

    @tells_keywords
    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int | None = None,
        lambda_mult: float = 0.5,
        filter: Mapping[str, Any] | None = None,
        *,
        candidates: int | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """K documents that match the query and differ from each other.

        Args:
            query: non-empty.
            k: at least 1.
            fetch_k: best documents to choose from, at least k, which are those that are rescored; `max(30, 2 k)` if None.
            lambda_mult: from 0, most different, to 1, best match.
            filter: Chroma's metadata filter.
            candidates: what the other searches call `fetch_k`.
            **unknown: refused.

        Raises:
            InvalidInputError: for an empty query, or an option that cannot be used.
        """
        options = {"k": k, "fetch_k": fetch_k, "candidates": candidates, "lambda_mult": lambda_mult}
        result = search_one(self.engine, query, where=filter, **check_diversity(options))
        warn_of_cut_query(result.truncated)
        return self._diverse(result, k, lambda_mult)

    @tells_keywords
    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int | None = None,
        lambda_mult: float = 0.5,
        filter: Mapping[str, Any] | None = None,
        *,
        candidates: int | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """K documents that match a query embedding that `embeddings.embed_query` made, and differ from each other.

        Args:
            embedding: D floats.
            k: at least 1.
            fetch_k: best documents to choose from, at least k, which are those that are rescored; `max(30, 2 k)` if None.
            lambda_mult: from 0, most different, to 1, best match.
            filter: Chroma's metadata filter.
            candidates: what the other searches call `fetch_k`.
            **unknown: refused.

        Raises:
            InvalidInputError: for an embedding or option that cannot be used.
        """
        options = {"k": k, "fetch_k": fetch_k, "candidates": candidates, "lambda_mult": lambda_mult}
        result = self.engine.search_embedding(embedding, where=filter, **check_diversity(options))
        return self._diverse(result, k, lambda_mult)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int | None = None, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, in a thread."""
        search = functools.partial(self.max_marginal_relevance_search, query, k, fetch_k, lambda_mult)
        return await asyncio.to_thread(search, **options)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int | None = None,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search_by_vector`, in a thread."""
        search = functools.partial(
            self.max_marginal_relevance_search_by_vector, embedding, k, fetch_k, lambda_mult
        )
        return await asyncio.to_thread(search, **options)

    def _diverse(self, result: SearchResult, k: int, lambda_mult: float) -> list[Document]:
        from uec_retriever.engine.diversity import choose_diverse

        return [to_document(hit) for hit in choose_diverse(self.engine, result.hits, k, lambda_mult)]


def check_diversity(options: Mapping[str, Any]) -> dict[str, Any]:
    """How to search for hits to choose diverse ones from: `k` and `candidates` of the engine.

    Args:
        options: `k`, `candidates` or `fetch_k`, `lambda_mult`, as far as they are given.

    Raises:
        InvalidInputError: for an option out of range, fewer candidates than k, or two numbers for one thing.
    """
    from uec_retriever.engine.diversity import among  # imports chromadb

    candidates = with_candidates(options).get("candidates")
    check_number(
        "lambda_mult", options.get("lambda_mult", 0.5), "in [0, 1], from most different to best match", 0, 1
    )
    return {"k": among(options.get("k", 4), candidates), "candidates": candidates}
