"""What a training run did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from uec_retriever.data.provenance import installed_versions

_LIBRARIES = ("torch", "transformers", "sentence-transformers", "accelerate", "datasets")
StepProgress = Callable[[int, int, Mapping[str, float]], None]
"""Called with steps done, steps in all, and new held-out metrics (mostly none)."""


@dataclass(frozen=True)
class TrainingReport:
    """What a run did; `training.json` in its folder.

    Attributes:
        base: name or path of the base model.
        data: what the questions came from.
        options: as given.
        questions: how many were trained on.
        candidates: how many in all these questions.
        heldout_questions: how many were held out.
        steps: of the optimiser.
        best_step: the one whose weights were kept; None without a held-out part.
        before: held-out metrics of the base model; empty without a held-out part.
        after: of the trained one.
        history: held-out metrics by step.
        seconds: of training, evaluations included.
        versions: of the libraries.
        judge: the label run's manifest, where there is one.
    """

    base: str
    data: str
    options: dict[str, Any]
    questions: int
    candidates: int
    heldout_questions: int
    steps: int
    best_step: int | None
    before: dict[str, float]
    after: dict[str, float]
    history: list[dict[str, float]]
    seconds: float
    versions: dict[str, str] = field(default_factory=lambda: installed_versions(_LIBRARIES))
    judge: dict[str, Any] | None = None
