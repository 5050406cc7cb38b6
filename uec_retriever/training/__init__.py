"""Training of bi-encoders on utilities (UAE, arXiv 2604.22722), on the sentence-transformers trainer.

`objective` holds the mathematics, `loss` the sentence-transformers loss, `data` and `dataset` what label files
become, `trainer` the training run. Only the last two need the extra `train`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uec_retriever.training.data import (
        GradedPassage,
        GradedQuestion,
        questions_from_labels,
        questions_from_qrels,
    )
    from uec_retriever.training.loss import UtilityModulatedInfoNCELoss
    from uec_retriever.training.options import LOSSES, TrainingOptions
    from uec_retriever.training.report import TrainingReport
    from uec_retriever.training.trainer import train, train_on_labels, train_on_qrels

_HOMES = {
    "LOSSES": "options",
    "GradedPassage": "data",
    "GradedQuestion": "data",
    "TrainingOptions": "options",
    "TrainingReport": "report",
    "UtilityModulatedInfoNCELoss": "loss",
    "questions_from_labels": "data",
    "questions_from_qrels": "data",
    "train": "trainer",
    "train_on_labels": "trainer",
    "train_on_qrels": "trainer",
}
__all__ = [
    "LOSSES",
    "GradedPassage",
    "GradedQuestion",
    "TrainingOptions",
    "TrainingReport",
    "UtilityModulatedInfoNCELoss",
    "questions_from_labels",
    "questions_from_qrels",
    "train",
    "train_on_labels",
    "train_on_qrels",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'uec_retriever.training' has no attribute {name!r}")
    return getattr(import_module(f"uec_retriever.training.{_HOMES[name]}"), name)
