"""Fit an expert's posterior on calibration pairs, and calibrate it on held-out ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from uec_retriever.encoders.expert import Expert, Linearised
from uec_retriever.laplace.calibration import pair_likelihood, reference_zero, variance_scale
from uec_retriever.laplace.curvature import Curvature
from uec_retriever.laplace.files import PosteriorHeader
from uec_retriever.laplace.posterior import STRUCTURES
from uec_retriever.pairs import CalibrationPairs

DEFAULT_TAU = 0.05
DEFAULT_STRUCTURE = "kron"
_BATCH_PAIRS = 64
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Reference:
    """What an expert makes of the common reference pairs.

    Attributes:
        query_zero: mean log tr(Sigma) of the queries.
        document_zero: the same of the positives.
        query_spread: deviation of log tr(Sigma) of the queries.
        document_spread: the same of the positives.
        log_likelihood: mean log-likelihood of the positives (see `pair_likelihood`), nats.
        tau: the temperature at which that is highest.
        scale: the variance scale that these pairs call for, relative to the posterior's own.
    """

    query_zero: float
    document_zero: float
    query_spread: float
    document_spread: float
    log_likelihood: float
    tau: float
    scale: float


def fit_posterior(
    expert: Expert,
    pairs: CalibrationPairs,
    *,
    structure: str = DEFAULT_STRUCTURE,
    tau: float = DEFAULT_TAU,
    batch_size: int = 32,
    heldout: float = 0.2,
    progress: Progress | None = None,
) -> PosteriorHeader:
    """Fit and calibrate the posterior of an expert, and give it to the expert.

    Curvature and prior precision come from the first part of the pairs, the variance scale from
    the held-out rest.

    Args:
        expert: gets `expert.posterior`.
        pairs: calibration pairs in random order.
        structure: `kron` or `diag`.
        tau: temperature of the in-batch softmax.
        batch_size: texts in one forward pass.
        heldout: share of pairs for calibration.
        progress: called with the number of texts done.

    Returns:
        The header for `save_posterior`.

    Raises:
        InvalidInputError: for too few or degenerate pairs, or an unknown structure.
    """
    training, held = pairs.split(heldout)
    curvature = Curvature(structure, tau)
    bounds = range(0, len(training), _BATCH_PAIRS)
    for start in bounds:
        stop = start + _BATCH_PAIRS
        if len(training) - stop < _BATCH_PAIRS // 2:  # a small rest joins the last batch
            stop = len(training)
        if start >= len(training) or (start and len(training) - start < _BATCH_PAIRS // 2):
            break
        queries = expert.linearise(
            training.queries[start:stop], "query", batch_size=batch_size, progress=progress
        )
        positives = expert.linearise(
            training.positives[start:stop], "document", batch_size=batch_size, progress=progress
        )
        curvature.update_pairs(_sides(queries), _sides(positives))
    squared_norm = float(expert.last_layer.weight.detach().double().pow(2).sum())
    posterior = STRUCTURES[structure].from_curvature(curvature, squared_norm)
    expert.posterior = posterior
    reference = measure_reference(expert, held, batch_size=batch_size, progress=progress)
    expert.posterior = posterior.with_scale(reference.scale)
    return PosteriorHeader(
        model=expert.name,
        fingerprint=expert.fingerprint,
        layer=expert.last_layer.name,
        structure=structure,
        dimension=expert.dimension,
        pairs=len(training),
        heldout_pairs=len(held),
        heldout_log_likelihood=reference.log_likelihood,
        source=pairs.source,
        versions={name: version(name) for name in ("torch", "sentence-transformers", "transformers")},
    )


def measure_reference(
    expert: Expert, pairs: CalibrationPairs, *, batch_size: int = 32, progress: Progress | None = None
) -> Reference:
    """What an expert makes of reference pairs (the same for all experts of an index)."""
    queries = expert.encode(pairs.queries, "query", batch_size=batch_size, progress=progress).gaussian
    positives = expert.encode(
        pairs.positives, "document", batch_size=batch_size, progress=progress
    ).gaussian
    likelihood = pair_likelihood(queries.mean, positives.mean)
    query_zero, query_spread = reference_zero(queries)
    document_zero, document_spread = reference_zero(positives)
    return Reference(
        query_zero=query_zero,
        document_zero=document_zero,
        query_spread=query_spread,
        document_spread=document_spread,
        log_likelihood=likelihood.log_likelihood,
        tau=likelihood.tau,
        scale=variance_scale(queries, positives),
    )


def _sides(texts: Linearised) -> tuple[Linearised, ...]:
    return texts.features, texts.embeddings, texts.gain  # type: ignore[return-value]
