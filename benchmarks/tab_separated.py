"""Tab-separated test data: sentence pairs with a gold similarity, and labelled texts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from uec_retriever.data.texts import text_problem
from uec_retriever.errors import CorpusError

ScoredPair = tuple[float, str, str]  # gold similarity on the data's own scale, sentence, sentence
LabelledText = tuple[str, str]  # label, text
Item = TypeVar("Item")


def read_pairs(path: Path) -> list[ScoredPair]:
    """Read `score <tab> sentence <tab> sentence` lines, without a header.

    Raises:
        CorpusError: for a file that cannot be read, naming the line.
    """
    found: list[ScoredPair] = []
    for number, (score, one, other) in _read(path, 3, "score, sentence, sentence"):
        try:
            found.append((float(score), one, other))
        except ValueError:
            raise CorpusError(f"{path}, line {number}: {score!r} is not a score") from None
    return found


def read_labelled(path: Path) -> list[LabelledText]:
    """Read `label <tab> text` lines, without a header.

    Raises:
        CorpusError: for a file that cannot be read, naming the line.
    """
    return [(label, text) for _, (label, text) in _read(path, 2, "label, text")]


def sample(items: Sequence[Item], at_most: int | None, seed: int) -> list[Item]:
    """A random sample without replacement, in order; all of them if they are few enough."""
    if at_most is None or at_most >= len(items):
        return list(items)
    return [items[i] for i in sorted(random.Random(seed).sample(range(len(items)), at_most))]


def _read(path: Path, columns: int, names: str) -> list[tuple[int, list[str]]]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read {path}: {error}") from error
    lines = [
        (i, line.rstrip("\r").split("\t")) for i, line in enumerate(content.split("\n"), 1) if line.strip()
    ]
    for number, row in lines:
        if len(row) != columns or any(text_problem(cell) for cell in row[1:]):
            raise CorpusError(f"{path}, line {number}: expected {columns} columns divided by tabs ({names})")
    if not lines:
        raise CorpusError(f"{path} is empty: expected lines of {names}, divided by tabs")
    return lines
