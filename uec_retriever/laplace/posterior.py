"""The posterior over the last linear layer, and the variance that it gives an embedding.

`DiagonalPosterior` is the paper's; `KroneckerPosterior` ours: it sees directions in feature space.
Both are linear in their covariance: `scale` multiplies every variance.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from scipy.optimize import brentq
from torch import Tensor

from uec_retriever.errors import InvalidInputError
from uec_retriever.laplace.curvature import Curvature

_NEGLIGIBLE = 1e-4  # of the damping
_FEWEST_PARAMETERS = 0.01  # effective number that any informative pairs exceed


def prior_precision(eigenvalues: Tensor, squared_norm: float) -> float:
    """The prior precision lambda that maximises the Laplace marginal likelihood.

    For a prior N(0, I / lambda) and posterior precision with the given eigenvalues of N F, the
    evidence is, up to a constant, `(sum log lambda - sum log(NF + lambda) - lambda |W|^2) / 2`.
    Its derivative vanishes where the effective number of parameters
    `gamma(lambda) = sum NF / (NF + lambda)` equals `lambda |W|^2`: one root.

    Args:
        eigenvalues: any shape, >= 0, the curvature N F (zeros may be left out).
        squared_norm: |W|^2 > 0 of the trained weights.

    Source: MacKay (1992), as in BayesVLM and laplace-torch.
    """
    curvature = eigenvalues.flatten().double()
    if not squared_norm > 0 or not bool((curvature > 0).any()):
        raise InvalidInputError("the calibration pairs carry no curvature: give more or other pairs")

    def surplus(log_precision: float) -> float:
        precision = math.exp(log_precision)
        return float((curvature / (curvature + precision)).sum()) - precision * squared_norm

    return math.exp(brentq(surplus, math.log(1e-15), math.log(1e20), xtol=1e-6))


def _informed_precision(eigenvalues: Tensor, squared_norm: float) -> float:
    """The prior precision, unless the curvature is nothing but rounding errors."""
    precision = prior_precision(eigenvalues, squared_norm)
    if precision * squared_norm < _FEWEST_PARAMETERS:
        raise InvalidInputError("the calibration pairs carry no curvature: give more or other pairs")
    return precision


@dataclass(frozen=True, eq=False, kw_only=True)
class Posterior(ABC):
    """What both structures share.

    Attributes:
        count: N, the texts that served as anchors.
        prior_precision: lambda > 0.
        tau: temperature of the softmax it was fitted under.
        scale: multiplies every variance; makes experts comparable (variance calibration).
        basis: `[r, D]` in which its variances can be told (see `basis`); None before variance calibration.
    """

    structure: ClassVar[str]
    count: int
    prior_precision: float
    tau: float
    scale: float = 1.0
    basis: Tensor | None = None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(D, I) of the layer it is over."""

    @abstractmethod
    def output_variance(self, features: Tensor) -> Tensor:
        """Variance of the linear layer's pooled output.

        Args:
            features: `[n, I]`, dense or sparse COO.

        Returns:
            `[n, D]`; times gain^2 it is the variance of z.
        """

    def variance_factors(self, features: Tensor) -> tuple[Tensor, Tensor] | None:
        """`output_variance` as `[n, r]` coefficients times `[r, D]` profiles; None where it is no such product."""
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class DiagonalPosterior(Posterior):
    """Cov(W)_ij = 1 / (N F_ij + lambda) (UEC paper, section 3.1).

    Attributes:
        fisher: `[I, D]` mean diagonal GGN F per anchor.
    """

    structure = "diag"
    fisher: Tensor

    @classmethod
    def from_curvature(cls, curvature: Curvature, squared_norm: float) -> DiagonalPosterior:
        """Fit lambda by marginal likelihood. `squared_norm` is |W|^2."""
        total = _require(curvature.fisher_sum)
        precision = _informed_precision(total[total.amax(dim=1) > 0], squared_norm)
        return cls(
            count=curvature.count,
            prior_precision=precision,
            tau=curvature.tau,
            fisher=(total / curvature.count).float(),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(D, I) of the layer it is over."""
        inputs, outputs = self.fisher.shape
        return outputs, inputs

    @cached_property
    def covariance(self) -> Tensor:
        """`[I, D]` variance of each weight, before `scale`."""
        return 1.0 / (self.count * self.fisher + self.prior_precision)

    def output_variance(self, features: Tensor) -> Tensor:
        """See `Posterior.output_variance`."""
        squares = features * features
        product: Tensor = (
            torch.sparse.mm(squares, self.covariance) if features.is_sparse else squares @ self.covariance
        )
        return self.scale * product


@dataclass(frozen=True, eq=False, kw_only=True)
class KroneckerPosterior(Posterior):
    """Cov(W) = (N A~ (x) B~)^-1 with factored damping of lambda (Martens and Grosse, 2015).

    `A~ = A + pi sqrt(lambda / N) I`, `B~ = B + sqrt(lambda / N) / pi I`, with
    `pi^2 = (tr A / I) / (tr B / D)`.

    Attributes:
        feature_values: `[r]` eigenvalues of A = E[g g^T], > 0; those that damping drowns (below
            1e-4 of it, so that no variance changes by more) are left out.
        feature_vectors: `[I, r]` their eigenvectors as columns; None when A is diagonal (sparse
            features: then r = I, one value a token, and an unseen token keeps its prior variance).
        output_factor: `[D, D]` B = E[gamma H gamma].
    """

    structure = "kron"
    feature_values: Tensor
    feature_vectors: Tensor | None
    output_factor: Tensor

    @classmethod
    def from_curvature(cls, curvature: Curvature, squared_norm: float) -> KroneckerPosterior:
        """Fit lambda by marginal likelihood. `squared_norm` is |W|^2."""
        count = curvature.count
        output = _require(curvature.output_sum) / count
        second = _require(curvature.feature_sum) / count
        vectors: Tensor | None = None
        if second.ndim == 1:
            values = second
        else:
            values, vectors = torch.linalg.eigh(second)
            vectors = vectors.float().contiguous()
        values = values.clamp_min(0)
        outputs = torch.linalg.eigvalsh(output).clamp_min(0)
        seen = values[values > 0]
        precision = _informed_precision(count * seen[:, None] * outputs, squared_norm)
        whole = cls(
            count=count,
            prior_precision=precision,
            tau=curvature.tau,
            feature_values=values.float(),
            feature_vectors=vectors,
            output_factor=output.float(),
        )
        if vectors is None:
            return whole
        kept = whole.feature_values > _NEGLIGIBLE * whole.damping[0]
        return replace(
            whole, feature_values=whole.feature_values[kept], feature_vectors=vectors[:, kept].contiguous()
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(D, I) of the layer it is over."""
        inputs = self.feature_values if self.feature_vectors is None else self.feature_vectors
        return len(self.output_factor), len(inputs)

    @cached_property
    def damping(self) -> tuple[float, float]:
        """What is added to the diagonals of A and B."""
        trace = float(self.feature_values.double().sum())
        ratio = (trace / self.shape[1] / float(self.output_factor.diagonal().double().mean())) ** 0.5
        root = (self.prior_precision / self.count) ** 0.5
        return ratio * root, root / ratio

    @cached_property
    def profile(self) -> Tensor:
        """`[D]` diagonal of (N B~)^-1: how variance is spread over dimensions, alike for all texts."""
        factor = self.output_factor.double()
        damped = factor + self.damping[1] * torch.eye(len(factor), dtype=factor.dtype)
        inverse: Tensor = torch.linalg.inv(damped)
        return (inverse.diagonal() / self.count).float()

    @cached_property
    def _feature_covariance(self) -> Tensor:
        return 1 / (self.feature_values + self.damping[0])

    def feature_uncertainty(self, features: Tensor) -> Tensor:
        """`[n]` g^T A~^-1 g: how far a text's features lie from those of the calibration pairs."""
        if features.is_sparse:
            product: Tensor = torch.sparse.mm(features * features, self._feature_covariance[:, None])
            return product[:, 0]
        if self.feature_vectors is None:
            return (features**2) @ self._feature_covariance
        squares = (features @ self.feature_vectors) ** 2
        known = squares @ self._feature_covariance
        if len(self.feature_vectors) == len(self.feature_values):
            return known
        rest = (features**2).sum(1) - squares.sum(1)  # outside the span of the calibration pairs
        return known + rest.clamp_min(0) / self.damping[0]

    def output_variance(self, features: Tensor) -> Tensor:
        """See `Posterior.output_variance`."""
        coefficients, profiles = self.variance_factors(features)
        return coefficients * profiles

    def variance_factors(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See `Posterior.variance_factors`: one profile for all texts."""
        return self.scale * self.feature_uncertainty(features)[:, None], self.profile[None]


STRUCTURES: dict[str, type[DiagonalPosterior] | type[KroneckerPosterior]] = {
    "diag": DiagonalPosterior,
    "kron": KroneckerPosterior,
}


def _require(total: Tensor | None) -> Tensor:
    if total is None:
        raise InvalidInputError("no calibration pairs were added for this structure")
    return total
