"""Experts with posteriors of one structure over texts that went through each model once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from uec_retriever.convolution import coefficients
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.members import calibrated, plain_manifest
from uec_retriever.experts.expert import Expert, Role
from uec_retriever.experts.fitting import Reference, fit_posterior
from uec_retriever.experts.linearised import Linearised
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.store.manifest import Manifest

Progress = Callable[[str, int, int], None]


def linearise_texts(
    experts: Sequence[Expert],
    texts: Sequence[str],
    *,
    role: Role = "query",
    batch_size: int = 32,
    progress: Progress | None = None,
) -> list[Linearised]:
    """One forward pass of each expert over the texts."""
    found = []
    for expert in experts:
        done = 0

        def advance(number: int, label: str = expert.label) -> None:
            nonlocal done
            done += number
            if progress:
                progress(f"{label}: texts", done, len(texts))

        found.append(expert.linearise(texts, role, batch_size=batch_size, progress=advance))
    return found


@dataclass(frozen=True, eq=False)
class FittedExperts:
    """What K experts with fitted posteriors make of n texts.

    Attributes:
        structure: of the posteriors.
        gaussians: K batches of n Gaussians.
        references: K, what each makes of the common calibration pairs.
        manifest: zeros, priors and temperature, calibrated on those pairs.
        scales: `[K]` variance scale that calibration chose: the variances before were `1 / scale` of these.
    """

    structure: str
    gaussians: list[GaussianEmbedding]
    references: list[Reference]
    manifest: Manifest
    scales: tuple[float, ...]

    def coefficients(self) -> Array:
        """`[n, K]` trust of each text in each expert."""
        traces = np.stack([g.trace for g in self.gaussians], axis=1)
        zeros = np.array([e.query_zero for e in self.manifest.experts])
        priors = np.array([e.prior for e in self.manifest.experts])
        return coefficients(traces, self.manifest.temperature, zero=zeros, prior=priors)

    def chosen(self) -> Mapping[str, object]:
        """What a result file says about it."""
        return {
            "temperature": self.manifest.temperature,
            "prior": {e.label: e.prior for e in self.manifest.experts},
            "variance scale": {e.label: s for e, s in zip(self.manifest.experts, self.scales, strict=True)},
        }


def fit_experts(
    experts: Sequence[Expert],
    pairs: CalibrationPairs,
    structure: str,
    linearised: Sequence[Linearised],
    *,
    temperature: float | None = None,
    progress: Progress | None = None,
) -> FittedExperts:
    """Fit posteriors of a structure on common pairs, and give the texts their variances.

    Args:
        experts: K of them.
        pairs: the same for all.
        structure: `kron` or `diag`.
        linearised: K, of `linearise_texts`.
        temperature: T; chosen by held-out likelihood of the pairs if None.
        progress: called with what is being done, and experts done and in all.

    Raises:
        InvalidInputError: if two experts have the same label, or the pairs do not do.
    """
    if len({e.label for e in experts}) < len(experts):
        raise InvalidInputError("two experts have the same label: name them apart as LABEL=MODEL")
    gaussians, references, scales = [], list[Reference](), []
    for number, (expert, texts) in enumerate(zip(experts, linearised, strict=True)):
        if progress:
            progress(f"{structure} posteriors", number, len(experts))
        fit = fit_posterior(expert, pairs, structure=structure)
        references.append(fit.reference)
        scales.append(fit.posterior.scale)
        with torch.no_grad():
            gaussians.append(fit.expert.gaussian(texts))
    manifest = calibrated(plain_manifest(experts, structure, pairs), references, temperature)
    return FittedExperts(structure, gaussians, references, manifest, tuple(scales))
