"""Searching for a `QueryBundle`: by its text, or by the embedding that came with it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from llama_index.core.schema import QueryBundle

from uec_retriever import Engine, SearchResult
from uec_retriever.checks.numbers import check_row
from uec_retriever.errors import InvalidInputError

logger = logging.getLogger(__name__)
_SAME = 0.999  # cosine above which two embeddings are one
_OF_EMBEDDING = ("k", "where", "candidates", "expert_scores")  # options of a search with an embedding
_PASSED_OVER = ("temperature", "abstain")  # those that change nothing about one; the others it cannot have


def search_bundle(
    engine: Engine, bundle: QueryBundle, options: dict[str, Any], *, trust: bool, said: set[str]
) -> SearchResult:
    """Search by the texts of a bundle; by its embedding, if there is no text, or if that is trusted.

    Args:
        engine: to search.
        bundle: of one query.
        options: of `Engine.search`.
        trust: take the embedding, if it has the index's dimension, instead of the text.
        said: what the log has been told of already; grows.

    Raises:
        InvalidInputError: without a text or an embedding that can be used, or for an option that an embedding cannot have.
    """
    texts, embedding = bundle.embedding_strs, bundle.embedding
    if embedding is not None:
        embedding = check_row("the query's embedding", embedding).tolist()
    has_text = any(text.strip() for text in texts)
    dimension = engine.manifest.dimension
    trusted = trust and embedding is not None and len(embedding) == dimension
    if embedding is not None and (trusted or not has_text):
        for name, value in options.items():
            if value is not None and name not in (*_OF_EMBEDDING, *_PASSED_OVER):
                remedy = "leave out trust_query_embedding" if has_text else "give the query's text beside it"
                raise InvalidInputError(
                    f"{name} is calibrated for searches with a text, and this is one with an embedding: {remedy}, "
                    f"or search without, with_options({name}=None)"
                )
        return engine.search_embedding(embedding, **{name: options[name] for name in _OF_EMBEDDING})
    result = engine.search_together(texts or [bundle.query_str], **options)
    if embedding is not None and not is_same(result.embedding, embedding) and "embedding" not in said:
        said.add("embedding")
        logger.warning(
            "the query came with an embedding (%d dimensions) that is not what this index's experts make of "
            "its text, so the text was used; trust_query_embedding=True searches with the embedding, if it has %d",
            len(embedding),
            dimension,
        )
    return result


def is_same(one: Any, other: Sequence[float]) -> bool:
    """Whether two embeddings are one, but for their lengths and rounding."""
    ours, given = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if ours.shape != given.shape:
        return False
    norms = float(np.linalg.norm(ours) * np.linalg.norm(given))
    return norms > 0 and float(ours @ given) >= _SAME * norms
