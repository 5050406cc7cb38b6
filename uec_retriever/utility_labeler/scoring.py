"""Log-likelihoods of answers with as little computation as exactness allows.

Sequences are sorted, so that equal beginnings stand side by side. Each beginning is run once, together with all that
goes on from it and as much else as the budget allows, in one row without padding (see `packing`). Where a model does
not allow this, batches of rows of like length are padded on the right. Either way no sequence depends on its
batch-mates beyond rounding, and logits are computed for answer positions only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from uec_retriever.utility_labeler.heads import AnswerHead
from uec_retriever.utility_labeler.judge import TokenSequence
from uec_retriever.utility_labeler.sharing import forest, parts

MIN_SAVING = 8
_PADDING = 0.25


@dataclass(frozen=True)
class Budget:
    """How much runs at once.

    Attributes:
        batch_tokens: tokens of a batch, at least 1; one sequence may exceed it.
        min_saving: tokens that sharing a beginning must save to be worth a step of its own; None never shares.
        pack: put sequences into one row where the model allows it; else batches are padded, and nothing is shared.
    """

    batch_tokens: int = 2048
    min_saving: int | None = MIN_SAVING
    pack: bool = True


class SequenceScorer:
    """Scores sequences with one model.

    Args:
        head: the model and its way to logits.
        budget: how much runs at once.
    """

    def __init__(self, head: AnswerHead, budget: Budget) -> None:
        self.head = head
        self.budget = budget
        self.packs = budget.pack and head.packs and head.window != 0

    @torch.inference_mode()
    def score(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """Sum of the log-probabilities of each answer's tokens, nats; in the order given."""
        window = self.head.window if self.packs else 0
        short: list[int] = []
        long: list[int] = []
        for number, sequence in enumerate(sequences):
            (short if window is None or len(_input(sequence)) <= window else long).append(number)
        values = [0.0] * len(sequences)
        for numbers, score in ((short, self._score_packed), (long, self._score_padded)):
            for position, value in score([sequences[i] for i in numbers]):
                values[numbers[position]] += value
        return values

    def _score_packed(self, sequences: list[TokenSequence]) -> Iterator[tuple[int, float]]:
        order = sorted(range(len(sequences)), key=lambda i: sequences[i].prompt + sequences[i].answer)
        ordered = [sequences[i] for i in order]
        # the last token of a prompt is never shared: it foretells the answer
        shareable = [len(s.prompt) - 1 for s in ordered]
        segments = forest(list(map(_input, ordered)), shareable, self.budget.min_saving)
        for part in parts(segments, self.budget.batch_tokens):
            layout = self.head.layout(part)
            places, owners = [], []
            for segment, start in zip(part, layout.starts, strict=True):
                if segment.sequence is not None:
                    sequence = ordered[segment.sequence]
                    places += _places(sequence, 0, start - segment.depth)
                    owners += [order[segment.sequence]] * len(sequence.answer)
            yield from zip(owners, self.head.score_packed(layout, places).tolist(), strict=True)

    def _score_padded(self, sequences: list[TokenSequence]) -> Iterator[tuple[int, float]]:
        for batch in batches([len(_input(s)) for s in sequences], self.budget.batch_tokens):
            rows = [sequences[i] for i in batch]
            places = [place for row, s in enumerate(rows) for place in _places(s, row, 0)]
            owners = [i for i in batch for _ in sequences[i].answer]
            found = self.head.score_padded(list(map(_input, rows)), places)
            yield from zip(owners, found.tolist(), strict=True)


def batches(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Numbers of rows to pad together, the longest first, a quarter padding at most.

    Args:
        lengths: of the rows, at least 1.
        tokens: of a padded batch; one row may exceed it.
    """
    batch: list[int] = []
    used = 0
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        size = (len(batch) + 1) * lengths[batch[0]] if batch else 0
        if size > tokens or used + lengths[row] < (1 - _PADDING) * size:
            yield batch
            batch, used = [], 0
        batch.append(row)
        used += lengths[row]
    if batch:
        yield batch


def _input(sequence: TokenSequence) -> tuple[int, ...]:
    return sequence.prompt + sequence.answer[:-1]


def _places(sequence: TokenSequence, row: int, shift: int) -> list[tuple[int, int, int]]:
    first = shift + len(sequence.prompt) - 1
    return [(row, first + number, token) for number, token in enumerate(sequence.answer)]
