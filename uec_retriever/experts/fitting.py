"""Fit an expert's posterior on calibration pairs, and calibrate it on held-out ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
import torch

from uec_retriever.convolution import PairLikelihood, pair_likelihood
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.progress import Progress
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.head import Role
from uec_retriever.gaussian import Array, GaussianEmbedding, lengths
from uec_retriever.laplace.basis import TOLERANCE, variance_basis
from uec_retriever.laplace.curvature import Curvature
from uec_retriever.laplace.files import PosteriorHeader
from uec_retriever.laplace.posterior import STRUCTURES, Posterior
from uec_retriever.laplace.variance_calibration import reference_zero, variance_scale

DEFAULT_TAU = 0.05
DEFAULT_STRUCTURE = "kron"
BATCH_PAIRS = 64
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Reference:
    """What an expert makes of the common reference pairs.

    Attributes:
        query_zero: mean log tr(Sigma) of the queries.
        document_zero: the same of the positives.
        query_spread: deviation of log tr(Sigma) of the queries.
        document_spread: the same of the positives.
        likelihood: of the positives, pair by pair.
        scale: the variance scale that these pairs call for, relative to the posterior's own.
        queries: the Gaussians of the queries.
        positives: the Gaussians of the positives.
    """

    query_zero: float
    document_zero: float
    query_spread: float
    document_spread: float
    likelihood: PairLikelihood
    scale: float
    queries: GaussianEmbedding
    positives: GaussianEmbedding

    def scale_variance(self, factor: float) -> Reference:
        """The same under variances `factor` times as large."""
        return _reference(self.queries.scale_variance(factor), self.positives.scale_variance(factor))


@dataclass(frozen=True, eq=False)
class Fit:
    """Outcome of `fit_posterior`.

    Attributes:
        expert: the expert with its posterior.
        header: for `save_posterior`.
        reference: what the fitted expert makes of the held-out pairs.
        basis_error: relative error of a score's variance when it is told in the posterior's basis, as an index
            stores it; above `laplace.basis.TOLERANCE`, deviations from an index are that much off.
    """

    expert: Expert
    header: PosteriorHeader
    reference: Reference
    basis_error: float

    @property
    def posterior(self) -> Posterior:
        """That of `expert`, for `save_posterior`."""
        assert self.expert.posterior is not None
        return self.expert.posterior


def fit_posterior(
    expert: Expert,
    pairs: CalibrationPairs,
    *,
    structure: str = DEFAULT_STRUCTURE,
    tau: float = DEFAULT_TAU,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Fit:
    """Fit the posterior of an expert and calibrate its variances; the given expert stays as it is.

    Curvature and prior precision come from the first part of the pairs, the variance scale from
    the held-out rest (`CalibrationPairs.split`).

    Args:
        expert: with or without a posterior, which has no say.
        pairs: calibration pairs in random order.
        structure: `kron` or `diag`.
        tau: temperature of the in-batch softmax.
        batch_size: texts in one forward pass.
        progress: called with the number of texts done; `2 len(pairs)` in all.

    Raises:
        InvalidInputError: for too few or degenerate pairs, or an unknown structure.
        NumericalError: if the model yields NaN, infinite or zero vectors.
    """
    training, held = pairs.split()
    curvature = Curvature(structure, tau)
    seen: list[Array] = []
    groups = np.array_split(np.arange(len(training)), max(1, round(len(training) / BATCH_PAIRS)))
    by_role: list[tuple[Sequence[str], Role]] = [
        (training.queries, "query"),
        (training.positives, "document"),
    ]
    for group in groups:
        rows = slice(group[0], group[-1] + 1)
        sides = []
        for texts, role in by_role:
            side = expert.linearise(texts[rows], role, batch_size=batch_size, progress=progress)
            lengths(
                side.embeddings.numpy(), owner=f"expert {expert.label}, as {role} of pairs", first=rows.start
            )
            sides.append((side.features, side.embeddings, side.gain))
        seen += [embeddings.numpy() for _, embeddings, _ in sides]
        curvature.update_pairs(*sides)
    if _alike(seen):
        raise InvalidInputError(
            f"expert {expert.label} gives different texts the same embedding, as a mock does: give an embedding that tells "
            "texts apart"
        )
    posterior: Posterior = STRUCTURES[structure].from_curvature(curvature, expert.head.squared_norm)
    unscaled_queries, unscaled_positives = _encode_pairs(
        expert.with_posterior(posterior), held, batch_size, progress
    )
    scale = variance_scale(unscaled_queries, unscaled_positives)
    both = GaussianEmbedding.concatenate([unscaled_queries, unscaled_positives])
    basis, error = variance_basis(both)
    if not error <= TOLERANCE:
        log.warning(
            "expert %s: %d profiles tell its variances only to within %.1f %% (wanted: %.1f %%), so deviations that an "
            "index stores are that much off; structure='kron' needs one profile",
            expert.label, len(basis), 100 * error, 100 * TOLERANCE,
        )  # fmt: skip
    posterior = replace(posterior, scale=scale, basis=torch.from_numpy(basis))
    reference = _reference(unscaled_queries.scale_variance(scale), unscaled_positives.scale_variance(scale))
    if not reference.likelihood.informative:
        log.warning(
            "expert %s: the held-out pairs say no more than chance about which texts belong together (%.0f %% of what "
            "they could), so its variances have no unit: give pairs of questions and the texts that answer them",
            expert.label, max(0, 100 * reference.likelihood.told),
        )  # fmt: skip
    header = PosteriorHeader(
        model=expert.name,
        fingerprint=expert.fingerprint,
        layer=expert.head.layer,
        structure=structure,
        dimension=expert.dimension,
        pairs=len(training),
        heldout_pairs=len(held),
        heldout_log_likelihood=reference.likelihood.mean,
        source=pairs.source,
        pairs_hash=pairs.digest,
        versions={name: version(name) for name in ("torch", "sentence-transformers", "transformers")},
    )
    return Fit(expert.with_posterior(posterior), header, reference, error)


def measure_reference(
    expert: Expert, pairs: CalibrationPairs, *, batch_size: int = 32, progress: Progress | None = None
) -> Reference:
    """What an expert makes of reference pairs, the same for all experts of an index.

    Args:
        expert: with a posterior.
        pairs: the reference pairs.
        batch_size: texts in one forward pass.
        progress: called with the number of texts done; `2 len(pairs)` in all.
    """
    return _reference(*_encode_pairs(expert, pairs, batch_size, progress))


def _alike(embeddings: Sequence[Array]) -> bool:
    """Whether `[n, D]` embeddings of different texts are all the same but for rounding."""
    rows = np.concatenate(embeddings)
    return len(rows) > 1 and bool(np.ptp(rows, axis=0).max() <= 1e-6 * np.abs(rows).max())


def _encode_pairs(
    expert: Expert, pairs: CalibrationPairs, batch_size: int, progress: Progress | None
) -> tuple[GaussianEmbedding, GaussianEmbedding]:
    queries = expert.encode(pairs.queries, "query", batch_size=batch_size, progress=progress)
    positives = expert.encode(pairs.positives, "document", batch_size=batch_size, progress=progress)
    return queries.gaussian, positives.gaussian


def _reference(queries: GaussianEmbedding, positives: GaussianEmbedding) -> Reference:
    query_zero, query_spread = reference_zero(queries)
    document_zero, document_spread = reference_zero(positives)
    return Reference(
        query_zero=query_zero,
        document_zero=document_zero,
        query_spread=query_spread,
        document_spread=document_spread,
        likelihood=pair_likelihood(queries.mean, positives.mean),
        scale=variance_scale(queries, positives),
        queries=queries,
        positives=positives,
    )
