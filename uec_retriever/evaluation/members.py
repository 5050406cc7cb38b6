"""Experts with posteriors of each structure, and their joint calibration on reference pairs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from uec_retriever.convolution import check_temperature
from uec_retriever.data.pairs import CalibrationPairs, pseudo_pairs
from uec_retriever.engine.recalibrate import calibrate
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.collection import Collection
from uec_retriever.experts.expert import Expert, attach_posterior
from uec_retriever.experts.fitting import Reference, fit_posterior, measure_reference
from uec_retriever.laplace.posterior import Posterior
from uec_retriever.store.manifest import ExpertEntry, Manifest

STRUCTURES = ("diag", "kron")


@dataclass(frozen=True, eq=False)
class Member:
    """An expert and what is known of its last layer.

    Attributes:
        expert: preferably of an `EncodingCache`: every posterior then shares one forward pass.
        posteriors: structure (`diag`, `kron`) -> posterior.
    """

    expert: Expert
    posteriors: Mapping[str, Posterior]

    def under(self, structure: str) -> Expert:
        """The expert with its posterior of a structure.

        Raises:
            InvalidInputError: if it has none.
        """
        if structure not in self.posteriors:
            raise InvalidInputError(
                f"expert {self.expert.label} has no {structure!r} posterior, only {sorted(self.posteriors)}: fit it first"
            )
        return self.expert.with_posterior(self.posteriors[structure])


@dataclass(frozen=True, eq=False)
class Calibration:
    """Members, and the common pairs on which they are made comparable.

    Attributes:
        members: in the order of their blocks; their labels differ.
        references: from all domains that will be asked about (design, step 2): a set of one domain would erase
            what tells the experts apart.
    """

    members: Sequence[Member]
    references: CalibrationPairs

    def __post_init__(self) -> None:
        labels = self.labels
        if not labels or len(set(labels)) < len(labels):
            raise InvalidInputError(f"experts need labels of their own, got {labels or 'none'}")

    @property
    def labels(self) -> list[str]:
        """Of the experts."""
        return [m.expert.label for m in self.members]

    def measured(self, structure: str) -> list[Reference]:
        """What each expert makes of the references under a structure."""
        return [measure_reference(m.under(structure), self.references) for m in self.members]

    def manifest(self, structure: str) -> Manifest:
        """Experts of one structure in blocks, not yet calibrated."""
        return plain_manifest([m.expert for m in self.members], structure, self.references)


def plain_manifest(experts: Sequence[Expert], structure: str, references: CalibrationPairs) -> Manifest:
    """Experts of one structure in blocks, zeros and priors all alike; `references` are what will calibrate them."""
    entries = [
        ExpertEntry(
            e.label,
            e.name,
            e.fingerprint,
            e.dimension,
            structure,
            posterior="",
            query_zero=0.0,
            document_zero=0.0,
            prior=1 / len(experts),
        )
        for e in experts
    ]
    return Manifest(tuple(entries), "block", 1.0, f"{len(references)} pairs: {references.source}")


def calibrated(
    manifest: Manifest,
    references: Sequence[Reference],
    temperature: float | None,
    *,
    layout: str = "block",
    zero: bool = True,
    prior: bool = True,
) -> Manifest:
    """Zeros, priors and temperature from references, through the package's own `calibrate`.

    Args:
        manifest: of `Calibration.manifest`.
        references: of `Calibration.measured`, same structure.
        temperature: T; by the references' likelihood if None.
        layout: `block` or `sum`.
        zero: False leaves the zero of the uncertainties out (raw log-traces are compared).
        prior: False trusts all experts alike beforehand.
    """
    if temperature is not None:
        check_temperature(temperature)
    if not zero:
        references = [replace(r, query_zero=0.0, document_zero=0.0) for r in references]
    if not prior:
        references = [replace(r, likelihood=references[0].likelihood) for r in references]
    return calibrate(replace(manifest, layout=layout), references, temperature)


def fit_members(
    experts: Sequence[Expert],
    pairs: CalibrationPairs | Mapping[str, CalibrationPairs],
    structures: Sequence[str] = STRUCTURES,
) -> list[Member]:
    """Fit posteriors, of all experts on the same pairs or of each on its own.

    Args:
        experts: the same ones come back, with a posterior of every structure each.
        pairs: calibration pairs, or expert label -> its own.
        structures: which to fit.

    Raises:
        InvalidInputError: if an expert has no pairs, or they are too few.
    """
    members = []
    for expert in experts:
        own = pairs if isinstance(pairs, CalibrationPairs) else pairs.get(expert.label)
        if own is None:
            raise InvalidInputError(f"expert {expert.label} has no calibration pairs")
        posteriors = {s: fit_posterior(expert, own, structure=s).posterior for s in structures}
        members.append(Member(expert, posteriors))
    return members


def load_members(experts: Sequence[Expert], files: Mapping[str, Sequence[Path]]) -> list[Member]:
    """Experts with posteriors out of files.

    Args:
        experts: every one needs files.
        files: expert label -> posterior files, one of each structure.

    Raises:
        InvalidInputError: for a label that no expert has, or an expert without files.
        ModelMismatchError: for a file of another model.
    """
    labels = [e.label for e in experts]
    if set(files) != set(labels):
        raise InvalidInputError(
            f"posteriors are given for {sorted(files)}, the experts are {sorted(labels)}: give each expert its own"
        )
    members = []
    for expert in experts:
        posteriors: dict[str, Posterior] = {}
        for path in files[expert.label]:
            holder, header = attach_posterior(expert, path)
            assert holder.posterior is not None
            posteriors[header.structure] = holder.posterior
        members.append(Member(expert, posteriors))
    return members


def collection_pairs(collection: Collection, limit: int = 640, seed: int = 0) -> CalibrationPairs:
    """Pseudo-pairs of a collection's corpus; no query or label is used."""
    return pseudo_pairs(collection.bodies, collection.titles or None, limit=limit, seed=seed)


def qrels_pairs(collection: Collection, limit: int = 640, seed: int = 0) -> CalibrationPairs:
    """Pairs of a query and one of its best passages, each query once, in random order.

    Raises:
        InvalidInputError: if they are too few.
    """
    pairs = []
    for query in collection.queries:
        there = {p: g for p, g in query.relevance.items() if g > 0 and p in collection.positions}
        if there:
            best = max(there, key=lambda p: there[p])
            pairs.append((query.text, collection.texts[collection.positions[best]]))
    unique = list(dict(pairs).items())
    chosen = random.Random(seed).sample(unique, min(limit, len(unique)))
    return CalibrationPairs(
        [q for q, _ in chosen], [p for _, p in chosen], f"qrels of {collection.name} {collection.split}"
    )


def join_pairs(parts: Sequence[CalibrationPairs], limit: int | None = None) -> CalibrationPairs:
    """A broad set of pairs: the first `limit` of each part, part after part."""
    cut = [(p.queries[:limit], p.positives[:limit]) for p in parts]
    source = " + ".join(dict.fromkeys(p.source for p in parts))
    return CalibrationPairs([q for qs, _ in cut for q in qs], [p for _, ps in cut for p in ps], source)
