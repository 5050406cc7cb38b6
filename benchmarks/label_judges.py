"""Judges for comparison: the plain loop, and one that is asked for each sequence once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from uec_retriever.utility_labeler.judge import TokenSequence
from uec_retriever.utility_labeler.local import LocalJudge


@torch.inference_mode()
def plain_loop(judge: LocalJudge, sequence: TokenSequence) -> float:
    """One forward pass, logits of the whole sequence, log-softmax."""
    ids = [*sequence.prompt, *sequence.answer]
    logits = judge.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    start = len(sequence.prompt)
    targets = torch.tensor(sequence.answer)
    return float(logits[start - 1 : -1].gather(1, targets[:, None]).double().sum())


class PlainJudge:
    """A judge that runs the plain loop."""

    def __init__(self, judge: LocalJudge) -> None:
        self.judge = judge
        self.tokenizer: Any = judge.tokenizer
        self.context = judge.context
        self.fingerprint = judge.fingerprint
        self.description = judge.description

    def log_likelihoods(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """One after the other."""
        return [plain_loop(self.judge, s) for s in sequences]

    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[str]:
        """As the judge."""
        return self.judge.generate(prompts, max_new_tokens)


class RememberingJudge(PlainJudge):
    """A judge that is asked for each sequence once: definitions of utility share most of them."""

    def __init__(self, judge: LocalJudge) -> None:
        super().__init__(judge)
        self._known: dict[TokenSequence, float] = {}

    def log_likelihoods(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """Asks for what is new."""
        new = [s for s in dict.fromkeys(sequences) if s not in self._known]
        self._known.update(zip(new, self.judge.log_likelihoods(new), strict=True))
        return [self._known[s] for s in sequences]
