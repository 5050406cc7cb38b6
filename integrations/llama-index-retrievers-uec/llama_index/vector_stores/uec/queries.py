"""A `VectorStoreQuery` of LlamaIndex, answered by an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import (
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.retrievers.uec.filters import chroma_filter
from llama_index.retrievers.uec.nodes import node_of, score_of
from llama_index.retrievers.uec.query_embedding import search_bundle
from llama_index.retrievers.uec.retriever_options import check_diversity

from uec_retriever import Engine
from uec_retriever.checks.numbers import check_whole
from uec_retriever.data.records import ID_KEY, SOURCE_KEY
from uec_retriever.data.truncation import warn_of_cut_query
from uec_retriever.engine.diversity import among, choose_diverse
from uec_retriever.engine.options import refuse_unknown
from uec_retriever.errors import InvalidInputError, show

_OPTIONS = ("mmr_threshold", "candidates", "temperature")
_DIVERSE = 0.5


def run_query(
    engine: Engine, query: VectorStoreQuery, options: Mapping[str, Any], said: set[str]
) -> VectorStoreQueryResult:
    """The best nodes, with their scores.

    Args:
        engine: to search.
        query: of LlamaIndex.
        options: `mmr_threshold`, `candidates` and `temperature`, if given.
        said: what the log has been told of already; grows.

    Raises:
        InvalidInputError: for what no search can have.
    """
    refuse_unknown(options, _OPTIONS, "query")
    k, candidates = check_whole("similarity_top_k", query.similarity_top_k, 1), options.get("candidates")
    threshold = _threshold(query, options)
    # an index without nodes of its own asks for no ids at all when it means all of them
    where = where_of(query.filters, doc_ids=query.doc_ids or None, node_ids=query.node_ids or None)
    search: dict[str, Any] = {
        "k": k if threshold is None else among(k, candidates),
        "where": where,
        "candidates": candidates,
        "temperature": options.get("temperature"),
        "expert_scores": False,
    }
    embedding = None if query.query_embedding == [0.0] else query.query_embedding  # `StoreEmbedding` made it
    bundle = QueryBundle(query.query_str or "", embedding=embedding)
    result = search_bundle(engine, bundle, search, trust=False, said=said)
    warn_of_cut_query(result.truncated)
    hits = result.hits if threshold is None else choose_diverse(engine, result.hits, k, threshold)
    nodes = [node_of(hit.id, hit.text, hit.metadata, hit.payload) for hit in hits]
    scores = [score_of(node, hit.score) for node, hit in zip(nodes, hits, strict=True)]
    return VectorStoreQueryResult(nodes, scores, [hit.id for hit in hits])


def where_of(
    filters: MetadataFilters | None,
    *,
    doc_ids: Sequence[str] | None = None,
    node_ids: Sequence[str] | None = None,
) -> dict[str, Any] | None:
    """A filter for the engine of all that LlamaIndex filters by; None if there is nothing.

    Args:
        filters: on metadata, see `chroma_filter`.
        doc_ids: of documents whose nodes alone are wanted; all if None.
        node_ids: of nodes that alone are wanted; all if None.
    """
    parts = [chroma_filter(filters)]
    parts += [
        None if ids is None else {key: {"$in": list(ids)}}
        for key, ids in ((SOURCE_KEY, doc_ids), (ID_KEY, node_ids))
    ]
    given = [part for part in parts if part is not None]
    return {"$and": given} if given else None


def _threshold(query: VectorStoreQuery, options: Mapping[str, Any]) -> float | None:
    """How much the nodes are to differ; None if they need not."""
    if query.mode == VectorStoreQueryMode.DEFAULT:
        return None
    if query.mode != VectorStoreQueryMode.MMR:
        raise InvalidInputError(
            f"the mode is 'default', which searches with words too, or 'mmr', got {show(str(query.mode.value))}"
        )
    for value in (options.get("mmr_threshold"), query.mmr_threshold):
        if value is not None:
            return check_diversity(value)
    return _DIVERSE
