"""Ensemble: the one state of an index in memory; turns texts into what is stored and searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from uec_retriever.checks.numbers import check_temperature
from uec_retriever.confidence.conformal import CoverageModel, read_coverage
from uec_retriever.confidence.model import ConfidenceModel, read_confidence
from uec_retriever.convolution import coefficients, convolve_block, convolve_sum
from uec_retriever.data.progress import Progress
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.expert import Encoding, Expert
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.store.codec import VarianceCodec
from uec_retriever.store.manifest import Manifest


def fuse_queries(
    gaussians: Sequence[GaussianEmbedding], manifest: Manifest
) -> tuple[GaussianEmbedding, Array]:
    """Queries in the layout of an index, weighted by their own coefficients.

    Coefficients see the traces as propagated, the similarity those that unit vectors can have.

    Returns:
        n fused Gaussians and the `[n, K]` coefficients.
    """
    weights = _coefficients(gaussians, manifest, [e.query_zero for e in manifest.experts])
    if manifest.layout == "block":
        return convolve_block([g.bounded() for g in gaussians], weights), weights
    return convolve_sum(gaussians, weights).bounded(), weights


def fuse_documents(
    gaussians: Sequence[GaussianEmbedding], manifest: Manifest
) -> tuple[GaussianEmbedding, Array | None]:
    """Documents as an index stores them: unweighted blocks, or the weighted sum.

    Their variances are those propagated, so that a recalibration can scale them; scoring bounds them.

    Returns:
        n fused Gaussians and, in the sum layout, the `[n, K]` coefficients.
    """
    if manifest.layout == "block":
        return convolve_block(gaussians), None
    weights = _coefficients(gaussians, manifest, [e.document_zero for e in manifest.experts])
    return convolve_sum(gaussians, weights), weights


def fuse_texts(gaussians: Sequence[GaussianEmbedding], manifest: Manifest) -> tuple[GaussianEmbedding, Array]:
    """Texts that are compared with their like, neither queries nor documents (say, for STS or clustering).

    In blocks `[sqrt(pi_1) mu_1; ...; sqrt(pi_K) mu_K]`: unit vectors, whose dot product is
    `sum_k sqrt(pi_k(x) pi_k(y)) cos_k(x, y)`. The zero is halfway between those of queries and of documents.

    Returns:
        n fused Gaussians and the `[n, K]` coefficients.
    """
    zeros = [(e.query_zero + e.document_zero) / 2 for e in manifest.experts]
    weights = _coefficients(gaussians, manifest, zeros)
    if manifest.layout == "block":
        return convolve_block([g.bounded() for g in gaussians], np.sqrt(weights)), weights
    return convolve_sum(gaussians, weights).bounded(), weights


def _coefficients(
    gaussians: Sequence[GaussianEmbedding], manifest: Manifest, zeros: Sequence[float]
) -> Array:
    traces = np.stack([g.trace for g in gaussians], axis=1)
    priors = np.array([e.prior for e in manifest.experts])
    return coefficients(traces, manifest.temperature, zero=np.array(zeros), prior=priors)


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """Texts as an index sees them.

    Attributes:
        gaussian: n fused Gaussians in the layout of the index.
        coefficients: `[n, K]` trust in each expert; None for documents in blocks.
        truncated: `[n, K]` whether an expert cut the text to its maximal length.
    """

    gaussian: GaussianEmbedding
    coefficients: Array | None
    truncated: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Experts with posteriors, joined as a manifest says: all that a search uses beside the store. Immutable.

    Whoever encodes and scores reads one of these once and uses nothing else, so that queries and stored
    variances are never calibrated differently.

    Attributes:
        experts: in the order of the manifest, each with its posterior.
        manifest: layout, temperature, zeros, priors and confidence.
        codec: of the variances; made from the experts if None.
    """

    experts: Sequence[Expert]
    manifest: Manifest
    codec: VarianceCodec = None  # type: ignore[assignment]  # set below, never None

    def __post_init__(self) -> None:
        object.__setattr__(self, "experts", tuple(self.experts))
        if self.codec is None:
            bases = [e.variance_basis for e in self.experts]
            blocks = bases if self.manifest.layout == "block" else [np.concatenate(bases)]
            object.__setattr__(self, "codec", VarianceCodec(blocks))

    def with_manifest(self, manifest: Manifest) -> Ensemble:
        """The same experts, calibrated otherwise."""
        return replace(self, manifest=manifest)

    def at_temperature(self, temperature: float | None) -> Ensemble:
        """The same at another temperature T of the coefficients; itself if None.

        Raises:
            InvalidInputError: for one below 0, or in the sum layout.
        """
        if temperature is None:
            return self
        if self.manifest.layout == "sum":
            raise InvalidInputError("the sum layout fixes the temperature when documents are indexed")
        return self.with_manifest(replace(self.manifest, temperature=check_temperature(temperature)))

    @property
    def labels(self) -> list[str]:
        """Names of the experts, in order."""
        return [entry.label for entry in self.manifest.experts]

    @cached_property
    def confidence(self) -> ConfidenceModel | None:
        """The index's confidence model; None if it is not calibrated, or cannot be read."""
        return read_confidence(self.manifest.confidence)

    @cached_property
    def coverage(self) -> CoverageModel | None:
        """The index's coverage model; None if it is not calibrated, or cannot be read."""
        return read_coverage(self.manifest.coverage)

    @cached_property
    def stored_variance_factors(self) -> Array:
        """`[R]` what stored variance coefficients are to be multiplied with since recalibration."""
        if self.manifest.layout == "sum":
            return np.ones(self.codec.rank)
        factors = [e.variance_factor for e in self.manifest.experts]
        return np.repeat(factors, [len(basis) for basis in self.codec.bases])

    def encode_queries(
        self, texts: Sequence[str], *, batch_size: int = 32, prompts: Sequence[str] = ()
    ) -> EncodedTexts:
        """Fused queries.

        Args:
            texts: n >= 1, non-empty.
            batch_size: texts in one forward pass.
            prompts: names of prompts to prefer to the experts' prompts for queries, where they have them.
        """
        encodings = [e.encode(texts, "query", batch_size=batch_size, prompts=prompts) for e in self.experts]
        return EncodedTexts(
            *fuse_queries(self._scale_variances(encodings), self.manifest), _truncation_flags(encodings)
        )

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        progress: Progress | None = None,
        prompts: Sequence[str] = (),
    ) -> EncodedTexts:
        """Documents as stored.

        Args:
            texts: n >= 1, non-empty.
            batch_size: texts in one forward pass.
            progress: called with the texts done, each counted once per expert.
            prompts: names of prompts to prefer to the experts' prompts for documents, where they have them.
        """
        encodings = [
            e.encode(texts, "document", batch_size=batch_size, progress=progress, prompts=prompts)
            for e in self.experts
        ]
        fused = fuse_documents([e.gaussian for e in encodings], self.manifest)
        return EncodedTexts(*fused, _truncation_flags(encodings))

    def encode_texts(
        self, texts: Sequence[str], *, batch_size: int = 32, prompts: Sequence[str] = ()
    ) -> EncodedTexts:
        """Texts that are compared with their like (see `fuse_texts`).

        Args:
            texts: n >= 1, non-empty.
            batch_size: texts in one forward pass.
            prompts: names of prompts to put before them, where the experts have them.
        """
        encodings = [e.encode(texts, "text", batch_size=batch_size, prompts=prompts) for e in self.experts]
        return EncodedTexts(
            *fuse_texts(self._scale_variances(encodings), self.manifest), _truncation_flags(encodings)
        )

    def _scale_variances(self, encodings: Sequence[Encoding]) -> list[GaussianEmbedding]:
        return [
            e.gaussian.scale_variance(entry.variance_factor)
            for e, entry in zip(encodings, self.manifest.experts, strict=True)
        ]


def _truncation_flags(encodings: Sequence[Encoding]) -> NDArray[np.bool_]:
    return np.stack([e.truncated for e in encodings], axis=1)


def count_truncated(labels: Sequence[str], encoded: EncodedTexts) -> dict[str, int]:
    """Expert label -> texts that it cut, where there are any."""
    counts = encoded.truncated.sum(axis=0).tolist()
    return {label: count for label, count in zip(labels, counts, strict=True) if count}


def truncated_rows(encoded: EncodedTexts) -> list[int]:
    """Positions of the texts that an expert cut."""
    return [int(row) for row in np.flatnonzero(encoded.truncated.any(axis=1))]
