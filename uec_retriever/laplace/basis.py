"""A basis of few dimensions in which an expert's variances can be told."""

from __future__ import annotations

import numpy as np

from uec_retriever.errors import NumericalError
from uec_retriever.gaussian import Array, GaussianEmbedding

TOLERANCE = 0.01
MAXIMUM_RANK = 16


def variance_basis(
    sample: GaussianEmbedding, *, tolerance: float = TOLERANCE, maximum_rank: int = MAXIMUM_RANK
) -> tuple[Array, float]:
    """The smallest basis in which the variances of a sample can be told.

    Args:
        sample: n Gaussians, each of some variance.
        tolerance: the largest relative error, at the 99th percentile of the sample, of
            `mu^2 . Sigma`, what a variance contributes to a score.
        maximum_rank: never more rows than this, even if the tolerance is missed.

    Returns:
        The basis, `[r, D]` float32, rows scaled to a mean of one in absolute value; and the error that it
        reaches, to be compared with the tolerance.

    Raises:
        NumericalError: if a text has no variance at all.
    """
    variance = sample.variance.astype(np.float64)
    total = variance.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise NumericalError(
            f"text {int(np.argmin(total))} of the sample has no variance: fit on other pairs"
        )
    _, _, rows = np.linalg.svd(variance / total, full_matrices=False)
    rank, error = 0, np.inf
    while rank < min(maximum_rank, len(rows)) and not error <= tolerance:
        rank += 1
        error = basis_error(sample, rows[:rank])
    chosen = rows[:rank] * np.sign(rows[:rank].sum(axis=1, keepdims=True))
    return np.asarray(chosen / np.abs(chosen).mean(axis=1, keepdims=True), dtype=np.float32), error


def basis_error(sample: GaussianEmbedding, basis: Array) -> float:
    """Relative error, at the 99th percentile of a sample, of what a variance told in a basis contributes to a score.

    Args:
        sample: n Gaussians, each of some variance.
        basis: `[r, D]`.
    """
    variance = sample.variance.astype(np.float64)
    weights = np.roll(sample.mean.astype(np.float64) ** 2, 1, axis=0)  # another text's mean, as in a score
    exact = (variance * weights).sum(axis=1)
    told = ((variance @ np.linalg.pinv(basis.astype(np.float64)) @ basis) * weights).sum(axis=1)
    return float(np.quantile(np.abs(told - exact) / exact, 0.99))
