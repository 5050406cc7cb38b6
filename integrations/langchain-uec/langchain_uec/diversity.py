"""Searches for documents that match a query and differ from each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from langchain_uec.documents import to_document
from langchain_uec.together import search_one
from uec_retriever.checks.numbers import check_number, check_whole
from uec_retriever.data.truncation import warn_of_cut_query
from uec_retriever.engine.options import tells_keywords

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
        fetch_k: int = 20,
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
            fetch_k: best documents to choose from.
            lambda_mult: from 0, most different, to 1, best match.
            filter: Chroma's metadata filter.
            candidates: taken for `fetch_k`.
            **unknown: refused.

        Raises:
            InvalidInputError: for an empty query, or an option that cannot be used.
        """
        fetch_k = fetch_k if candidates is None else candidates
        check_diversity({"k": k, "fetch_k": fetch_k, "lambda_mult": lambda_mult})
        result = search_one(self.engine, query, k=max(k, fetch_k), where=filter)
        warn_of_cut_query(result.truncated)
        return self._diverse(result, k, lambda_mult)

    @tells_keywords
    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
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
            fetch_k: best documents to choose from.
            lambda_mult: from 0, most different, to 1, best match.
            filter: Chroma's metadata filter.
            candidates: taken for `fetch_k`.
            **unknown: refused.

        Raises:
            InvalidInputError: for an embedding or option that cannot be used.
        """
        fetch_k = fetch_k if candidates is None else candidates
        check_diversity({"k": k, "fetch_k": fetch_k, "lambda_mult": lambda_mult})
        result = self.engine.search_embedding(embedding, max(k, fetch_k), where=filter)
        return self._diverse(result, k, lambda_mult)

    def _diverse(self, result: SearchResult, k: int, lambda_mult: float) -> list[Document]:
        from uec_retriever.engine.diversity import choose_diverse

        return [to_document(hit) for hit in choose_diverse(self.engine, result.hits, k, lambda_mult)]


def check_diversity(options: Mapping[str, Any]) -> None:
    """Refuse options of maximal marginal relevance that are out of range: `k`, `fetch_k` or `candidates`, `lambda_mult`."""
    for name in ("k", "fetch_k", "candidates"):
        if name in options and (name != "candidates" or options[name] is not None):
            check_whole(name, options[name], 1)
    check_number(
        "lambda_mult", options.get("lambda_mult", 0.5), "in [0, 1], from most different to best match", 0, 1
    )
