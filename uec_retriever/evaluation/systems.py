"""Single experts, all of them alike, and UEC, as ensembles that embed texts: what sentence pairs and classes are compared by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.evaluation.expert_set import STRUCTURES, ExpertSet, fit_experts
from uec_retriever.evaluation.methods import UNIFORM
from uec_retriever.experts.expert import Expert

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class System:
    """An ensemble with its label and kind: `single`, `ensemble` or `uec`."""

    label: str
    kind: str
    ensemble: Ensemble


def fit_systems(
    experts: Sequence[Expert], pairs: CalibrationPairs, temperature: float | None
) -> tuple[list[System], dict[str, Any]]:
    """Systems of experts fitted on common pairs, and what was chosen on the pairs, for a result file.

    Args:
        experts: at least one, with labels of their own; preferably of an `EncodingCache`, since every system encodes anew.
        pairs: calibration pairs.
        temperature: T of UEC; chosen on held-out pairs if None.

    Raises:
        InvalidInputError: for two experts of one label, or pairs that do not do.
    """
    fitted = ExpertSet(experts, fit_experts(experts, pairs), pairs.split()[1])
    manifests = {s: fitted.calibrate(s, temperature) for s in STRUCTURES}
    chosen = {
        "calibration pairs": len(pairs),
        "calibration pairs from": pairs.source,
        "UEC": {s: fitted.describe(m, s) for s, m in manifests.items()},
    }

    def systems() -> Iterator[System]:
        first, manifest = fitted.under(STRUCTURES[0]), manifests[STRUCTURES[0]]
        for expert, entry in zip(first, manifest.experts, strict=True):
            alone = replace(manifest, experts=(replace(entry, prior=1.0),))
            yield System(expert.label, "single", Ensemble([expert], alone))
        even = tuple(replace(e, prior=1 / len(first)) for e in manifest.experts)
        yield System(
            UNIFORM, "ensemble", Ensemble(first, replace(manifest, experts=even, temperature=np.inf))
        )
        for structure, calibrated in manifests.items():
            yield System(f"UEC {structure}", "uec", Ensemble(fitted.under(structure), calibrated))

    return list(systems()), chosen
