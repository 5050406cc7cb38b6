"""Experts with posteriors of each structure, and the common pairs on which they are made comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from uec_retriever.checks.numbers import check_temperature
from uec_retriever.data.pairs import CalibrationPairs, pseudo_pairs
from uec_retriever.engine.recalibrate import calibrate
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.collection import Collection
from uec_retriever.experts.attachment import attach_posterior
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.fitting import Reference, fit_posterior, measure_reference
from uec_retriever.store.manifest import ExpertEntry, Manifest

STRUCTURES = ("diag", "kron")
Fitted = Mapping[str, Sequence[Expert]]  # structure -> K experts with a posterior of it


@dataclass(frozen=True, eq=False)
class ExpertSet:
    """K experts, fitted.

    Attributes:
        experts: in the order of their blocks; their labels differ. Preferably of an `EncodingCache`: every posterior
            then shares one forward pass.
        fitted: structure -> the same experts with a posterior of it.
        references: pairs from all domains that will be asked about (design, step 2): those of one domain would erase
            what tells the experts apart.
    """

    experts: Sequence[Expert]
    fitted: Fitted
    references: CalibrationPairs
    _measured: dict[str, list[Reference]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_labels(self.experts)

    @property
    def labels(self) -> list[str]:
        """Of the experts."""
        return [e.label for e in self.experts]

    def under(self, structure: str) -> Sequence[Expert]:
        """The experts with their posteriors of a structure.

        Raises:
            InvalidInputError: if they have none.
        """
        if structure not in self.fitted:
            raise InvalidInputError(
                f"the experts {', '.join(self.labels)} have no {structure!r} posteriors, only {sorted(self.fitted)}: fit them first"
            )
        return self.fitted[structure]

    def references_under(self, structure: str) -> list[Reference]:
        """What each expert makes of the references."""
        if structure not in self._measured:
            self._measured[structure] = [measure_reference(e, self.references) for e in self.under(structure)]
        return self._measured[structure]

    def calibrate(
        self, structure: str, temperature: float | None, *, layout: str = "block", prior: bool = True
    ) -> Manifest:
        """Zeros, priors and temperature from the references, through the package's own `calibrate`.

        Args:
            structure: `diag` or `kron`.
            temperature: T; by the references' likelihood if None.
            layout: `block` or `sum`.
            prior: False trusts all experts alike beforehand.
        """
        if temperature is not None:
            check_temperature(temperature)
        references = self.references_under(structure)
        if not prior:
            references = [replace(r, likelihood=references[0].likelihood) for r in references]
        share = 1 / len(self.experts)
        entries = (
            ExpertEntry(e.label, e.name, e.fingerprint, e.dimension, structure, "", 0.0, 0.0, share)
            for e in self.experts
        )
        source = f"{len(self.references)} pairs: {self.references.source}"
        return calibrate(Manifest(tuple(entries), layout, 1.0, source), references, temperature)

    def describe(self, manifest: Manifest, structure: str) -> dict[str, Any]:
        """What a result file says of a calibration."""
        posteriors = zip(self.labels, (e.posterior for e in self.under(structure)), strict=True)
        return {
            "temperature": manifest.temperature,
            "prior": {e.label: e.prior for e in manifest.experts},
            "variance scale": {label: p.scale for label, p in posteriors if p is not None},
        }


def _check_labels(experts: Sequence[Expert]) -> None:
    labels = [e.label for e in experts]
    if not labels or len(set(labels)) < len(labels):
        raise InvalidInputError(
            f"experts need labels of their own, got {labels or 'none'}: name them apart as LABEL=MODEL"
        )


def fit_experts(
    experts: Sequence[Expert],
    pairs: CalibrationPairs | Mapping[str, CalibrationPairs],
    structures: Sequence[str] = STRUCTURES,
) -> Fitted:
    """Fit posteriors, of all experts on the same pairs or of each on its own.

    Args:
        experts: stay as they are.
        pairs: calibration pairs, or expert label -> its own.
        structures: which to fit.

    Raises:
        InvalidInputError: if an expert has no pairs, or they are too few.
    """
    _check_labels(experts)
    own = {e.label: pairs if isinstance(pairs, CalibrationPairs) else pairs.get(e.label) for e in experts}
    if lost := [label for label, found in own.items() if found is None]:
        raise InvalidInputError(f"expert {lost[0]} has no calibration pairs")
    return {s: [fit_posterior(e, own[e.label], structure=s).expert for e in experts] for s in structures}  # type: ignore[arg-type]


def load_experts_fitted(experts: Sequence[Expert], files: Mapping[str, Sequence[Path]]) -> Fitted:
    """Experts with posteriors out of files.

    Args:
        experts: every one needs files.
        files: expert label -> posterior files, one of each structure.

    Raises:
        InvalidInputError: for a label that no expert has, an expert without files, or one that lacks a structure.
        ModelMismatchError: for a file of another model.
    """
    labels = [e.label for e in experts]
    if set(files) != set(labels):
        raise InvalidInputError(
            f"posteriors are given for {sorted(files)}, the experts are {sorted(labels)}: give each expert its own"
        )
    found: dict[str, list[Expert]] = {}
    for expert in experts:
        for path in files[expert.label]:
            fitted, header = attach_posterior(expert, path)
            found.setdefault(header.structure, []).append(fitted)
    for structure, fitted_experts in found.items():
        if [e.label for e in fitted_experts] != labels:
            raise InvalidInputError(f"give each expert its own {structure} posterior, once")
    return found


def fit_on_corpus(
    collection: Collection, experts: Sequence[Expert], limit: int, seed: int, structures: Sequence[str]
) -> ExpertSet:
    """Experts fitted on pseudo-pairs of a collection's own corpus, whose held-out part is the reference."""
    pairs = collection_pairs(collection, limit, seed)
    return ExpertSet(experts, fit_experts(experts, pairs, structures), pairs.split()[1])


def collection_pairs(collection: Collection, limit: int = 640, seed: int = 0) -> CalibrationPairs:
    """Pseudo-pairs of a collection's corpus; no query or label is used."""
    return pseudo_pairs(collection.bodies, collection.titles or None, limit=limit, seed=seed)


def join_pairs(parts: Sequence[CalibrationPairs], limit: int | None = None) -> CalibrationPairs:
    """A broad set of pairs: the first `limit` of each part, part after part."""
    source = " + ".join(dict.fromkeys(p.source for p in parts))
    queries = [q for p in parts for q in p.queries[:limit]]
    return CalibrationPairs(queries, [t for p in parts for t in p.positives[:limit]], source)
