"""Fusion by LangChain's EnsembleRetriever and LlamaIndex's QueryFusionRetriever themselves.

Both get the very rankings that our own fusion gets, so that what differs is theirs: LangChain counts ranks from 1, as
the paper does, LlamaIndex from 0. `framework_hybrids` has their formulas without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uec_retriever.gaussian import Array

Rankings = Sequence[NDArray[np.int64]]  # per expert, [n, depth] positions, -1 where a ranking is shorter


def langchain_fusion(rankings: Rankings) -> list[list[int]]:
    """The fused ranking of each query."""
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_core.documents import Document
    from langchain_core.runnables import RunnableLambda

    def retriever(ranking: NDArray[np.int64]) -> Any:
        return RunnableLambda(
            lambda row: [
                Document(page_content=str(d), metadata={"id": d})
                for d in ranking[int(row)].tolist()
                if d >= 0
            ]
        )

    alike = [1 / len(rankings)] * len(rankings)
    ensemble = EnsembleRetriever(retrievers=[retriever(r) for r in rankings], weights=alike, id_key="id")
    return [[int(d.metadata["id"]) for d in ensemble.invoke(str(row))] for row in range(len(rankings[0]))]


def llama_index_fusion(
    rankings: Rankings, scores: Sequence[Array] | None = None, mode: str = "reciprocal_rerank"
) -> list[tuple[list[int], list[float]]]:
    """The fused ranking of each query, and its scores.

    Args:
        rankings: of the retrievers.
        scores: theirs; falling with the rank if absent.
        mode: of `FUSION_MODES`.
    """
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    class Given(BaseRetriever):
        """Answers with a ranking that is already there."""

        def __init__(self, ranking: NDArray[np.int64], scores: Array) -> None:
            super().__init__()
            self._ranking, self._scores = ranking, scores

        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            row = int(query_bundle.query_str)
            return [
                NodeWithScore(node=TextNode(id_=str(d), text=f"passage {d}"), score=score)
                for d, score in zip(self._ranking[row].tolist(), self._scores[row].tolist(), strict=True)
                if d >= 0
            ]

    depth = sum(r.shape[1] for r in rankings)
    given = scores or [np.broadcast_to(-np.arange(float(r.shape[1])), r.shape) for r in rankings]
    fusion = QueryFusionRetriever(
        [Given(r, s) for r, s in zip(rankings, given, strict=True)],
        llm=MockLLM(),
        mode=FUSION_MODES(mode),
        similarity_top_k=depth,
        num_queries=1,
        use_async=False,
    )
    found = []
    for row in range(len(rankings[0])):
        nodes = fusion.retrieve(str(row))
        found.append(([int(n.node.node_id) for n in nodes], [float(n.score or 0.0) for n in nodes]))
    return found
