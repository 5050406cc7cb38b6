"""The methods that are compared: their labels, kinds, and how each scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from uec_retriever.convolution import LAYOUTS
from uec_retriever.engine.ensemble import fuse_documents, fuse_queries
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.encoded import Encoded
from uec_retriever.evaluation.members import STRUCTURES
from uec_retriever.evaluation.scoring import Scorer, block_scorer, fused_scorer
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.store.manifest import Manifest

FAMILIES = (
    "single", "uniform", "weighted", "rrf", "merged", "diag", "kron", "sum", "ablation", "oracle",
)  # fmt: skip
UNIFORM, WEIGHTED, RRF = "uniform", "weighted", "RRF"
ORACLE_DOMAIN, ORACLE_QUERY = "oracle domain", "oracle query"


@dataclass(frozen=True)
class UEC:
    """One way to put the method to use.

    Attributes:
        structure: of the posteriors, `diag` or `kron`.
        layout: `block` or `sum`.
        coefficients: False weighs all experts alike.
        similarity: False ranks by E[s], the plain dot product.
        temperature: T; None for the one that is chosen for structure and layout.
        zero: False leaves out the common zero of the uncertainties.
        prior: False leaves out the prior by held-out likelihood.
    """

    structure: str = "kron"
    layout: str = "block"
    coefficients: bool = True
    similarity: bool = True
    temperature: float | None = None
    zero: bool = True
    prior: bool = True

    def __post_init__(self) -> None:
        if self.structure not in STRUCTURES or self.layout not in LAYOUTS:
            raise InvalidInputError(
                f"a UEC method has a structure of {STRUCTURES} and a layout of {LAYOUTS}, "
                f"not {self.structure!r} and {self.layout!r}"
            )

    @property
    def kind(self) -> str:
        """`uec`, or `ablation` where a part of the method is left out."""
        return "uec" if self.coefficients and self.similarity else "ablation"

    @property
    def calibration(self) -> UEC:
        """What decides zeros, priors and temperature: equal for methods that share them."""
        return replace(self, coefficients=True, similarity=True)


def uec_methods(
    families: Sequence[str], dimensions: Sequence[int], *, zero: bool = True, prior: bool = True
) -> dict[str, UEC]:
    """Label -> method, of the families asked for.

    Args:
        families: of `FAMILIES`; `sum` and `ablation` go with `diag` and `kron`.
        dimensions: of the experts; the sum layout needs equal ones.
        zero: see `UEC`.
        prior: see `UEC`.
    """
    found: dict[str, UEC] = {}
    make = partial(UEC, zero=zero, prior=prior)
    structures = [s for s in STRUCTURES if s in families]
    for structure in structures:
        found[f"UEC {structure}"] = make(structure)
    if "sum" in families and len(set(dimensions)) == 1:
        for structure in structures:
            found[f"UEC {structure} sum"] = make(structure, "sum")
    if "ablation" in families:
        for structure in structures:
            found[f"UEC {structure}, no similarity"] = make(structure, similarity=False)
            found[f"UEC {structure}, no coefficients"] = make(structure, coefficients=False)
            found[f"UEC {structure}, neither"] = make(structure, coefficients=False, similarity=False)
    return found


def check_families(families: Sequence[str]) -> None:
    """Refuse a family that is not known.

    Raises:
        InvalidInputError: naming all.
    """
    if unknown := [f for f in families if f not in FAMILIES]:
        raise InvalidInputError(f"unknown methods {', '.join(unknown)}: choose from {', '.join(FAMILIES)}")


def uec_scorer(method: UEC, manifest: Manifest, encoded: Encoded) -> tuple[Scorer, Array]:
    """How a UEC method scores a collection.

    Args:
        method: which parts of UEC are on.
        manifest: the experts calibrated for its structure and layout.
        encoded: the collection.

    Returns:
        The scorer and the queries' `[n, K]` coefficients.
    """
    queries = encoded.queries.gaussians[method.structure]
    if not method.coefficients:  # infinite temperature and no prior: 1 / K each
        even = tuple(replace(e, prior=1 / len(manifest.experts)) for e in manifest.experts)
        manifest = replace(manifest, temperature=np.inf, experts=even)
    fused, weights = fuse_queries(queries, manifest)
    if method.layout == "block":
        return block_scorer(weights, method.structure if method.similarity else None), weights
    documents: GaussianEmbedding = fuse_documents(encoded.documents.gaussians[method.structure], manifest)[0]
    return fused_scorer(fused, documents, similarity=method.similarity), weights


def in_order(
    labels: Sequence[str], merged: Sequence[str], methods: Mapping[str, UEC], families: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Label and kind of everything that is reported, in the order of the table."""
    if "single" in families:
        yield from ((label, "single") for label in labels)
    yield UNIFORM, "ensemble"  # the baseline of all differences
    if "weighted" in families:
        yield WEIGHTED, "ensemble"
    if "rrf" in families:
        yield RRF, "fusion"
    if "merged" in families:
        yield from ((label, "merged") for label in merged)
    yield from ((label, method.kind) for label, method in methods.items())
    if "oracle" in families:
        yield ORACLE_DOMAIN, "oracle"
        yield ORACLE_QUERY, "oracle"
