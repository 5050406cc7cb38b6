"""Unicode's many ways to write the same: one form of a text, with the way back to the original's characters."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache
from operator import itemgetter

_LONGEST_MARKS = (
    30  # of one letter, as in Unicode's stream-safe format; ordering longer runs takes quadratic time
)
_ASTRAL = 0x10000
_VANISHING = (  # soft hyphen, joiners, zero-width space, marks of direction, variation selectors, tags
    "\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e0fff"
)
_ONE_FORM = str.maketrans(
    {**dict.fromkeys("\u2018\u2019\u201b\u02bc\u05f3", "'"), **dict.fromkeys("\u2010\u2011\u2212", "-")}
)
_JAMO = "\u1160-\u11ff\u3131-\u3163\ud7b0-\ud7fb\uffa1-\uffdc"  # may join the Hangul syllable before them
_SOUND_MARKS = "\uff9e\uff9f"  # of half-width katakana, no marks by their category
_STABLE = "\\x00-\\x7f\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"  # alone, NFKC leaves these
_LETTERS_WITH_STROKE = str.maketrans(
    {
        **{
            "ø": "o",
            "ł": "l",
            "đ": "d",
            "ð": "d",
            "ħ": "h",
            "ŧ": "t",
            "ı": "i",
            "æ": "ae",
            "œ": "oe",
            "þ": "th",
        },
        "\u0640": "",  # tatweel only stretches a word
    }
)
_ACCENTS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]+"
)
_DIGIT = re.compile(r"\d")

Edit = tuple[int, int, int, int]
"""Start and end in the normalised text, start and end in the original: a stretch whose length has changed."""


def _ranges(codes: Iterable[int]) -> str:
    """The inside of a character class."""
    found: list[list[int]] = []
    for code in codes:
        if found and code == found[-1][1] + 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in found)


@cache
def marks() -> str:
    """A regular expression for one combining mark.

    Two classes, since Python looks up a class within the first 65,536 characters in a table, and goes through the
    ranges of any other one by one.
    """
    codes = [code for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M"]
    low, high = (_ranges(c for c in codes if (c >= _ASTRAL) is astral) for astral in (False, True))
    return f"(?:[{low}]|[{high}])"


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """What vanishes; too many marks; what asks for a closer look; clusters that are normalised independently."""
    mark = marks()
    joins = f"(?:{mark}|[{_VANISHING}{_JAMO}{_SOUND_MARKS}])"
    return (
        re.compile(f"[{_VANISHING}]+"),
        re.compile(f"({mark}{{{_LONGEST_MARKS}}}){mark}+"),
        re.compile(f"[{_VANISHING}]|{mark}{{{_LONGEST_MARKS + 1}}}"),
        re.compile(f"[{_STABLE}]+(?!{joins})|[\\s\\S]{joins}*+"),
    )


def normalize(text: str) -> tuple[str, list[Edit]]:
    """NFKC, one kind of apostrophe and hyphen, nothing invisible.

    Canonically equivalent texts (NFC, NFD) have the same normalised text.

    Args:
        text: anything, lone surrogates too.

    Returns:
        The normalised text, and where its length differs from the original's, in order.
    """
    if text.isascii():
        return text, []
    vanishing, too_many, irregular, clusters = _patterns()
    if not irregular.search(text) and unicodedata.is_normalized("NFKC", text):
        return text.translate(_ONE_FORM), []
    pieces, edits, position = [], [], 0
    for match in clusters.finditer(text):
        piece = match[0]
        if not piece.isascii():
            piece = unicodedata.normalize("NFKC", too_many.sub(r"\1", vanishing.sub("", piece)))
            if len(piece) != len(match[0]):
                edits.append((position, position + len(piece), match.start(), match.end()))
        pieces.append(piece)
        position += len(piece)
    return "".join(pieces).translate(_ONE_FORM), edits


def original_span(edits: list[Edit], start: int, end: int) -> tuple[int, int]:
    """Where a non-empty stretch of the normalised text stands in the original; a cluster is never cut.

    Args:
        edits: of `normalize`.
        start: of the stretch.
        end: of the stretch, exclusive.
    """
    if not edits:
        return start, end
    return _cluster(edits, start)[0], _cluster(edits, end - 1)[1]


def _cluster(edits: list[Edit], position: int) -> tuple[int, int]:
    """Where the character at a position of the normalised text stands in the original."""
    following = bisect_right(edits, position, key=itemgetter(0))
    if not following:
        return position, position + 1
    _, high, start, end = edits[following - 1]
    if position < high:
        return start, end
    return position + end - high, position + end - high + 1


def fold(text: str) -> str:
    """A casefolded text without accents, and with ASCII's digits.

    Dropped are the accents of Latin, Greek and Cyrillic, the points of Hebrew and the vowel signs of Arabic, which
    most writers leave out. Marks of other scripts, such as Hindi's vowel signs, are letters of their own and stay.
    """
    if text.isascii():
        return text
    text = _ACCENTS.sub("", unicodedata.normalize("NFD", text)).translate(_LETTERS_WITH_STROKE)
    text = unicodedata.normalize("NFC", text)
    return _DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)
