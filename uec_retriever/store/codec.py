"""Variance codec: each text's variance as a few numbers in a basis, a short string in Chroma.

An expert's variances nearly lie in a space of few dimensions: exactly one for a Kronecker
posterior (a text scales one profile), some for a diagonal one. Per text and block the string holds
the coefficients c of Sigma_c in the basis U and the projections `U mu_c^2`. The variance of a
score then needs no embedding of the candidate:

`v = sum_k pi_k^2 [c_k . U_k (mu_q^2 + Sigma_q) + c_q . U_k mu_c^2]`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag

from uec_retriever.errors import CorruptFileError
from uec_retriever.gaussian import Array, FactoredVariance, GaussianEmbedding


@dataclass(frozen=True, eq=False)
class CodedVariances:
    """Variances of n texts in the basis of a codec.

    Attributes:
        coefficients: `[n, R]` of each text's variance, all blocks side by side.
        projections: `[n, R]` basis times squared mean.
    """

    coefficients: Array
    projections: Array


@dataclass(frozen=True, eq=False)
class VarianceCodec:
    """Codes variances of texts whose embedding consists of one block per basis.

    Attributes:
        bases: per block, `[r_k, D_k]`.
    """

    bases: Sequence[Array]

    @cached_property
    def rank(self) -> int:
        """R, numbers per text and kind, summed over blocks."""
        return sum(len(basis) for basis in self.bases)

    @cached_property
    def _traces(self) -> Array:
        """`[R]` of the profiles that the bases consist of."""
        return np.concatenate([basis.sum(axis=1) for basis in self.bases])

    @cached_property
    def _projection(self) -> Array:
        """`[sum_k D_k, R]` the transposed bases on the diagonal."""
        return np.asarray(block_diag(*(b.T for b in self.bases)), dtype=np.float32)

    @cached_property
    def _inverse(self) -> Array:
        """`[sum_k D_k, R]` the pseudo-inverses of the bases on the diagonal."""
        inverses = [np.linalg.pinv(b.astype(np.float64)) for b in self.bases]
        return np.asarray(block_diag(*inverses), dtype=np.float32)

    def code(self, texts: GaussianEmbedding) -> CodedVariances:
        """Tell the variances of block embeddings of dimension `sum_k D_k` in the bases."""
        return CodedVariances(_product(texts.spread, self._inverse), texts.mean**2 @ self._projection)

    def bound(self, coded: CodedVariances) -> CodedVariances:
        """The same with no block's trace above 1 (see `GaussianEmbedding.bounded`), for unweighted blocks."""
        ranks = [len(basis) for basis in self.bases]
        of_blocks = np.add.reduceat(self._traces * coded.coefficients, np.cumsum([0, *ranks[:-1]]), axis=1)
        if (of_blocks <= 1).all():
            return coded
        shrinkage = np.repeat(1 / np.maximum(1, of_blocks), ranks, axis=1)
        return CodedVariances(coded.coefficients * shrinkage, coded.projections)

    def decode_variance(self, coded: CodedVariances) -> Array:
        """`[n, sum_k D_k]` the variances that the code stands for, >= 0."""
        return np.maximum(coded.coefficients @ self._projection.T, 0)

    def to_strings(self, coded: CodedVariances) -> list[str]:
        """One base64 string per text: 2 R float32 numbers."""
        both = np.concatenate([coded.coefficients, coded.projections], axis=1).astype("<f4")
        return [base64.b64encode(row.tobytes()).decode("ascii") for row in both]

    def from_strings(self, strings: Sequence[str]) -> CodedVariances:
        """Inverse of `to_strings`.

        Raises:
            CorruptFileError: if a string was made by another codec.
        """
        try:
            rows = [base64.b64decode(string, validate=True) for string in strings]
        except ValueError:
            rows = [b""] * len(strings)
        if any(len(row) != self.rank * 8 for row in rows):
            raise CorruptFileError("stored variances do not fit the posterior: rebuild with 'uec reindex'")
        both = np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(strings), 2 * self.rank)
        return CodedVariances(both[:, : self.rank], both[:, self.rank :])

    def score_variance(self, query: GaussianEmbedding, candidates: CodedVariances) -> Array:
        """`[m]` Var[s] of one query with each candidate, from coded candidates alone.

        Args:
            query: one Gaussian in block form; its weights pi_k are in its mean and variance.
            candidates: m unweighted candidates.
        """
        seen = query.mean[0] ** 2 @ self._projection + _product(query.spread, self._projection)[0]
        own = _product(query.spread, self._inverse)[0]
        return np.asarray(np.maximum(candidates.coefficients @ seen + candidates.projections @ own, 0))


def _product(variance: Array | FactoredVariance, matrix: Array) -> Array:
    """`[n, R]` variances times a `[sum_k D_k, R]` matrix, through their factors where they have any."""
    if isinstance(variance, FactoredVariance):
        return variance.coefficients @ (variance.basis @ matrix)
    return variance @ matrix
