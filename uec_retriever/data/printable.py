"""Texts and ids of others, made fit for a terminal and for line-based files."""

from __future__ import annotations

_KEPT = "\t\n"
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_PICTURES = 0x2400  # Unicode's pictures of the control characters 0 to 31 begin here
_DELETE = 0x7F
_SHOWN: dict[int, str] = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if chr(code) not in _KEPT},
    _DELETE: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(range(0x80, 0xA0), _UNKNOWN),  # C1: terminals read them as ESC and a letter
    **dict.fromkeys((0x2028, 0x2029), _UNKNOWN),  # line and paragraph separator
    **dict.fromkeys(
        (*range(0x202A, 0x202F), *range(0x2066, 0x206A)), _UNKNOWN
    ),  # bidi overrides and isolates
    **dict.fromkeys(range(0xD800, 0xE000), _UNKNOWN),  # lone surrogates, which cannot be encoded
}


def printable(text: str) -> str:
    """A text that can only be read: whatever would steer a terminal is shown as one visible character.

    That is every control character but tab and line feed, the overrides of the direction of writing, the line
    separators, and lone surrogates. Marks that scripts need, such as joiners, stay.

    Args:
        text: anything.

    Returns:
        A text of the same length.
    """
    return text.translate(_SHOWN)


def run_problem(identifier: str) -> str | None:
    """Why a TREC run, whose columns are separated by spaces, cannot hold an id; None if it can."""
    if any(character.isspace() for character in identifier):
        return "has a space"
    if printable(identifier) != identifier:
        return "has a control character"
    return None
