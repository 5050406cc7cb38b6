"""Log-likelihoods of answers with as little computation as exactness allows.

Sequences are sorted, so that equal beginnings (instructions, a passage asked several questions, a question with
several answers) stand side by side. A beginning worth sharing is run once, alone and unpadded; its key-value
cache is handed to all that follow. What is left runs in batches padded on the right, where a causal model never
looks: positions and masks need no correction, and no sequence depends on its batch-mates beyond rounding.
Logits are computed for answer positions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from uec_retriever.utility_labeler.heads import AnswerHead, fork
from uec_retriever.utility_labeler.judge import TokenSequence

MIN_SAVING = 32
_CACHE_FACTOR = 12


@dataclass(frozen=True)
class Budget:
    """How much runs at once.

    Attributes:
        batch_tokens: tokens of a padded batch, at least 1; one sequence may exceed it.
        min_saving: tokens that sharing a beginning must save to be worth a forward pass of its own; None never
            shares.
        padding: share of a batch that may be padding, in [0, 1).
    """

    batch_tokens: int = 1024
    min_saving: int | None = MIN_SAVING
    padding: float = 0.25


class PrefixScorer:
    """Scores sequences with one model.

    Args:
        head: the model and its way to logits.
        budget: how much runs at once.
    """

    def __init__(self, head: AnswerHead, budget: Budget) -> None:
        self.head = head
        self.budget = budget

    @torch.inference_mode()
    def score(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """Sum of the log-probabilities of each answer's tokens, nats; in the order given."""
        order = sorted(range(len(sequences)), key=lambda i: sequences[i].prompt + sequences[i].answer)
        walk = _Walk(self, [sequences[i] for i in order])
        walk.run()
        values = [0.0] * len(order)
        for position, value in zip(order, walk.values, strict=True):
            values[position] = value
        return values


class _Walk:
    """One pass over sorted sequences, as over a tree whose inner nodes are shared beginnings."""

    def __init__(self, scorer: PrefixScorer, sequences: list[TokenSequence]) -> None:
        self.head, self.budget = scorer.head, scorer.budget
        self.sequences = sequences
        self.values = [0.0] * len(sequences)
        self.inputs = [s.prompt + s.answer[:-1] for s in sequences]
        # with the neighbour before; the last token of a prompt is never shared: it foretells the answer
        self.common = [0] + [
            min(_common(a, b), len(s.prompt) - 1, len(t.prompt) - 1)
            for a, b, s, t in zip(
                self.inputs[:-1], self.inputs[1:], sequences[:-1], sequences[1:], strict=True
            )
        ]

    def run(self) -> None:
        if self.budget.min_saving is None:
            self._leaves(list(range(len(self.sequences))), 0, None)
            return
        # (first, last, cached tokens, cache, leaves of that cache) still to be visited; the deepest first
        leaves: list[int] = []
        self._visit(0, len(self.sequences), 0, None, leaves)
        self._leaves(leaves, 0, None)

    def _visit(self, low: int, high: int, depth: int, cache: Any, leaves: list[int]) -> None:
        """Visit a run of sequences that share `depth` cached tokens; what has no cache of its own goes to `leaves`."""
        stack = [(low, high)]
        while stack:
            low, high = stack.pop()
            if high - low < 2:
                leaves.extend(range(low, high))
                continue
            common = min(self.common[low + 1 : high])
            if (high - low - 1) * (common - depth) >= (self.budget.min_saving or 0):
                extended = self.head.extend(fork(cache), self.inputs[low][depth:common])
                own: list[int] = []
                for first, last in self._runs(low, high, common):
                    self._visit(first, last, common, extended, own)
                self._leaves(own, common, extended)
            else:
                stack.extend(reversed(self._runs(low, high, common)))

    def _runs(self, low: int, high: int, common: int) -> list[tuple[int, int]]:
        """Split where neighbours share no more than `common`."""
        cuts = [low, *(i for i in range(low + 1, high) if self.common[i] <= common), high]
        return list(zip(cuts[:-1], cuts[1:], strict=True))

    def _leaves(self, leaves: list[int], depth: int, cache: Any) -> None:
        leaves = sorted(leaves, key=lambda i: len(self.inputs[i]), reverse=True)
        start = 0
        while start < len(leaves):
            end = self._batch_end(leaves, start, depth)
            self._batch(leaves[start:end], depth, cache)
            start = end

    def _batch_end(self, leaves: list[int], start: int, depth: int) -> int:
        """As many as the budget allows, from the longest down."""
        width, used, end = len(self.inputs[leaves[start]]) - depth, 0, start
        while end < len(leaves):
            rows, length = end - start + 1, len(self.inputs[leaves[end]]) - depth
            used += length
            too_many = rows * width > self.budget.batch_tokens
            too_large = rows * (width + depth) > _CACHE_FACTOR * self.budget.batch_tokens
            if rows > 1 and (too_many or too_large or used < (1 - self.budget.padding) * rows * width):
                break
            end += 1
        return end

    def _batch(self, rows: list[int], depth: int, cache: Any) -> None:
        segments = [self.inputs[i][depth:] for i in rows]
        width = len(segments[0])
        padded = torch.tensor([[*s, *[s[-1]] * (width - len(s))] for s in segments])
        starts = [len(self.sequences[i].prompt) - 1 - depth for i in rows]
        row_of = [r for r, i in enumerate(rows) for _ in self.sequences[i].answer]
        column = [
            start + k
            for i, start in zip(rows, starts, strict=True)
            for k in range(len(self.sequences[i].answer))
        ]
        targets = [token for i in rows for token in self.sequences[i].answer]
        found = self.head.log_probabilities(
            padded,
            fork(cache, len(rows)),
            torch.tensor(row_of),
            torch.tensor(column),
            torch.tensor(targets),
        )
        for position, value in zip(row_of, found.tolist(), strict=True):
            self.values[rows[position]] += value


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return number
    return min(len(one), len(other))
