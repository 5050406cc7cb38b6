"""Long texts to pieces that models see whole, cut where they are structured: headings, paragraphs, sentences."""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uec_retriever.checks.numbers import check_whole
from uec_retriever.data.files.markup import Markup, Outline, headings_of, with_markdown_headings
from uec_retriever.data.records import Metadata, Record, piece_id
from uec_retriever.errors import InvalidInputError, show

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter

TOKENS = 512
"""A piece has no more, however much the models see: long texts make vectors that say little."""
DOCUMENT_KEY, POSITION_KEY, START_KEY, HEADINGS_KEY = "document_id", "position", "start", "headings"
Span = tuple[int, int]
_BLOCK = 64  # characters for each token of a piece, of what is split at a time
_SLACK = 16  # a piece that is measured by another text than its own has that share of its tokens to spare
_BYTES = 4  # in a token, where nothing can count them
_REMEMBERED = 100_000  # documents whose pieces are known when they are read again


@dataclass(frozen=True, eq=False)
class Window:
    """What a model sees of a text.

    Attributes:
        limit: tokens that it sees, at least 1.
        count: text -> its tokens, those of a prompt and those that frame it included.
    """

    limit: int
    count: Callable[[str], int]


@dataclass(frozen=True)
class Piece:
    """A part of a text.

    Attributes:
        start: characters of the text before it.
        text: of the piece.
        headings: that it stands under, highest first, as "A > B".
    """

    start: int
    text: str
    headings: str


class Splitter:
    """Splits texts so that every model sees each piece whole.

    Args:
        windows: of the models; None for one that does not tell, such as that of a server, which is taken to see
            `TOKENS` tokens of 4 bytes.
        tokens: of a piece at most; `TOKENS` if None. Fewer where the smallest window is smaller.

    Raises:
        InvalidInputError: for `tokens` below 16, or a window that its prompt nearly fills.
    """

    def __init__(self, windows: Sequence[Window | None], tokens: int | None = None) -> None:
        most = TOKENS if tokens is None else check_whole("the tokens of a piece", tokens, 16)
        given = [window or Window(most, _estimate) for window in windows] or [Window(most, _estimate)]
        self._windows = [(w, min(w.limit, most), w.count("")) for w in given]
        self.tokens = min(limit for _, limit, _ in self._windows)
        for window, _, frame in self._windows:
            if 2 * frame > window.limit:
                raise InvalidInputError(
                    f"an expert sees {window.limit} tokens of a text and its prompt takes {frame} of them, so that texts "
                    "cannot be split for it: shorten the prompt, or do not split (--no-split)"
                )
        self._block = _BLOCK * self.tokens  # characters
        self._remembered: dict[str, tuple[int, array[int]]] = {}

    def fits(self, text: str) -> bool:
        """Whether every model sees a text whole."""
        size = len(text.encode("utf-8", "replace"))
        if all(size + frame <= limit for _, limit, frame in self._windows):
            return True
        return size < self._block and self._size(text) <= self.tokens

    def split(self, text: str, markup: Markup = "plain") -> list[Piece]:
        """The pieces of a text, in order; one, the text itself, if it fits.

        Args:
            text: non-empty.
            markup: what its structure is written in.
        """
        if self.fits(text):
            return [Piece(0, text, "")]
        return self._pieces(text, markup, self._spans(text, markup))

    def records(self, record: Record, markup: Markup = "plain") -> list[Record]:
        """A record as its pieces, each with `document_id`, `position`, `start` and `headings`; itself if it fits.

        Their ids are that of the record, `#` and the position in four digits or more.

        Args:
            record: whose text is embedded as it is.
            markup: what its structure is written in.

        Raises:
            InvalidInputError: if it has to be split and has one of these keys itself, or another text to embed.
        """
        known = self._remembered.get(record.id)
        if known is None or known[0] != hash(record.text):
            spans = array("q") if self.fits(record.text) else self._spans(record.text, markup)
            known = hash(record.text), spans
            if len(self._remembered) < _REMEMBERED:
                self._remembered[record.id] = known
        if len(known[1]) <= 2:
            return [record]
        if record.embedded is not None:
            raise InvalidInputError(
                f"record {show(record.id)} is to be embedded as another text, so that it cannot be split"
            )
        for key in (DOCUMENT_KEY, POSITION_KEY, START_KEY, HEADINGS_KEY):
            if key in record.metadata:
                raise InvalidInputError(
                    f"record {show(record.id)} is long and has metadata of its own called {key!r}, as each of its pieces "
                    "does: rename the key, or do not split (--no-split)"
                )
        source = record.source or record.id
        return [
            Record(
                piece_id(record.id, i), p.text, _where(record, i, p), payload=record.payload, source=source
            )
            for i, p in enumerate(self._pieces(record.text, markup, known[1]))
        ]

    def _size(self, text: str) -> int:
        """Tokens, in the measure of the smallest window: at most `tokens` if every model sees the text whole."""
        return max(math.ceil(w.count(text) * self.tokens / limit) for w, limit, _ in self._windows)

    def _spans(self, text: str, markup: Markup) -> array[int]:
        """Begin and end of each piece, one after the other."""
        from semantic_text_splitter import MarkdownSplitter, TextSplitter

        plain = TextSplitter.from_callback(self._size, self.tokens)
        structured = MarkdownSplitter.from_callback(self._size, self.tokens)
        roomy = TextSplitter.from_callback(self._size, self.tokens - self.tokens // _SLACK)
        read = with_markdown_headings(text) if markup == "rst" else text
        starts = {heading.start for heading in headings_of(text, markup)}
        splitter = plain if markup == "plain" else structured
        spans = [
            (begin + at, begin + at + len(piece))
            for begin, end in _blocks(text, sorted(starts), self._block)
            for at, piece in splitter.chunk_indices(read[begin:end])
        ]
        edges = array("q")
        for start, end in _joined(text, spans, starts, roomy):
            # what was measured with other blanks or lines under its headings may be longer as it is
            parts = [(0, text[start:end])]
            if not self.fits(parts[0][1]):
                parts = plain.chunk_indices(parts[0][1])
            # splitters do not know all that is blank: \x1c to \x1f are to Python
            parts = [(at, part) for at, part in parts if part.strip()]
            edges.extend(edge for at, part in parts for edge in (start + at, start + at + len(part)))
        return edges

    def _pieces(self, text: str, markup: Markup, spans: array[int]) -> list[Piece]:
        outline = Outline(headings_of(text, markup))
        starts = set(outline.starts)
        return [
            Piece(start, text[start:end], outline.at(min(_after_headings(text, start, starts), end - 1)))
            for start, end in zip(spans[::2], spans[1::2], strict=True)
        ]


def _blocks(text: str, headings: Sequence[int], size: int) -> Iterator[Span]:
    """Parts of a text to split one by one, since splitting takes the square of the length.

    They end at a heading, a paragraph, a line or a word.
    """
    start = 0
    while len(text) - start > size:
        least, most = start + size // 2, start + size
        i = bisect_right(headings, most) - 1
        end = headings[i] if i >= 0 and headings[i] > least else 0
        for mark in ("\n\n", "\n", " "):
            end = end or text.rfind(mark, least, most) + 1
        end = end or most
        yield start, end
        start = end
    yield start, len(text)


def _joined(text: str, spans: list[Span], headings: set[int], splitter: TextSplitter) -> Iterator[Span]:
    """Spans, none of which holds nothing but headings: those are split again together with what they stand above.

    Args:
        text: all of it.
        spans: begin and end of each piece, in order.
        headings: where those of the text begin.
        splitter: of plain text.
    """
    i = 0
    while i < len(spans):
        start, end = spans[i]
        if start not in headings:
            yield start, end
            i += 1
            continue
        body = _after_headings(text, start, headings)
        until = i + 1
        while until < len(spans) and (spans[until][0] < body or spans[until][0] not in headings):
            until += 1
        last = spans[until - 1][1]
        if end > body or last <= body:  # it is more than headings, or there is nothing below them
            yield start, end
            i += 1
            continue
        flat = (
            re.sub(r"\s", " ", text[start:body]) + text[body:last]
        )  # so that nothing is cut after the headings
        yield from ((start + at, start + at + len(piece)) for at, piece in splitter.chunk_indices(flat))
        i = until


def _after_headings(text: str, start: int, headings: set[int]) -> int:
    """Where the first line begins that is no heading, from a heading on."""
    if start not in headings:
        return start
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        line = text[start:end].strip()
        if line and start not in headings and any(map(str.isalnum, line)):
            return start
        start = end
    return start


def _where(record: Record, position: int, piece: Piece) -> Metadata:
    found = {
        **record.metadata,
        DOCUMENT_KEY: record.id,
        POSITION_KEY: position,
        START_KEY: piece.start,
    }
    return {**found, HEADINGS_KEY: piece.headings} if piece.headings else found


def _estimate(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES)
