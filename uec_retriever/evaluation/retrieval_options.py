"""What a comparison of retrieval methods is told, and what it measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uec_retriever.engine.recalibrate import TEMPERATURES
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.members import STRUCTURES
from uec_retriever.evaluation.methods import FAMILIES, UEC, check_families
from uec_retriever.evaluation.metrics import Values
from uec_retriever.evaluation.scoring import Ranked
from uec_retriever.gaussian import Array

TEMPERATURE_CHOICES = ("references", "train")


@dataclass(frozen=True)
class RetrievalOptions:
    """What is compared, and how it is chosen.

    Attributes:
        methods: families of `FAMILIES`.
        temperature: T of UEC; `references` chooses it by the references' likelihood (the package's rule), `train`
            by nDCG@10 on train queries, where there are any.
        temperatures: the grid of `train`.
        scopes: collection name -> `corpus` or `group`; `corpus` if absent.
        variants: label -> UEC method, beside the labelled ones.
        zero: False leaves the common zero out of the labelled UEC methods.
        prior: False leaves the likelihood prior out of them.
        depth: passages of a ranking, at least 100 for Recall@100.
        pairs: at most this many pseudo-pairs of a corpus.
        train_queries: at most this many train queries of a set, a random sample.
        seed: of samples and bootstrap.
    """

    methods: Sequence[str] = FAMILIES
    temperature: float | str = "references"
    temperatures: Sequence[float] = TEMPERATURES
    scopes: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, UEC] = field(default_factory=dict)
    zero: bool = True
    prior: bool = True
    depth: int = 100
    pairs: int = 640
    train_queries: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        check_families(self.methods)
        if isinstance(self.temperature, str) and self.temperature not in TEMPERATURE_CHOICES:
            raise InvalidInputError(
                f"temperature is a number or one of {', '.join(TEMPERATURE_CHOICES)}, not {self.temperature!r}"
            )
        if unknown := set(self.scopes.values()) - {"corpus", "group"}:
            raise InvalidInputError(f"a scope is corpus or group, not {', '.join(sorted(unknown))}")

    def structures(self) -> list[str]:
        """Which posteriors are needed."""
        wanted = [s for s in STRUCTURES if s in self.methods]
        return list(dict.fromkeys([*wanted, *(v.structure for v in self.variants.values())]))


@dataclass(frozen=True, eq=False)
class Measured:
    """Every method on one collection, query by query.

    Attributes:
        collection: what was asked.
        scope: `corpus` or `group`.
        labels: of the experts.
        kinds: label of a method -> its kind, in the order of the table.
        values: label -> metric of `RETRIEVAL_METRICS` -> `[n]`.
        rankings: label -> rankings; oracles have none.
        coefficients: label -> `[n, K]` trust in each expert, of methods that weigh them.
        chosen: weights, temperatures and priors, and what they were chosen on.
        stages: seconds of each stage, for all methods together; encoding as it was when it was done.
    """

    collection: Collection
    scope: str
    labels: Sequence[str]
    kinds: Mapping[str, str]
    values: Mapping[str, Mapping[str, Values]]
    rankings: Mapping[str, Ranked]
    coefficients: Mapping[str, Array]
    chosen: Mapping[str, Any]
    stages: Mapping[str, float]
