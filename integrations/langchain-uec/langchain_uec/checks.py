"""What LangChain's vector store takes as it comes, refused in our words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from langchain_uec.diversity import check_diversity
from langchain_uec.store_retriever import UECStoreRetriever
from uec_retriever.engine.options import check_search_options, refuse_unknown, with_candidates
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
        refuse_unknown(
            options,
            [name for name in UECStoreRetriever.model_fields if name != "vectorstore"],
            "as_retriever",
        )
        given, diverse = options.get("search_kwargs") or {}, options.get("search_type") == "mmr"
        search = self.max_marginal_relevance_search if diverse else self.similarity_search_with_score
        known = [name for name in inspect.signature(search).parameters if name not in ("query", "unknown")]
        refuse_unknown(given, known, search.__name__)
        check_min_score(given.get("score_threshold"))
        if diverse:
            check_diversity(given)
        else:
            check_search_options(
                given.get("k", 4), with_candidates(given).get("candidates"), given.get("temperature")
            )
        made = super().as_retriever(**options)
        return UECStoreRetriever(**{name: getattr(made, name) for name in made.model_fields_set})

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
