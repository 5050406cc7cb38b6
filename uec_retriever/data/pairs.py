"""Calibration pairs (query, positive): the user's, or pseudo-pairs made from a corpus."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from uec_retriever.checks.numbers import check_whole
from uec_retriever.data.texts import after_title, check_texts, text_problem
from uec_retriever.errors import InvalidInputError

MINIMUM_PAIRS = 16
STANDARD_LIBRARY = "documentation of the Python standard library"  # source of pairs where there is no corpus
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_SMALLEST = 12  # characters; shorter sides say nothing
_FEWEST, _MOST = 160, 640  # pairs made from a corpus unless a limit says otherwise
# fitting on one costs MiniLM as much as embedding 1.2 to 1.8 texts: so 6 to 9 % of a corpus
_TEXTS_A_PAIR = 20


@dataclass(frozen=True)
class CalibrationPairs:
    """Pairs of texts that belong together.

    Attributes:
        queries: n texts.
        positives: n texts, row by row what answers or continues the query.
        source: `user`, or how they were made: `title`, `first sentence` or `halves`, or `STANDARD_LIBRARY`.
        corpus: how many texts there were to make them of; None where they were not made of an index's texts.
    """

    queries: list[str]
    positives: list[str]
    source: str = field(default="user")
    corpus: int | None = field(default=None, compare=False)

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

    @property
    def can_hold_out(self) -> bool:
        """Whether there are enough to fit on some and judge on others."""
        return len(self) >= 2 * MINIMUM_PAIRS

    def split(self, heldout: float = 0.2) -> tuple[CalibrationPairs, CalibrationPairs]:
        """Cut into a part to fit on and a held-out part, in the given order; all are both if they are too few.

        Args:
            heldout: share of the held-out part, in (0, 1).
        """
        if not self.can_hold_out:
            return self, self
        cut = min(max(round(len(self) * (1 - heldout)), MINIMUM_PAIRS), len(self) - MINIMUM_PAIRS)
        return (
            replace(self, queries=self.queries[:cut], positives=self.positives[:cut]),
            replace(self, queries=self.queries[cut:], positives=self.positives[cut:]),
        )


def proportionate(texts: int) -> int:
    """How many pairs to make of a corpus, so that fitting on them stays cheap beside embedding it.

    Args:
        texts: in the corpus, >= 0.

    Returns:
        A pair for each 20 texts, at least 160 and at most 640.
    """
    return min(max(texts // _TEXTS_A_PAIR, _FEWEST), _MOST)


def pseudo_pairs(
    texts: Iterable[str], titles: Iterable[str] | None = None, *, limit: int | None = None, seed: int = 0
) -> CalibrationPairs:
    """Make calibration pairs from a corpus without labels: title -> text, or first sentence -> rest.

    A text of one sentence is cut in the middle. Where the corpus is too small to make and hold out any, documentation of
    the Python standard library serves instead, as everywhere (see `PairSampler.pairs_or_general`).

    Args:
        texts: the corpus; only a sample is kept in memory.
        titles: as many titles, empty where a text has none.
        limit: at most this many pairs; in proportion to the corpus if None (see `proportionate`).
        seed: of the sample.

    Raises:
        InvalidInputError: if the corpus is empty.
    """
    sampler = PairSampler(limit, seed)
    for text, title in zip(texts, titles, strict=True) if titles is not None else ((t, "") for t in texts):
        sampler.offer(text, title)
    if not sampler.seen:
        raise InvalidInputError("the corpus is empty: it holds no text to make calibration pairs of")
    return sampler.pairs_or_general()


class PairSampler:
    """Calibration pairs out of a stream of texts, in constant memory (see `pseudo_pairs`).

    Args:
        limit: at most this many pairs; in proportion to the corpus if None (see `proportionate`).
        seed: of the sample.

    Attributes:
        seen: how many texts were shown.
    """

    def __init__(self, limit: int | None = None, seed: int = 0) -> None:
        self._limit = (
            None if limit is None else check_whole("the limit of calibration pairs", limit, MINIMUM_PAIRS)
        )
        self._random = random.Random(seed)
        self._kept: list[tuple[str, str]] = []
        self.seen = 0

    def offer(self, text: str, title: str = "") -> None:
        """Show one text; a uniform sample of all that were shown is kept (reservoir sampling)."""
        if text_problem(text) is not None:
            return
        title = "" if text_problem(title) else title
        self.seen += 1
        if len(self._kept) < 2 * (self._limit or _MOST):  # twice, since not every text makes a pair
            self._kept.append((title, text))
        elif (slot := self._random.randrange(self.seen)) < len(self._kept):
            self._kept[slot] = (title, text)

    def pairs(self, fewest: int = MINIMUM_PAIRS, advice: str = "give pairs of your own") -> CalibrationPairs:
        """The pairs, in random order.

        Args:
            fewest: that will do, >= 16.
            advice: what to do where there are fewer.

        Raises:
            InvalidInputError: if the texts yield too few.
        """
        unique: dict[str, tuple[str, str, str]] = {}
        for title, text in self._random.sample(self._kept, len(self._kept)):
            for query, positive, source in _splits(title.strip(), text.strip()):
                if query not in unique:  # a title that many texts share serves once
                    unique[query] = (query, positive, source)
                    break
        made = list(unique.values())[: self._limit or proportionate(self.seen)]
        if len(made) < fewest:
            raise InvalidInputError(
                f"the corpus yields only {len(made)} calibration pairs, {fewest} are needed: {advice}"
            )
        sources = " + ".join(sorted({source for _, _, source in made}))
        return CalibrationPairs([q for q, _, _ in made], [p for _, p, _ in made], sources, self.seen)

    def pairs_or_general(self) -> CalibrationPairs:
        """The pairs, or those of the Python standard library's documentation where none could be made and held out.

        What makes an index of any texts does it by this rule; the index's notes then say so.

        Raises:
            InvalidInputError: if they are needed and this Python comes without its library's sources.
        """
        from uec_retriever.data.stdlib_docs import docstring_pairs

        try:
            pairs = self.pairs()
        except InvalidInputError:
            return replace(docstring_pairs(), corpus=self.seen)
        enough = pairs.can_hold_out or len(pairs) == self._limit  # asked for no more
        return pairs if enough else replace(docstring_pairs(), corpus=self.seen)


def _splits(title: str, text: str) -> Iterator[tuple[str, str, str]]:
    """Ways to make a pair of one text, the best first."""
    rest_of_title = after_title(text, title)
    body = text if rest_of_title is None else rest_of_title.strip()
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
