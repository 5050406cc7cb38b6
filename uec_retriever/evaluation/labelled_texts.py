"""Tab-separated test data: sentence pairs with a gold similarity, and labelled texts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uec_retriever.data.texts import text_problem
from uec_retriever.errors import CorpusError
from uec_retriever.gaussian import Array


@dataclass(frozen=True, eq=False)
class SentencePairs:
    """Pairs of sentences, n of them.

    Attributes:
        name: of the folder.
        gold: `[n]` similarity on the data's own scale.
        one: n sentences.
        other: n sentences.
    """

    name: str
    gold: Array
    one: list[str]
    other: list[str]

    def __len__(self) -> int:
        return len(self.one)

    def rows(self, chosen: Sequence[int]) -> SentencePairs:
        """Some of the pairs."""
        return SentencePairs(
            self.name,
            self.gold[list(chosen)],
            [self.one[i] for i in chosen],
            [self.other[i] for i in chosen],
        )

    def sample(self, number: int | None, seed: int) -> SentencePairs:
        """At most `number` of the pairs, drawn at random."""
        return self.rows(sample_positions(len(self), number, seed))


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with a label each.

    Attributes:
        texts: n texts.
        labels: n labels.
    """

    texts: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, chosen: Sequence[int]) -> LabelledTexts:
        """Some of the texts."""
        return LabelledTexts([self.texts[i] for i in chosen], [self.labels[i] for i in chosen])

    def sample(self, number: int | None, seed: int) -> LabelledTexts:
        """At most `number` of the texts, drawn at random."""
        return self.rows(sample_positions(len(self), number, seed))


def sample_positions(number: int, at_most: int | None, seed: int) -> list[int]:
    """Positions of a random sample without replacement, in order; all of them if they are few enough."""
    if at_most is None or at_most >= number:
        return list(range(number))
    return sorted(random.Random(seed).sample(range(number), at_most))


def read_pairs(folder: Path, file: str = "pairs.tsv") -> SentencePairs:
    """Read `score <tab> sentence <tab> sentence` lines, without a header.

    Raises:
        CorpusError: for a file that cannot be read, naming the line.
    """
    gold, one, other = [], [], []
    for number, (score, first, second) in _lines(folder / file, 3, "score, sentence, sentence"):
        try:
            gold.append(float(score))
        except ValueError:
            raise CorpusError(f"{folder / file}, line {number}: {score!r} is not a score") from None
        one.append(first)
        other.append(second)
    return SentencePairs(folder.resolve().name, np.array(gold), one, other)


def read_labelled(folder: Path, file: str) -> LabelledTexts:
    """Read `label <tab> text` lines, without a header.

    Raises:
        CorpusError: for a file that cannot be read, naming the line.
    """
    rows = _lines(folder / file, 2, "label, text")
    return LabelledTexts([text for _, (_, text) in rows], [label for _, (label, _) in rows])


def _lines(path: Path, columns: int, names: str) -> list[tuple[int, list[str]]]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read {path}: {error}") from error
    rows = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        row = line.rstrip("\r").split("\t")
        if len(row) != columns or any(text_problem(cell) for cell in row[1:]):
            raise CorpusError(f"{path}, line {number}: expected {columns} columns divided by tabs ({names})")
        rows.append((number, row))
    if not rows:
        raise CorpusError(f"{path} is empty: expected lines of {names}, divided by tabs")
    return rows
