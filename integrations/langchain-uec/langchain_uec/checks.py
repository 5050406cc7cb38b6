"""What LangChain's vector store takes as it comes, refused in our words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from uec_retriever.checks.numbers import check_number, check_whole
from uec_retriever.engine.options import check_search_options, with_candidates
from uec_retriever.engine.results import check_min_score


class ChecksOptions(VectorStore):
    """A vector store that looks at options before LangChain's own code uses them."""

    def as_retriever(self, **options: Any) -> VectorStoreRetriever:
        """A retriever over the store.

        Args:
            **options: `search_type` (`similarity`, `mmr` or `similarity_score_threshold`); `search_kwargs`, those of the
                search; LangChain's own.

        Raises:
            InvalidInputError: for `search_kwargs` out of range.
        """
        given = with_candidates(options.get("search_kwargs") or {})
        check_min_score(given.get("score_threshold"))
        if options.get("search_type") == "mmr":
            check_diversity(given)
        else:
            check_search_options(given.get("k", 4), given.get("candidates"), given.get("temperature"))
        return super().as_retriever(**options)

    def similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search_with_score`."""
        check_min_score(options.get("score_threshold"))
        return super().similarity_search_with_relevance_scores(query, k, **options)

    async def asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search_with_score`, in a thread."""
        check_min_score(options.get("score_threshold"))
        return await super().asimilarity_search_with_relevance_scores(query, k, **options)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda score: score


def check_diversity(options: Mapping[str, Any]) -> None:
    """Refuse options of maximal marginal relevance that are out of range: `k`, `fetch_k` or `candidates`, and `lambda_mult`."""
    for name in ("k", "fetch_k", "candidates"):
        if name in options:
            check_whole(name, options[name], 1)
    check_number(
        "lambda_mult", options.get("lambda_mult", 0.5), "in [0, 1], from most different to best match", 0, 1
    )
