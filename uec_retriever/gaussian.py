"""GaussianEmbedding: what one expert, or their convolution, says about a batch of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uec_retriever.errors import InvalidInputError, NumericalError

Array = NDArray[np.floating[Any]]
Rows = slice | Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class FactoredVariance:
    """Variances that are mixtures of a few profiles, as a Kronecker posterior gives them: `coefficients @ basis`.

    Attributes:
        coefficients: `[n, r]` floating point, >= 0.
        basis: `[r, D]` profiles, >= 0.
    """

    coefficients: Array
    basis: Array

    @property
    def shape(self) -> tuple[int, int]:
        """(n, D)."""
        return len(self.coefficients), self.basis.shape[1]

    def __getitem__(self, rows: Rows) -> FactoredVariance:
        return FactoredVariance(self.coefficients[rows], self.basis)

    def __mul__(self, factor: Array | np.floating[Any] | float) -> FactoredVariance:
        """Times a number, or `[n, 1]` numbers."""
        return FactoredVariance(np.asarray(self.coefficients * factor), self.basis)


@dataclass(frozen=True, eq=False, init=False)
class GaussianEmbedding:
    """A batch of Gaussian embeddings N(mean, diag(variance)), one row per text.

    Args:
        mean: `[n, D]` floating point, finite. Unit length for a single expert.
        variance: `[n, D]` floating point, finite and >= 0, in squared units of `mean`, or its factors.

    Attributes:
        mean: as given.
        spread: the variance as given, dense or in factors; `variance` is always dense.

    Raises:
        InvalidInputError: if the shapes differ or are not two-dimensional.
        NumericalError: if a value is NaN or infinite, or a variance negative.

    Source: UEC paper, section 3.1 (probabilistic embedding).
    """

    mean: Array
    spread: Array | FactoredVariance

    def __init__(self, mean: Array, variance: Array | FactoredVariance) -> None:
        if mean.ndim != 2 or mean.shape != variance.shape:
            raise InvalidInputError(f"mean {mean.shape} and variance {variance.shape} must both be [n, D]")
        parts = (
            [variance.coefficients, variance.basis] if isinstance(variance, FactoredVariance) else [variance]
        )
        if not all(bool(np.isfinite(values).all()) for values in (mean, *parts)):
            raise NumericalError("mean and variance must be finite")
        if any(bool((values < 0).any()) for values in parts):
            raise NumericalError("variance must not be negative")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "spread", variance)

    def __len__(self) -> int:
        return int(self.mean.shape[0])

    def __getitem__(self, rows: Rows) -> GaussianEmbedding:
        """The chosen texts, always as a batch."""
        chosen = object.__new__(GaussianEmbedding)  # what is valid need not be checked again
        object.__setattr__(chosen, "mean", self.mean[rows])
        object.__setattr__(chosen, "spread", self.spread[rows])
        return chosen

    @property
    def dimension(self) -> int:
        """Length D of each embedding."""
        return int(self.mean.shape[1])

    @cached_property
    def variance(self) -> Array:
        """`[n, D]` the variance; made out of its factors, if it has any, when first read."""
        if isinstance(self.spread, FactoredVariance):
            return self.spread.coefficients @ self.spread.basis
        return self.spread

    @property
    def trace(self) -> Array:
        """`[n]` tr(Sigma) of each text: its total variance, the uncertainty u of the UEC paper."""
        if isinstance(self.spread, FactoredVariance):
            return np.asarray(self.spread.coefficients @ self.spread.basis.sum(axis=1))
        return np.asarray(self.spread.sum(axis=1))

    def weighted_variance(self, weights: Array) -> Array:
        """`[m, n]` `sum_d weights_d Sigma_d` of each text, for `[m, D]` weights."""
        if isinstance(self.spread, FactoredVariance):
            return np.asarray(weights @ self.spread.basis.T @ self.spread.coefficients.T)
        return np.asarray(weights @ self.spread.T)

    def scale_variance(self, factor: float) -> GaussianEmbedding:
        """The same means under `factor` >= 0 times the variance; itself for 1."""
        if factor == 1:
            return self
        return GaussianEmbedding(self.mean, self.spread * np.float32(factor))

    def bounded(self) -> GaussianEmbedding:
        """The same means, each text's variances shrunk alike until their trace is at most 1; itself if all are so.

        No distribution over vectors of unit length has more: `tr Sigma = E|x|^2 - |E x|^2 = 1 - |E x|^2`. Propagation
        to first order knows no such end, so a text unlike all calibration pairs may leave it with a trace of
        hundreds. Traces below 1 stay as they are, in the unit that variance calibration gave them.
        """
        trace = self.trace
        if not (trace > 1).any():
            return self
        return GaussianEmbedding(self.mean, self.spread * (1 / np.maximum(1, trace))[:, None])

    def average(self) -> GaussianEmbedding:
        """The mean of the n >= 1 texts, taken as independent, as a batch of one."""

        def over_texts(values: Array) -> Array:
            return np.asarray(values.mean(axis=0, keepdims=True))

        mean, share = over_texts(self.mean), np.float32(1 / len(self))
        if isinstance(self.spread, FactoredVariance):
            coefficients = over_texts(self.spread.coefficients)
            return GaussianEmbedding(mean, FactoredVariance(coefficients, self.spread.basis) * share)
        return GaussianEmbedding(mean, over_texts(self.spread) * share)

    @staticmethod
    def concatenate(batches: Sequence[GaussianEmbedding]) -> GaussianEmbedding:
        """Join batches of equal dimension, at least one, in order."""
        if len(batches) == 1:
            return batches[0]
        mean = np.concatenate([b.mean for b in batches])
        factors = [b.spread for b in batches if isinstance(b.spread, FactoredVariance)]
        if len(factors) == len(batches) and all(np.array_equal(f.basis, factors[0].basis) for f in factors):
            coefficients = np.concatenate([f.coefficients for f in factors])
            return GaussianEmbedding(mean, FactoredVariance(coefficients, factors[0].basis))
        return GaussianEmbedding(mean, np.concatenate([b.variance for b in batches]))


def normalise(
    mean: Array, variance: Array | FactoredVariance, *, owner: str = "", first: int = 0
) -> GaussianEmbedding:
    """L2-normalise a Gaussian to first order: `mean / |mean|`, `variance / |mean|^2`.

    Args:
        mean: `[n, D]`, rows of non-zero length.
        variance: `[n, D]`, or its factors.
        owner: what gave the mean, for messages.
        first: position of the first text, for messages.

    Raises:
        NumericalError: if a mean has no length or is not finite.

    Source: design, step 1 (delta method; the projection onto the sphere is left out, which
    changes a coordinate's variance by a factor within `1 - 2 mu_i^2`).
    """
    norm = lengths(mean, owner=owner, first=first)
    return GaussianEmbedding(mean / norm, variance * (1 / norm**2))


def lengths(embeddings: Array, *, owner: str = "", first: int = 0) -> Array:
    """`[n, 1]` lengths of `[n, D]` embeddings, each of which has a direction.

    Args:
        embeddings: one row per text.
        owner: what gave them, for messages.
        first: position of the first text, for messages.

    Raises:
        NumericalError: naming the first text whose embedding is zero, NaN or infinite.
    """
    norm = np.linalg.norm(embeddings, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norm[:, 0]) | (norm[:, 0] == 0))
    if len(bad):
        position = first + int(bad[0])
        raise NumericalError(
            f"{owner}{': ' if owner else ''}text {position} has a zero, NaN or infinite embedding: drop the text, or "
            "load the model in float32",
            position=position,
        )
    return np.asarray(norm)
