"""Step 3, uncertainty-aware similarity: the moments of s = q . c and the probit-scaled score.

What the similarity guarantees, whatever the variances are (`similarity`):

- Its deviation is at most 1.
- A candidate with m = 1, whose embedding is the query's, has deviation 0 and score 1, and none scores higher. So the
  text itself ranks first, alone or beside texts of the same embedding, where queries and documents are embedded alike
  (no prompts that differ) by every expert; in the sum layout, also where their coefficients are alike.
- A candidate falls behind one of lower m only if their means differ by at most `pi / 16 |m| v`, less than v / 5, with
  the smaller of the two |m|, and the v of the one that falls (of the one that rises, where the means are negative).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uec_retriever.gaussian import Array, GaussianEmbedding


def moments(queries: GaussianEmbedding, candidates: GaussianEmbedding) -> tuple[Array, Array]:
    """Mean and variance of the dot product of independent Gaussians, of every pair.

    `m = mu_q . mu_c`, `v = mu_q^2 . Sigma_c + Sigma_q . mu_c^2 + Sigma_q . Sigma_c`.

    Args:
        queries: n Gaussians of dimension D.
        candidates: m Gaussians of dimension D.

    Returns:
        Two `[n, m]` arrays: the means, and the variances (>= 0).

    Source: UEC paper, section 3.3.
    """
    mean = queries.mean @ candidates.mean.T
    variance = candidates.weighted_variance(queries.mean**2 + queries.variance)
    return mean, variance + queries.weighted_variance(candidates.mean**2).T


def paired_moments(one: GaussianEmbedding, other: GaussianEmbedding) -> tuple[Array, Array]:
    """The same row by row: the diagonals of `moments`, without the other pairs.

    Args:
        one: n Gaussians of dimension D.
        other: n Gaussians of dimension D.

    Returns:
        Two `[n]` arrays: the means, and the variances (>= 0).
    """
    mean = np.einsum("nd,nd->n", one.mean, other.mean)
    variance = np.einsum("nd,nd->n", one.mean**2 + one.variance, other.variance)
    variance += np.einsum("nd,nd->n", one.variance, other.mean**2)
    return mean, variance


def join_moments(parts: Sequence[tuple[Array, Array]], weights: Sequence[float]) -> tuple[Array, Array]:
    """Mean and variance of `sum_k w_k s_k`, of independent similarities: those of a query whose blocks are weighted.

    Args:
        parts: K pairs of means and variances (>= 0), all of one shape.
        weights: K of them.
    """
    mean = sum(w * m for w, (m, _) in zip(weights, parts, strict=True))
    variance = sum(w**2 * v for w, (_, v) in zip(weights, parts, strict=True))
    return np.asarray(mean), np.asarray(variance)


def similarity(mean: Array, variance: Array) -> tuple[Array, Array]:
    """Uncertainty-aware similarity of unit vectors, and its deviation.

    A similarity s of unit vectors lies in [-1, 1], so that `Var[s] <= 1 - m^2`: variances beyond that come from moments
    that know nothing of the sphere, and are cut there. Thus the variance ends where the mean is certain, at m = 1.

    Args:
        mean: any shape, E[s] of unit vectors, or of weighted blocks of them whose weights sum to 1.
        variance: same shape, of `moments` (>= 0).

    Returns:
        Two arrays of that shape: the probit score, in [-1, 1], and the deviation, in [0, 1].

    Source: the bound is that of Bhatia and Davis (2000), "A better bound on the variance".
    """
    variance = np.minimum(variance, np.maximum(0, 1 - mean**2))
    return probit_score(mean, variance), np.sqrt(variance)


def probit_score(mean: Array, variance: Array) -> Array:
    """Uncertainty-aware similarity `s^ = m / sqrt(1 + pi v / 8)`; higher is better.

    Args:
        mean: any shape, E[s].
        variance: same shape, Var[s] >= 0.

    Source: UEC paper, section 3.3 (MacKay's probit approximation).
    """
    return np.asarray(mean / np.sqrt(1.0 + np.pi / 8.0 * variance))


def unit_score(score: Array) -> Array:
    """Map a score from [-1, 1] to [0, 1], `(1 + s^) / 2`, clipped against rounding; order is kept."""
    return np.asarray(np.clip((1.0 + np.asarray(score)) / 2.0, 0.0, 1.0))


def wasserstein2_squared(queries: GaussianEmbedding, candidates: GaussianEmbedding) -> Array:
    """`[n, m]` exact squared 2-Wasserstein distances of Gaussians with diagonal covariances.

    `|mu_q - mu_c|^2 + |sigma_q - sigma_c|^2`. For unit means the score is `1 - W2^2 / 2` up to
    the order of the variances (UEC paper, theorem 1).
    """
    means = queries.mean[:, None, :] - candidates.mean[None, :, :]
    deviations = np.sqrt(queries.variance)[:, None, :] - np.sqrt(candidates.variance)[None, :, :]
    return np.asarray((means**2).sum(-1) + (deviations**2).sum(-1))
