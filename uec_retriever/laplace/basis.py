"""A basis of few dimensions in which an expert's variances can be told."""

from __future__ import annotations

import numpy as np

from uec_retriever.gaussian import Array, GaussianEmbedding

TOLERANCE = 0.01
MAXIMUM_RANK = 16


def variance_basis(
    sample: GaussianEmbedding, *, tolerance: float = TOLERANCE, maximum_rank: int = MAXIMUM_RANK
) -> Array:
    """The smallest basis in which the variances of a sample can be told.

    Args:
        sample: n Gaussians.
        tolerance: the largest relative error, at the 99th percentile of the sample, of
            `mu^2 . Sigma`, what a variance contributes to a score.
        maximum_rank: never more rows than this.

    Returns:
        `[r, D]` float32, rows scaled to a mean of one in absolute value.
    """
    variance = sample.variance.astype(np.float64)
    relative = variance / variance.sum(axis=1, keepdims=True)
    _, _, rows = np.linalg.svd(relative, full_matrices=False)
    weights = sample.mean.astype(np.float64) ** 2
    weights = np.roll(weights, 1, axis=0)  # another text's mean, as in a score
    exact = (variance * weights).sum(axis=1)
    rank = 1
    for rank in range(1, min(maximum_rank, len(rows)) + 1):
        basis = rows[:rank]
        told = ((variance @ basis.T @ basis) * weights).sum(axis=1)
        if np.quantile(np.abs(told - exact) / exact, 0.99) <= tolerance:
            break
    chosen = rows[:rank] * np.sign(rows[:rank].sum(axis=1, keepdims=True))
    return np.asarray(chosen / np.abs(chosen).mean(axis=1, keepdims=True), dtype=np.float32)
