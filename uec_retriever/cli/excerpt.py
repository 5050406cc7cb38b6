"""The part of a text that shows why it was found."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

Span = tuple[int, int]
_LEAST = 20  # characters
_BEFORE = 1 / 4  # of an excerpt stand before its first match, at most
_LONGEST_WORD = 20  # that is left out whole at the beginning
ELLIPSIS = "… "
# Markdown's before a title; a line of one punctuation mark, as above and below titles in reStructuredText
_HEADING_MARKS = re.compile(
    r"""^(?:#{1,6}[ \t]+|[ \t]*([=\-~^"'*+#:._])\1{2,}[ \t]*(?:\r?\n|\Z))""", re.MULTILINE
)


def without_heading_marks(text: str, matched: Sequence[Span]) -> tuple[str, list[Span]]:
    """A text without what marks its headings, which says nothing on one line, and the matches in it.

    Args:
        text: anything.
        matched: starts and ends of matches.
    """
    marks = [found.span() for found in _HEADING_MARKS.finditer(text)]
    ends = [end for _, end in marks]
    gone = [0, *accumulate(end - start for start, end in marks)]

    def moved(place: int) -> int:
        i = bisect_left(ends, place)  # marks that end before it
        return place - gone[i] - (max(0, place - marks[i][0]) if i < len(marks) else 0)

    spans = [(moved(start), moved(end)) for start, end in matched]
    return _HEADING_MARKS.sub("", text), [(start, end) for start, end in spans if start < end]


def cut_excerpt(text: str, matched: Sequence[Span], width: int) -> tuple[str, list[Span]]:
    """A part of a text with as many different matches as possible, the earliest of equals, on one line.

    Args:
        text: anything.
        matched: starts and ends of matches, in order, none overlapping.
        width: about as many characters as will be seen.

    Returns:
        The part, with an ellipsis before it if it is not the beginning, and the matches in it. It is longer than what
        will be seen, unless the text ends.
    """
    width = max(width, _LEAST)
    start = _choose_start(text, matched, width)
    part, places = _join_lines(text, start, start + 2 * width)
    lead = ELLIPSIS if start else ""
    shift, end = len(lead), start + len(places) - 1
    spans = [
        (places[max(s, start) - start], places[min(e, end) - start])
        for s, e in matched
        if start < e and s < end
    ]
    return lead + part, [(s + shift, e + shift) for s, e in spans if s < e]


def _choose_start(text: str, matched: Sequence[Span], width: int) -> int:
    """Where the excerpt begins; 0 if nothing is better than the beginning."""
    words = [text[start:end].casefold() for start, end in matched]
    ahead = round(width * _BEFORE)
    seen, most = 0, _count_words(words, matched, 0, width)
    for first, (start, _) in enumerate(matched):
        count = _count_words(words, matched, first, start + width - ahead)
        if count > most:
            seen, most = start, count
    begin = max(0, seen - ahead)
    edge = next((i for i in range(begin, min(begin + _LONGEST_WORD, seen)) if text[i].isspace()), None)
    return begin if begin == 0 or edge is None else edge + 1


def _count_words(words: Sequence[str], matched: Sequence[Span], first: int, end: int) -> int:
    """How many different words match from one on, before an end."""
    found = set()
    for i in range(first, len(words)):
        if matched[i][1] > end:
            break
        found.add(words[i])
    return len(found)


def _join_lines(text: str, start: int, end: int) -> tuple[str, list[int]]:
    """A part of a text with single spaces, and where each of its characters, and its end, went."""
    part: list[str] = []
    places = []
    for character in text[start:end]:
        places.append(len(part))
        if not character.isspace():
            part.append(character)
        elif part and part[-1] != " ":
            part.append(" ")
    return "".join(part), [*places, len(part)]
