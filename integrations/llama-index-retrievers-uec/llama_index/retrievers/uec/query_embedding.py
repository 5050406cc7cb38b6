"""Whether the embedding that came with a query is what the index makes of its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_SAME = 0.999  # cosine above which two embeddings are one


def is_same(one: Any, other: Sequence[float]) -> bool:
    """Whether two embeddings are one, but for their lengths and rounding."""
    ours, given = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if ours.shape != given.shape:
        return False
    norms = float(np.linalg.norm(ours) * np.linalg.norm(given))
    return norms > 0 and float(ours @ given) >= _SAME * norms
