"""Formulas: from log-likelihoods of answers to one utility. Pure; the source is arXiv 2604.22722.

The paper's U = log PPL(a | q) - log PPL(a | q, p), with log PPL = -(mean log-likelihood of a token),
is `combine` with its defaults.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from uec_retriever.checks.numbers import check_whole
from uec_retriever.errors import InvalidInputError, NumericalError

Normalise = Literal["mean", "sum"]
Baseline = Literal["none", "neutral"]
Answers = Literal["first", "mean", "max"]
NEUTRAL_PASSAGE = "There is no further information on this."


@dataclass(frozen=True)
class LabelOptions:
    """What a utility is.

    Attributes:
        normalise: `mean` (the paper): nats per token of the answer; `sum`: nats per answer, so long answers
            weigh more.
        baseline: what the passage is compared with: `none` (the paper), the prompt without a passage; `neutral`,
            the same prompt with `neutral_passage`, so that the mere presence of a passage does not count.
        answers: of several answers, `first`; `mean` over all; `max`, the one most likely given the passage
            (its own likelihood without is subtracted).
        neutral_passage: a text that helps nobody.
        max_tokens: context to use; the model's own if None.
    """

    normalise: Normalise = "mean"
    baseline: Baseline = "none"
    answers: Answers = "max"
    neutral_passage: str = NEUTRAL_PASSAGE
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        for name, kind in (("normalise", Normalise), ("baseline", Baseline), ("answers", Answers)):
            if getattr(self, name) not in get_args(kind):
                raise InvalidInputError(
                    f"{name} is {getattr(self, name)!r}, not one of {', '.join(get_args(kind))}"
                )
        if self.max_tokens is not None:
            object.__setattr__(self, "max_tokens", check_whole("max_tokens", self.max_tokens, 2))
        if not self.neutral_passage.strip():
            raise InvalidInputError("the neutral passage is empty: choose baseline 'none' for none")

    def to_dict(self) -> dict[str, Any]:
        """For manifest and fingerprint."""
        return asdict(self)


@dataclass(frozen=True)
class Utility:
    """The utility of a passage and what it was made of.

    Attributes:
        value: nats, positive where the passage helps.
        log_likelihood_with: nats per token, mean over prompts (and answers, where these are averaged).
        log_likelihood_without: the same without the passage.
        answer: number of the answer given the most likelihood with the passage, or 0 with `first`.
    """

    value: float
    log_likelihood_with: float
    log_likelihood_without: float
    answer: int


def combine(
    with_passage: NDArray[np.float64],
    without: NDArray[np.float64],
    tokens: NDArray[np.int64],
    options: LabelOptions,
) -> Utility:
    """One utility from all prompts and answers.

    Args:
        with_passage: `[prompts, answers]` log-likelihood of each whole answer (a sum over its tokens), nats.
        without: the same without the passage (or with the neutral one).
        tokens: `[prompts, answers]` tokens of each answer, at least 1.
        options: normalisation and treatment of several answers.

    Raises:
        NumericalError: if a log-likelihood is not finite.
    """
    if not (np.isfinite(with_passage).all() and np.isfinite(without).all()):
        raise NumericalError("the model gave a log-likelihood that is not finite: try dtype float32")
    mean_with, mean_without = (with_passage / tokens).mean(axis=0), (without / tokens).mean(axis=0)
    best = 0 if options.answers == "first" else int(np.argmax(mean_with))
    chosen = slice(None) if options.answers == "mean" else slice(best, best + 1)
    gain = mean_with - mean_without
    if options.normalise == "sum":
        gain = (with_passage - without).mean(axis=0)
    return Utility(
        float(gain[chosen].mean()),
        float(mean_with[chosen].mean()),
        float(mean_without[chosen].mean()),
        best,
    )
