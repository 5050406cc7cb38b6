"""Calibrate an index's experts together on common pairs: zeros, priors, variance scales, temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from uec_retriever.checks.numbers import check_temperature
from uec_retriever.convolution import choose_temperature, likelihood_prior, pair_likelihood
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.progress import Progress
from uec_retriever.engine.ensemble import Ensemble, fuse_documents, fuse_queries
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.fitting import Reference, measure_reference
from uec_retriever.gaussian import Array
from uec_retriever.store.manifest import Manifest

TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def calibrate(manifest: Manifest, references: Sequence[Reference], temperature: float | None) -> Manifest:
    """Set zeros, priors and temperature of a manifest from what its experts make of common pairs.

    Where the pairs are not informative to some expert, its variances have no unit and cannot be compared with
    the others': then T is infinite, the coefficients are the prior, and similarities leave variances out.

    The sum layout takes one zero for queries and documents: so one text has one embedding, whichever it is.

    Args:
        manifest: its experts in the order of `references`; their calibration is replaced.
        references: one per expert, over the same pairs.
        temperature: T; if None, chosen by held-out likelihood (see `choose_temperature`), or infinite.
    """
    priors = likelihood_prior([r.likelihood.values for r in references])
    zeros = [(r.query_zero, r.document_zero) for r in references]
    if manifest.layout == "sum":
        zeros = [(sum(both) / 2,) * 2 for both in zeros]
    entries = tuple(
        replace(entry, query_zero=query, document_zero=document, prior=float(p))
        for entry, (query, document), p in zip(manifest.experts, zeros, priors, strict=True)
    )
    informative = all(r.likelihood.informative for r in references)
    manifest = replace(manifest, experts=entries, informative=informative)
    if temperature is None and not informative:
        temperature = inf
    if temperature is None:
        temperature = choose_temperature(
            {t: _likelihood(replace(manifest, temperature=t), references) for t in TEMPERATURES}
        )
    return replace(manifest, temperature=check_temperature(temperature))


def recalibrate(
    ensemble: Ensemble, pairs: CalibrationPairs, temperature: float | None, progress: Progress | None
) -> Manifest:
    """The manifest with zeros, priors, variance scales and temperature anew, and without confidence.

    Args:
        ensemble: in the block layout.
        pairs: common calibration pairs; of those that the index was made with, only the held-out ones count.
        temperature: T; chosen on the pairs if None.
        progress: called with texts done; `2 len(pairs)` per expert.

    Raises:
        InvalidInputError: in the sum layout.
    """
    manifest = ensemble.manifest
    if manifest.layout == "sum":
        raise InvalidInputError("the sum layout stores fused documents: use reindex instead")
    judged, heldout = pairs, True
    if pairs.digest == manifest.pairs_digest:  # posteriors were fitted on the rest of them
        judged, heldout = pairs.split()[1], pairs.can_hold_out
    references = [measure_reference(e, judged, progress=progress) for e in ensemble.experts]
    entries = tuple(
        replace(entry, variance_factor=r.scale) for entry, r in zip(manifest.experts, references, strict=True)
    )
    manifest = replace(
        manifest.without_confidence(),
        experts=entries,
        reference=f"{len(judged)} pairs: {pairs.source} (recalibrated)",
        pairs_digest=pairs.digest,
        pairs_source=pairs.source,
        records=pairs.corpus,
        heldout=heldout,
    )
    return calibrate(manifest, [r.scale_variance(r.scale) for r in references], temperature)


def _likelihood(manifest: Manifest, references: Sequence[Reference]) -> Array:
    queries, _ = fuse_queries([r.queries for r in references], manifest)
    documents, _ = fuse_documents([r.positives for r in references], manifest)
    return pair_likelihood(queries.mean, documents.mean, candidates=len(queries)).values
