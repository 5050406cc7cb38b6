"""Closed-form generalised Gauss-Newton of the symmetric in-batch softmax, streamed over batches.

For an anchor z with unit vector mu, candidates Y (unit rows) and p = softmax(Y mu / tau), the
loss has the output Hessian `H = J (Y^T diag(p) Y - Y^T p p^T Y) J / tau^2` with
`J = (I - mu mu^T) / |z|`; it does not depend on which candidate is right. Everything here is a
few matrix products per batch: no per-sample loop, no sampling.

Source: design, step 1; UEC paper, section 3.1 and appendix (Laplace approximation).
"""

from __future__ import annotations

import torch
from torch import Tensor

from uec_retriever.errors import InvalidInputError, show


def softmax_over_candidates(embeddings: Tensor, candidates: Tensor, tau: float) -> Tensor:
    """`[n, m]` probabilities of the candidates for each anchor: softmax of cosine / tau.

    Args:
        embeddings: `[n, D]` anchors before L2 normalisation.
        candidates: `[m, D]` unit vectors.
        tau: temperature of the softmax, > 0.
    """
    anchors = torch.nn.functional.normalize(embeddings, dim=1)
    return torch.softmax(anchors @ candidates.T / tau, dim=1)


def hessian_diagonal(embeddings: Tensor, candidates: Tensor, tau: float) -> Tensor:
    """`[n, D]` diagonal of every anchor's output Hessian H (arguments as `softmax_over_candidates`)."""
    norm = embeddings.norm(dim=1, keepdim=True)
    mu = embeddings / norm
    p = softmax_over_candidates(embeddings, candidates, tau)
    cosine = mu @ candidates.T
    mean = p @ candidates - mu * (p * cosine).sum(1, keepdim=True)
    second = p @ candidates**2 - 2 * mu * ((p * cosine) @ candidates)
    second = second + mu**2 * (p * cosine**2).sum(1, keepdim=True)
    diagonal: Tensor = ((second - mean**2) / (tau * norm) ** 2).clamp_min(0)
    return diagonal


def hessian_sum(embeddings: Tensor, candidates: Tensor, tau: float) -> Tensor:
    """`[D, D]` sum of the anchors' output Hessians H (arguments as `softmax_over_candidates`)."""
    norm = embeddings.norm(dim=1, keepdim=True)
    mu = embeddings / norm
    weight = 1 / (tau * norm) ** 2
    p = softmax_over_candidates(embeddings, candidates, tau)
    cosine = mu @ candidates.T
    mean = p @ candidates - mu * (p * cosine).sum(1, keepdim=True)
    wp = weight * p
    cross = candidates.T @ ((wp * cosine).T @ mu)
    total: Tensor = candidates.T @ (wp.sum(0)[:, None] * candidates)
    total = total - cross - cross.T
    total = total + mu.T @ ((wp * cosine**2).sum(1, keepdim=True) * mu)
    total = total - mean.T @ (weight * mean)
    return total


class Curvature:
    """Running sums of the GGN over batches of calibration pairs.

    Keeps what both structures need, so that one pass over the pairs yields either:
    `fisher_sum` `[I, D]` (the diagonal GGN, sum of diag(gamma H gamma) (x) g^2) when `diag`, and
    `feature_sum` (sum of g g^T, `[I, I]`; its diagonal `[I]` for sparse features) with
    `output_sum` `[D, D]` (sum of gamma H gamma) when `kron`.

    Args:
        structure: `diag` or `kron`.
        tau: temperature of the in-batch softmax, > 0.
    """

    def __init__(self, structure: str, tau: float) -> None:
        if structure not in ("diag", "kron"):
            raise InvalidInputError(f"structure must be 'diag' or 'kron', got {show(structure)}")
        if not tau > 0:
            raise InvalidInputError(f"tau must be positive, got {tau}")
        self.structure = structure
        self.tau = tau
        self.count = 0
        self.fisher_sum: Tensor | None = None
        self.feature_sum: Tensor | None = None
        self.output_sum: Tensor | None = None

    def update_pairs(
        self,
        queries: tuple[Tensor, Tensor, Tensor],
        positives: tuple[Tensor, Tensor, Tensor],
    ) -> None:
        """Add one batch of pairs, each side in turn the anchors and the other side the candidates.

        Args:
            queries: features `[n, I]`, embeddings before normalisation `[n, D]`, gain `[D]` or
                `[n, D]`.
            positives: the same of the n positives, in the same order.
        """
        for anchors, others in ((queries, positives), (positives, queries)):
            self._update(*anchors, torch.nn.functional.normalize(others[1].double(), dim=1))

    def _update(self, features: Tensor, embeddings: Tensor, gain: Tensor, candidates: Tensor) -> None:
        z, gain = embeddings.double(), gain.double()
        self.count += len(z)
        if self.structure == "diag":
            diagonal = gain**2 * hessian_diagonal(z, candidates, self.tau)
            self.fisher_sum = _add(self.fisher_sum, _transposed_product(features, diagonal))
            return
        if gain.ndim == 2:  # a gain per text, as after tanh: gamma_n H_n gamma_n, one by one
            output = _gained_hessian_sum(z, candidates, self.tau, gain)
        else:
            output = gain[:, None] * hessian_sum(z, candidates, self.tau) * gain
        self.output_sum = _add(self.output_sum, output)
        self.feature_sum = _add(self.feature_sum, feature_second_moment(features))


def feature_second_moment(features: Tensor) -> Tensor:
    """Sum of g g^T over texts: `[I, I]` for dense features, its diagonal `[I]` for sparse ones."""
    if features.is_sparse:
        squares = torch.sparse.sum(features * features, dim=0)
        return squares.to_dense().double()
    return (features.T @ features).double()


def _transposed_product(features: Tensor, diagonal: Tensor) -> Tensor:
    """`(g^2)^T @ diagonal`, `[I, D]`."""
    if features.is_sparse:
        sparse: Tensor = torch.sparse.mm((features * features).to(diagonal.dtype).t(), diagonal)
        return sparse
    dense: Tensor = (features.to(diagonal.dtype) ** 2).T @ diagonal
    return dense


def _gained_hessian_sum(z: Tensor, candidates: Tensor, tau: float, gain: Tensor) -> Tensor:
    total = torch.zeros(z.shape[1], z.shape[1], dtype=z.dtype, device=z.device)
    for row in range(len(z)):
        h = hessian_sum(z[row : row + 1], candidates, tau)
        total += gain[row][:, None] * h * gain[row]
    return total


def _add(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total.add_(term)
