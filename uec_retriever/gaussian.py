"""GaussianEmbedding: what one expert, or their convolution, says about a batch of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uec_retriever.errors import InvalidInputError, NumericalError

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class GaussianEmbedding:
    """A batch of Gaussian embeddings N(mean, diag(variance)), one row per text.

    Attributes:
        mean: `[n, D]` floating point, finite. Unit length for a single expert.
        variance: `[n, D]` floating point, finite and >= 0, in squared units of `mean`.

    Raises:
        InvalidInputError: if the shapes differ or are not two-dimensional.
        NumericalError: if a value is NaN or infinite, or a variance negative.

    Source: UEC paper, section 3.1 (probabilistic embedding).
    """

    mean: Array
    variance: Array

    def __post_init__(self) -> None:
        if self.mean.ndim != 2 or self.mean.shape != self.variance.shape:
            raise InvalidInputError(
                f"mean {self.mean.shape} and variance {self.variance.shape} must both be [n, D]"
            )
        if not np.isfinite(self.mean).all() or not np.isfinite(self.variance).all():
            raise NumericalError("mean and variance must be finite")
        if (self.variance < 0).any():
            raise NumericalError("variance must not be negative")

    def __len__(self) -> int:
        return int(self.mean.shape[0])

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[np.integer[Any]]) -> GaussianEmbedding:
        """The chosen texts, always as a batch."""
        return GaussianEmbedding(self.mean[rows], self.variance[rows])

    @property
    def dimension(self) -> int:
        """Length D of each embedding."""
        return int(self.mean.shape[1])

    @property
    def trace(self) -> Array:
        """`[n]` tr(Sigma) of each text: its total variance, the uncertainty u of the UEC paper."""
        return np.asarray(self.variance.sum(axis=1))

    @staticmethod
    def concatenate(batches: Sequence[GaussianEmbedding]) -> GaussianEmbedding:
        """Join batches of equal dimension, in order."""
        return GaussianEmbedding(
            np.concatenate([b.mean for b in batches]), np.concatenate([b.variance for b in batches])
        )


def normalise(mean: Array, variance: Array) -> GaussianEmbedding:
    """L2-normalise a Gaussian to first order: `mean / |mean|`, `variance / |mean|^2`.

    Args:
        mean: `[n, D]`, rows of non-zero length.
        variance: `[n, D]`.

    Raises:
        NumericalError: if a mean has no length or is not finite.

    Source: design, step 1 (delta method; the projection onto the sphere is left out, which
    changes a coordinate's variance by a factor within `1 - 2 mu_i^2`).
    """
    norm = np.linalg.norm(mean, axis=1, keepdims=True)
    if not np.isfinite(norm).all() or (norm == 0).any():
        row = int(np.flatnonzero(~np.isfinite(norm[:, 0]) | (norm[:, 0] == 0))[0])
        raise NumericalError(f"text {row}: its embedding is zero, NaN or infinite and has no direction")
    return GaussianEmbedding(mean / norm, variance / norm**2)
