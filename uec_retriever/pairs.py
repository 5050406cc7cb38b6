"""Calibration pairs (query, positive): the user's, or pseudo-pairs made from a corpus."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from uec_retriever.errors import InvalidInputError
from uec_retriever.texts import check_texts, text_problem

MINIMUM_PAIRS = 16
_T = TypeVar("_T")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_SMALLEST = 12  # characters; shorter sides say nothing


@dataclass(frozen=True)
class CalibrationPairs:
    """Pairs of texts that belong together.

    Attributes:
        queries: n texts.
        positives: n texts, row by row what answers or continues the query.
        source: `user`, or how they were made: `title`, `first sentence` or `halves`.
    """

    queries: list[str]
    positives: list[str]
    source: str = field(default="user")

    def __post_init__(self) -> None:
        if len(self.queries) != len(self.positives):
            raise InvalidInputError(
                f"{len(self.queries)} queries and {len(self.positives)} positives: pairs need as many of each"
            )
        check_texts(self.queries, "calibration query")
        check_texts(self.positives, "calibration positive")
        if len(self.queries) < MINIMUM_PAIRS:
            raise InvalidInputError(
                f"{len(self.queries)} calibration pairs are too few: give at least {MINIMUM_PAIRS}, better some hundreds"
            )

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the pairs, in their order."""
        content = json.dumps([self.queries, self.positives], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    def split(self, heldout: float = 0.2) -> tuple[CalibrationPairs, CalibrationPairs]:
        """Cut into a part to fit on and a held-out part, in the given order.

        Args:
            heldout: share of the held-out part, in (0, 1).
        """
        if len(self) < 2 * MINIMUM_PAIRS:
            return self, self
        cut = min(max(round(len(self) * (1 - heldout)), MINIMUM_PAIRS), len(self) - MINIMUM_PAIRS)
        return (
            CalibrationPairs(self.queries[:cut], self.positives[:cut], self.source),
            CalibrationPairs(self.queries[cut:], self.positives[cut:], self.source),
        )


def pseudo_pairs(
    texts: Iterable[str], titles: Iterable[str] | None = None, *, limit: int = 640, seed: int = 0
) -> CalibrationPairs:
    """Make calibration pairs from a corpus without labels: title -> text, or first sentence -> rest.

    A text of one sentence is cut in the middle.

    Args:
        texts: the corpus; only a sample of `limit` texts is kept in memory.
        titles: as many titles, empty where a text has none.
        limit: at most this many pairs.
        seed: of the sample.

    Raises:
        InvalidInputError: if the corpus yields too few pairs.
    """
    paired = zip(texts, titles, strict=True) if titles is not None else ((t, "") for t in texts)
    sample = reservoir(
        ((title, text) for text, title in paired if text_problem(text) is None), 2 * limit, seed
    )
    unique: dict[str, tuple[str, str, str]] = {}
    for title, text in sample:
        for query, positive, source in _splits(title.strip(), text.strip()):
            if query not in unique:  # a title that many texts share serves once
                unique[query] = (query, positive, source)
                break
    made = list(unique.values())[:limit]
    if len(made) < MINIMUM_PAIRS:
        raise InvalidInputError(
            f"the corpus yields only {len(made)} calibration pairs, {MINIMUM_PAIRS} are needed: "
            "give pairs of your own, or a fitted posterior for each expert"
        )
    sources = sorted({source for _, _, source in made})
    return CalibrationPairs([q for q, _, _ in made], [p for _, p, _ in made], " + ".join(sources))


def reservoir(items: Iterable[_T], size: int, seed: int) -> list[_T]:
    """A uniform sample of at most `size` items of a stream, in random order."""
    generator = random.Random(seed)
    kept: list[_T] = []
    for position, item in enumerate(items):
        if len(kept) < size:
            kept.append(item)
        elif (slot := generator.randrange(position + 1)) < size:
            kept[slot] = item
    generator.shuffle(kept)
    return kept


def _splits(title: str, text: str) -> Iterator[tuple[str, str, str]]:
    """Ways to make a pair of one text, the best first."""
    body = text.removeprefix(title).strip()
    first, *rest = _SENTENCE.split(body, maxsplit=1)
    words = body.split()
    middle = len(words) // 2
    for query, positive, source in (
        (title, body, "title"),
        (first, "".join(rest), "first sentence"),
        (" ".join(words[:middle]), " ".join(words[middle:]), "halves"),
    ):
        if len(query) >= _SMALLEST and len(positive) >= _SMALLEST:
            yield query, positive, source
