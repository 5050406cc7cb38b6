"""Fixed weights of experts, the same for every text: those that a training split likes best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import comb

import numpy as np

from uec_retriever.gaussian import Array

_POINTS = 300


def simplex(experts: int, points: int = _POINTS) -> Iterator[Array]:
    """Weights `[K]` on a regular grid, each in [0, 1], summing to 1, and the uniform ones.

    Tenths, or coarser if that is more than `points`.
    """
    steps = max((s for s in (2, 4, 5, 10) if comb(s + experts - 1, experts - 1) <= points), default=2)

    def parts(left: int, number: int) -> Iterator[list[int]]:
        if number == 1:
            yield [left]
            return
        for first in range(left + 1):
            for rest in parts(left - first, number - 1):
                yield [first, *rest]

    if steps % experts:
        yield np.full(experts, 1 / experts)
    for counts in parts(steps, experts):
        yield np.array(counts) / steps


def best_weights(experts: int, objective: Callable[[Array], float]) -> Array:
    """`[K]` weights with the highest objective; of equals, those nearest to uniform.

    Args:
        experts: K.
        objective: weights -> what to maximise, on data that is not reported.
    """
    return max(
        simplex(experts), key=lambda w: (round(objective(w), 9), -float(((w - 1 / experts) ** 2).sum()))
    )
