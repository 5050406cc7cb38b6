"""Maximal marginal relevance: hits that match a query and differ from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from uec_retriever.engine.search import SearchOptions

if TYPE_CHECKING:
    from uec_retriever.engine.reader import Reader
    from uec_retriever.engine.results import Hit


def among(k: int, candidates: int | None) -> int:
    """How many hits to choose k different ones from: all that are rescored.

    Args:
        k: at least 1.
        candidates: how many are rescored, at least k; `max(30, 2 k)` if None.

    Raises:
        InvalidInputError: for numbers out of range, or fewer candidates than k.
    """
    return SearchOptions(k, candidates=candidates).limit


def choose_diverse(engine: Reader, hits: Sequence[Hit], k: int, lambda_mult: float) -> list[Hit]:
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
