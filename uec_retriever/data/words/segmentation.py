"""A normalised stretch of text, cut into words, identifiers with their parts, and bigrams."""

from __future__ import annotations

import re
from enum import Enum
from functools import cache

from uec_retriever.data.words.normalization import marks

# Scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Han, kana, bopomofo, Yi; and Hangul, whose spaces
# stand between words with their particles.
_SPACELESS = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u104e-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe"
    "\uaa60-\uaa7f\u1780-\u17d3\u17d7\u17dc\u17dd\u1100-\u11ff\u3005-\u3007\u3021-\u3029\u3041-\u3096\u3099\u309a\u309d-\u309f"
    "\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\ua960-\ua97c"
    "\uac00-\ud7fb\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
_LONGEST_SPLIT = 256
"""Longer runs of letters and digits have no parts: they are data, not names."""
_SEPARATORS = (  # from the loosest to the tightest
    re.compile(r"[@&/:]"),
    re.compile(r"(?<!\d)\.|\.(?!\d)"),
    re.compile(r"_+|-"),
    re.compile("'"),
)
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_VERSION = re.compile(r"([^\W\d]+)(\d+(?:[.,]\d+)+)")
_INITIALS = re.compile(r"(?:[^\W\d]\.)+[^\W\d]")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]+|[0-9a-fA-F]{8,}")
_LAST_LETTERS = re.compile(r"[^\W\d]+$")
_ELIDED = frozenset(
    "l d j m t s n c qu jusqu lorsqu puisqu quoiqu un all dall dell nell sull coll gl agl dagl degl negl sugl".split()
)
_CONTRACTED = frozenset("s re ll ve d m".split())
_SHORT = 2
_MANY = 4
_SHORT_PIECES = 2.5


class Kind(Enum):
    """How a segment becomes a term."""

    WORD = "word"  # stop words are dropped, the rest is stemmed
    WHOLE = "whole"  # neither
    BIGRAM = "bigram"  # as it is


Segment = tuple[Kind, str, int, int]
"""Kind, text, and its start and end in the text that was cut."""


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Everything that holds terms; characters, with their marks, of scripts without spaces."""
    mark = marks()
    word = f"(?:[^\\W_{_SPACELESS}]++{mark}*+)++"
    join = r"(?:_++|[-.'@&]|(?<=\d)[/:](?=\d)|(?<=\d),(?=\d{3}(?!\d)))"
    return (
        re.compile(
            f"(?P<spaceless>(?:[{_SPACELESS}]++{mark}*+)++)"
            rf"|(?P<dot>(?<![\w.])\.(?=[^\W\d_]))?(?P<token>{word}(?:{join}{word})*+)(?P<suffix>\+\+(?!\+)|\#(?!\w))?"
        ),
        re.compile(f"[{_SPACELESS}]{mark}*+"),
    )


def segments(text: str) -> list[Segment]:
    """Everything of a text that becomes a term, in order of start, an identifier before its parts.

    Args:
        text: as `normalize` gives it.
    """
    found: list[Segment] = []
    pattern, character = _patterns()
    for match in pattern.finditer(text):
        if match["token"] is None:
            starts = [m.start() for m in character.finditer(text, *match.span())]
            starts.append(match.end())
            _add_bigrams(found, text, starts)
            continue
        token, start = match["token"], match.start("token")
        if match["dot"]:  # .NET
            name = re.match(r"[^\W\d_]+", token)
            assert name is not None
            found.append((Kind.WHOLE, "." + name[0], start - 1, start + name.end()))
        name = _LAST_LETTERS.search(token) if match["suffix"] else None
        if name is None or (match["suffix"] == "#" and len(name[0]) > _SHORT):
            _split(found, token, start)
            continue
        if name.start() or len(name[0]) > 1:  # C++ is not about C
            _split(found, token, start)
        found.append((Kind.WHOLE, name[0] + match["suffix"], start + name.start(), match.end()))
    return found


def _add_bigrams(found: list[Segment], text: str, starts: list[int]) -> None:
    """Overlapping pairs of characters; a lone one as itself.

    Args:
        found: where they go.
        text: that they are from.
        starts: of the characters, and the end of the last.
    """
    width = min(2, len(starts) - 1)
    for low, high in zip(starts, starts[width:], strict=False):
        found.append((Kind.BIGRAM, text[low:high], low, high))


def _split(found: list[Segment], text: str, start: int, level: int = 0) -> None:
    """Add an identifier and, level by level, its parts.

    Args:
        found: where they go.
        text: words and what joins them.
        start: of the text.
        level: of the separators to begin with.
    """
    if _is_plain(text):  # most words
        found.append((Kind.WORD, text, start, start + len(text)))
        return
    if _INITIALS.fullmatch(text):  # U.S.A.
        found.append((Kind.WHOLE, text.replace(".", ""), start, start + len(text)))
        return
    depths = () if text.isalnum() else range(level, len(_SEPARATORS))
    for depth in depths:
        if not _SEPARATORS[depth].search(text):
            continue
        places = [m.span() for m in _SEPARATORS[depth].finditer(text)]
        spans = list(
            zip([0, *(high for _, high in places)], [*(low for low, _ in places), len(text)], strict=True)
        )
        if text[places[0][0]] == "'":
            _split_at_apostrophes(found, text, start, spans)
            return
        _add_whole(found, text, start)
        for low, high in spans:
            _split(found, text[low:high], start + low, depth + 1)
        return
    _split_run(found, text, start)


def _is_plain(text: str) -> bool:
    """Whether a text is letters that do not change their case inside."""
    return text.isalpha() and (len(text) == 1 or text[1:].islower() or text.isupper())


def _add_whole(found: list[Segment], text: str, start: int) -> None:
    """Add an identifier itself; a compound of words, such as `e-mails`, is a word, as `emails` is."""
    kind = Kind.WORD if all(map(_is_plain, text.split("-"))) else Kind.WHOLE
    found.append((kind, text, start, start + len(text)))


def _split_at_apostrophes(found: list[Segment], text: str, start: int, spans: list[tuple[int, int]]) -> None:
    """Add words without elided articles (l'homme) and contracted verbs (we're, dog's), or whole and parts (O'Neill)."""
    (first, second), (last, end) = spans[0], spans[-1]
    if len(spans) > 1 and text[last:end].casefold() in _CONTRACTED:
        spans = spans[:-1]
    elif len(spans) == _SHORT and text[last:end].casefold() == "t" and text[:second].casefold().endswith("n"):
        found.append((Kind.WORD, text, start, start + len(text)))  # don't
        return
    if len(spans) > 1 and text[first:second].casefold() in _ELIDED and spans[1][1] - spans[1][0] > 1:
        spans = spans[1:]
    if len(spans) > 1:
        low, high = spans[0][0], spans[-1][1]
        found.append((Kind.WHOLE, text[low:high], start + low, start + high))
    for low, high in spans:
        _split_run(found, text[low:high], start + low)


def _split_run(found: list[Segment], text: str, start: int) -> None:
    """Add a run of letters, digits and points between digits, and its parts by case and digits."""
    end = start + len(text)
    if _NUMBER.fullmatch(text):
        found.append((Kind.WHOLE, text, start, end))
        return
    if "." in text or "," in text:  # 1.2.3, v1.2.3, Python3.11
        found.append((Kind.WHOLE, text, start, end))
        named = _VERSION.fullmatch(text)
        if named is None:
            for match in re.finditer(r"[^.,]+", text):
                _split_run(found, match[0], start + match.start())
            return
        if named.end(1) > 1:
            found.append((Kind.WORD, named[1], start, start + named.end(1)))
        _split_run(found, named[2], start + named.start(2))
        return
    has_digits = any(map(str.isdigit, text[:_LONGEST_SPLIT]))
    pieces = _pieces(text) if len(text) <= _LONGEST_SPLIT else [(0, len(text))]
    kept = [(low, high) for low, high in pieces if high - low > 1]
    whole = Kind.WHOLE if has_digits else Kind.WORD
    random = len(pieces) > _MANY and len(text) < _SHORT_PIECES * len(pieces)
    if len(pieces) == 1 or len(kept) < 1 + (not has_digits) or random or _HEXADECIMAL.fullmatch(text):
        found.append((whole, text, start, end))
        return
    found.append((Kind.WHOLE, text, start, end))
    for low, high in kept:
        found.append(
            (Kind.WHOLE if text[low:high].isdigit() else Kind.WORD, text[low:high], start + low, start + high)
        )


def _pieces(text: str) -> list[tuple[int, int]]:
    """Parts by case and digits: getUserName, HTTPServer2, covid19; a lone letter stays with its digits (X509)."""
    bounds = [0]
    for i in range(1, len(text)):
        if _begins(text, i):
            if text[i].isdigit() and i - bounds[-1] == 1:
                continue
            bounds.append(i)
    return list(zip(bounds, [*bounds[1:], len(text)], strict=True))


def _begins(text: str, i: int) -> bool:
    """Whether a new part begins at a position above 0."""
    before, here, after = text[i - 1], text[i], text[i + 1 : i + 2]
    if before.isdigit() or here.isdigit():
        return before.isdigit() != here.isdigit()
    if not here.isupper():
        return False
    if not before.isupper():
        return before.islower()
    plural = after == "s" and not text[i + 2 : i + 3].islower()  # URLs
    return after.islower() and not plural
