"""How to train: every option in one frozen value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from uec_retriever.checks.numbers import ABOVE_0, BELOW_1, FINITE, check_number, check_whole
from uec_retriever.errors import InvalidInputError

Loss = Literal["uae", "infonce", "distill"]
LOSSES: tuple[str, ...] = get_args(Loss)
_OPTIONAL = ("margin", "minimum_utility", "mini_batch_size", "max_length", "lora_rank")  # None says something
_WHOLE = dict.fromkeys(
    (
        "batch_size",
        "candidates",
        "evaluations",
        "patience",
        "mini_batch_size",
        "max_length",
        "lora_rank",
        "lora_alpha",
    ),
    1,
) | {"seed": 0}
_NUMBERS = {  # name -> range in words, lowest, highest
    "epochs": ("a positive number", ABOVE_0, FINITE),
    "learning_rate": ("a positive number", ABOVE_0, FINITE),
    "tau": ("a positive number", ABOVE_0, FINITE),
    "tau_u": ("a positive number of nats", ABOVE_0, math.inf),
    "warmup": ("in [0, 1)", 0, BELOW_1),
    "heldout": ("in [0, 1)", 0, BELOW_1),
    "weight_decay": ("a number >= 0", 0, FINITE),
    "margin": (">= 0 nats, or None", 0, math.inf),
    "minimum_utility": ("a number of nats, or None", -math.inf, math.inf),
}


@dataclass(frozen=True)
class TrainingOptions:
    """Options of a training run.

    The learning rate is one that gained on train questions of qasper (benchmarks/RESULTS.md); the other defaults are
    usual values, not the outcome of a search.

    Attributes:
        loss: `uae`, `infonce` (the best candidate alone is a positive) or `distill` (KL over the candidates).
        epochs: passes over the questions, > 0; early stopping may end before.
        learning_rate: peak of AdamW's, > 0; warm-up, then linear decay.
        warmup: share of the steps, in [0, 1).
        weight_decay: of AdamW, >= 0.
        batch_size: questions in a batch; each brings its candidates as the others' in-batch negatives.
        candidates: at most this many for each question (`select_candidates`).
        tau: temperature of the student, > 0.
        tau_u: temperature of the teacher in nats, > 0.
        margin: candidates this close in utility, in nats, are no negatives of each other; None: all are.
        minimum_utility: leave out questions that no passage helps by this many nats; None keeps all.
        mini_batch_size: texts whose activations are kept at a time, to save memory; None keeps all.
        max_length: tokens of a text in training and in the evaluations during it; the model's own if None.
        heldout: share of the questions (or whole groups) held out to choose the best checkpoint, in [0, 1).
        evaluations: how often an epoch the held-out part is evaluated.
        patience: evaluations without gain after which training stops.
        lora_rank: rank of LoRA adapters, merged at the end; None trains all weights.
        lora_alpha: scale of the adapters, as a multiple of the rank.
        bf16: mixed precision, on hardware that has it.
        seed: of everything drawn at random.
    """

    loss: Loss = "uae"
    epochs: float = 2.0
    learning_rate: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    batch_size: int = 16
    candidates: int = 8
    tau: float = 0.05
    tau_u: float = 0.5
    margin: float | None = 0.05
    minimum_utility: float | None = None
    mini_batch_size: int | None = None
    max_length: int | None = None
    heldout: float = 0.15
    evaluations: int = 2
    patience: int = 4
    lora_rank: int | None = None
    lora_alpha: int = 2
    bf16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise InvalidInputError(f"the loss is {self.loss!r}: give one of {', '.join(LOSSES)}")
        for name in (*_WHOLE, *_NUMBERS):
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                whole = name in _WHOLE
                checked = (
                    check_whole(name, value, _WHOLE[name])
                    if whole
                    else check_number(name, value, *_NUMBERS[name])
                )
                if not isinstance(value, int | float):  # of NumPy; others stay, as their JSON names a run
                    object.__setattr__(self, name, checked)
        if self.batch_size < 2 and self.loss != "distill":
            raise InvalidInputError(
                "batch_size is 1: without a second question there are no in-batch negatives"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
