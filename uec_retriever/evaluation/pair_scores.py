"""Similarity of sentence pairs under every method, the two sentences treated alike.

Neither sentence is a query: in the block layout each is asked for the other in turn, weighted by its own
coefficients against the other's plain blocks, and the two scores are averaged. Before the similarity that is
`sum_k (pi_k(a) + pi_k(b)) / 2 cos_k(a, b)`. The sum layout weights both sentences and is symmetric by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uec_retriever.convolution import convolve_block, convolve_sum
from uec_retriever.evaluation.fitted import FittedExperts
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.similarity import paired_moments, probit_score

Rows = Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class PairScores:
    """One method on n pairs.

    Attributes:
        kind: `single`, `ensemble`, `uec` or `ablation`.
        score: `[n]`, higher is more alike.
        mean: `[n]` of the similarity, before its variance counts; the score itself where there is none.
        variance: `[n]` of the similarity, averaged over both directions; None where the method has none.
        coefficients: `[K]` mean weight of each expert; None for a single one.
    """

    kind: str
    score: Array
    mean: Array
    variance: Array | None = None
    coefficients: Array | None = None


def cosines(gaussians: Sequence[GaussianEmbedding], one: Rows, other: Rows) -> Array:
    """`[n, K]` cosine of each pair under each expert."""
    return np.stack(
        [np.einsum("nd,nd->n", g.mean[one], g.mean[other], dtype=np.float64) for g in gaussians], axis=1
    )


def fixed_scores(kind: str, similarities: Array, weights: Array) -> PairScores:
    """Cosines under weights that are the same for all pairs."""
    score = similarities @ weights
    return PairScores(kind, score, score, coefficients=None if kind == "single" else weights)


def uec_scores(
    fitted: FittedExperts,
    one: Rows,
    other: Rows,
    *,
    layout: str = "block",
    similarity: bool = True,
    adaptive: bool = True,
) -> PairScores:
    """Pairs under UEC.

    Args:
        fitted: experts over all sentences.
        one: n positions of first sentences.
        other: n positions of second sentences.
        layout: `block` or `sum` (experts of one dimension).
        similarity: whether variances count in the score.
        adaptive: whether coefficients follow the text; uniform otherwise.
    """
    pi = fitted.coefficients()
    if not adaptive:
        pi = np.full_like(pi, 1 / pi.shape[1])
    a, b = ([g[list(rows)] for g in fitted.gaussians] for rows in (one, other))
    pi_a, pi_b = pi[list(one)], pi[list(other)]
    if layout == "sum":
        directions = [(convolve_sum(a, pi_a), convolve_sum(b, pi_b))]
    else:
        directions = [
            (convolve_block(a, pi_a), convolve_block(b)),
            (convolve_block(b, pi_b), convolve_block(a)),
        ]
    moments = [paired_moments(x, y) for x, y in directions]
    mean = np.asarray(np.mean([m for m, _ in moments], axis=0, dtype=np.float64))
    score = np.asarray(np.mean([probit_score(m, v) for m, v in moments], axis=0, dtype=np.float64))
    return PairScores(
        "uec" if similarity and adaptive else "ablation",
        score if similarity else mean,
        mean,
        np.asarray(np.mean([v for _, v in moments], axis=0, dtype=np.float64)),
        ((pi_a + pi_b) / 2).mean(axis=0),
    )


def directed_scores(
    fitted: FittedExperts, queries: Rows, candidates: Rows, *, calibrated: bool = True
) -> PairScores:
    """Queries with candidates, as in retrieval: the query's coefficients, the candidate's plain blocks.

    Args:
        fitted: experts over all texts.
        queries: n positions.
        candidates: n positions.
        calibrated: under calibrated variances; under the posterior's own otherwise.
    """
    pi = fitted.coefficients()[list(queries)]
    own = [
        g if calibrated else g.scale_variance(1 / scale)
        for g, scale in zip(fitted.gaussians, fitted.scales, strict=True)
    ]
    asked = convolve_block([g[list(queries)] for g in own], pi)
    mean, variance = paired_moments(asked, convolve_block([g[list(candidates)] for g in own]))
    score = probit_score(mean, variance)
    return PairScores(
        "uec", score.astype(np.float64), mean.astype(np.float64), variance.astype(np.float64), pi.mean(axis=0)
    )
