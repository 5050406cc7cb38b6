"""Queries as the index takes them: encoded texts, and embeddings that somebody else has made."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from uec_retriever.checks.numbers import check_row
from uec_retriever.engine.ensemble import EncodedTexts, Ensemble
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import GaussianEmbedding


def encode(
    ensemble: Ensemble, queries: Sequence[str], *, together: bool = False
) -> tuple[EncodedTexts, float]:
    """Queries in the layout of the index, and the seconds that each took.

    Args:
        ensemble: the experts.
        queries: n >= 1, non-empty.
        together: make one of them, the mean of their Gaussians, taken as independent.
    """
    start = time.perf_counter()
    encoded = ensemble.encode_queries(queries)
    if together:
        assert encoded.coefficients is not None
        encoded = EncodedTexts(
            encoded.gaussian.average(),
            encoded.coefficients.mean(axis=0, keepdims=True),
            np.atleast_2d(encoded.truncated.any(axis=0)),
        )
    return encoded, (time.perf_counter() - start) / len(encoded.gaussian)


def encoded_embedding(ensemble: Ensemble, embedding: object) -> EncodedTexts:
    """A query that is an embedding already: without a variance or coefficients, scaled down if scores could exceed 1.

    Args:
        ensemble: the experts.
        embedding: `[D]` in the layout of the index, finite.

    Raises:
        InvalidInputError: for what is no row of numbers, another dimension than the index's, NaN or infinity.
    """
    vector = check_row("the query embedding", embedding)[None]
    if vector.shape != (1, ensemble.manifest.dimension):
        raise InvalidInputError(
            f"the query embedding has the shape {vector.shape[1:]}, the index needs "
            f"[{ensemble.manifest.dimension}]: use one that this index's embed_queries made"
        )
    if not np.isfinite(np.linalg.norm(vector)):
        raise InvalidInputError("the query embedding holds NaN, infinity or nearly: nothing is near to that")
    ends = np.cumsum([e.dimension for e in ensemble.manifest.experts])[:-1]
    blocks = np.split(vector, ends, axis=1) if ensemble.manifest.layout == "block" else [vector]
    vector = vector / max(1.0, float(sum(np.linalg.norm(block) for block in blocks)))
    vector = vector.astype(np.float32)
    unknown = np.zeros((1, len(ensemble.experts)), dtype=bool)
    return EncodedTexts(GaussianEmbedding(vector, np.zeros_like(vector)), None, unknown)
