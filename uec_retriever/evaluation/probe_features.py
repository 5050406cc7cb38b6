"""What a probe sees of texts under each method.

The features of an ensemble are its experts' unit vectors side by side, block k times `sqrt(pi_k)`: the dot product of two
texts is then `sum_k sqrt(pi_k(a) pi_k(b)) cos_k`, the convolution's own where they agree on the coefficients. The
uncertainty-aware similarity becomes a moderated probe: a logit's variance under the embedding's draws it towards 0.
So "no similarity" leaves out the moderation, "no coefficients" the weighting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from uec_retriever.convolution import convolve_block
from uec_retriever.evaluation.fitted import FittedExperts
from uec_retriever.evaluation.probe import Probe
from uec_retriever.gaussian import Array, GaussianEmbedding

BASELINE = "uniform"


@dataclass(frozen=True, eq=False)
class Features:
    """A method's view of all texts.

    Attributes:
        kind: `single`, `ensemble`, `uec` or `ablation`.
        key: methods with the same means have the same, and share their probes.
        gaussian: means and variances of the features.
        moderated: whether the variances count.
        coefficients: `[K]` mean weight of each expert; None for a single one.
    """

    kind: str
    key: str
    gaussian: GaussianEmbedding
    moderated: bool = False
    coefficients: Array | None = None

    def probabilities(self, probe: Probe, rows: Sequence[int]) -> Array:
        """`[n, C]` that a probe gives some of the texts."""
        texts = self.gaussian[list(rows)]
        return probe.probabilities(texts.mean, texts.variance if self.moderated else None)


def probe_features(fitted: Mapping[str, FittedExperts], weights: Array) -> dict[str, Features]:
    """Features of every method.

    Args:
        fitted: structure -> experts over all texts.
        weights: `[K]` fixed ones of `weighted`.
    """
    first = next(iter(fitted.values()))
    number = len(first.gaussians)
    uniform = np.full(number, 1 / number)
    labels = [e.label for e in first.manifest.experts]
    methods = {label: Features("single", label, g) for label, g in zip(labels, first.gaussians, strict=True)}
    methods[BASELINE] = Features("ensemble", BASELINE, _joined(first, uniform), coefficients=uniform)
    methods["weighted"] = Features("ensemble", "weighted", _joined(first, weights), coefficients=weights)
    for structure, texts in fitted.items():
        pi = texts.coefficients()
        adaptive, even = _joined(texts, pi), _joined(texts, uniform)
        mean = pi.mean(axis=0)
        for label, features in {
            "": Features("uec", structure, adaptive, True, mean),
            ", no similarity": Features("ablation", structure, adaptive, False, mean),
            ", no coefficients": Features("ablation", BASELINE, even, True, uniform),
            ", neither": Features("ablation", BASELINE, even, False, uniform),
        }.items():
            methods[f"UEC {structure}{label}"] = features
    return methods


def _joined(fitted: FittedExperts, weights: Array) -> GaussianEmbedding:
    """Unit blocks side by side, each times the root of its weight."""
    texts = len(fitted.gaussians[0])
    return convolve_block(fitted.gaussians, np.sqrt(np.broadcast_to(weights, (texts, len(fitted.gaussians)))))


def neighbour_accuracy(
    fitted: FittedExperts, weights: Array, rows: Sequence[int], labels: Sequence[str]
) -> float:
    """Share of texts whose nearest neighbour among the others has their label."""
    similarity = sum(
        w * g.mean[rows] @ g.mean[rows].T for w, g in zip(weights, fitted.gaussians, strict=True)
    )
    similarity = np.asarray(similarity)
    np.fill_diagonal(similarity, -np.inf)
    names = np.array(labels)
    return float((names[similarity.argmax(axis=1)] == names).mean())
