"""Maximal marginal relevance: hits that match a query and differ from each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.documents import Document

from langchain_uec.checks import ChecksOptions, check_diversity
from langchain_uec.documents import to_document
from langchain_uec.engines import refuse_unknown
from uec_retriever.data.truncation import warn_of_cut_query

if TYPE_CHECKING:
    from uec_retriever import Engine, Hit


def choose_diverse(engine: Engine, hits: Sequence[Hit], k: int, lambda_mult: float) -> list[Hit]:
    """K hits one by one: each is the best by `lambda_mult * raw_score - (1 - lambda_mult) * c`.

    There c is the largest cosine with one that is chosen already. The first is the first hit.

    Args:
        engine: that found them.
        hits: best first.
        k: at least 1.
        lambda_mult: from 0, most different, to 1, best match.

    Source: Carbonell and Goldstein (1998), "The use of MMR".
    """
    vectors = engine.vectors_by_id([hit.id for hit in hits])
    hits = [hit for hit in hits if hit.id in vectors]  # others were deleted meanwhile
    if not hits:
        return []
    rows = np.stack([vectors[hit.id] for hit in hits]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    gain = lambda_mult * np.array([hit.raw_score for hit in hits])
    chosen, nearest = [0], np.full(len(hits), -np.inf)
    while len(chosen) < min(k, len(hits)):
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
        value = gain - (1 - lambda_mult) * nearest
        value[chosen] = -np.inf
        chosen.append(int(np.argmax(value)))
    return [hits[i] for i in chosen]


class DiverseSearch(ChecksOptions):
    """A vector store that finds documents which differ from each other.

    Attributes:
        engine: the index.
    """

    engine: Engine

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Mapping[str, Any] | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """K documents that match the query and differ from each other.

        Args:
            query: non-empty.
            k: at least 1.
            fetch_k: best documents to choose from; `candidates` is taken for it.
            lambda_mult: from 0, most different, to 1, best match.
            filter: Chroma's metadata filter.
            **unknown: refused, but for `candidates`.

        Raises:
            InvalidInputError: for an empty query, or an option that cannot be used.
        """
        fetch_k = unknown.pop("candidates", fetch_k)
        refuse_unknown(unknown, "max_marginal_relevance_search")
        check_diversity({"k": k, "fetch_k": fetch_k, "lambda_mult": lambda_mult})
        result = self.engine.search(query, max(k, fetch_k), where=filter)
        warn_of_cut_query(result.truncated)
        return [to_document(hit) for hit in choose_diverse(self.engine, result.hits, k, lambda_mult)]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Mapping[str, Any] | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """K documents that match a query embedding that `embeddings.embed_query` made, and differ from each other.

        Args:
            embedding: D floats.
            k: at least 1.
            fetch_k: best documents to choose from; `candidates` is taken for it.
            lambda_mult: from 0, most different, to 1, best match.
            filter: Chroma's metadata filter.
            **unknown: refused, but for `candidates`.

        Raises:
            InvalidInputError: for an embedding or option that cannot be used.
        """
        fetch_k = unknown.pop("candidates", fetch_k)
        refuse_unknown(unknown, "max_marginal_relevance_search_by_vector")
        check_diversity({"k": k, "fetch_k": fetch_k, "lambda_mult": lambda_mult})
        result = self.engine.search_embedding(embedding, max(k, fetch_k), where=filter)
        return [to_document(hit) for hit in choose_diverse(self.engine, result.hits, k, lambda_mult)]
