"""What counts as a text: one place that every entry point checks with."""

from __future__ import annotations

from collections.abc import Iterable

from uec_retriever.checks.iterables import is_iterable
from uec_retriever.errors import InvalidInputError, show

_HEADING = "#*=_ \t\r\n"  # what marks a heading


def check_texts(texts: Iterable[str], what: str = "text") -> list[str]:
    """Check texts before anything is encoded or stored.

    Args:
        texts: any iterable of strings; a single string is refused.
        what: how to call one of them in messages, e.g. `query`.

    Raises:
        InvalidInputError: for a non-string, an empty or whitespace-only text, a lone surrogate
            or a NUL character, naming the position and the fix.
    """
    several = "queries" if what == "query" else f"{what}s"
    if isinstance(texts, str | bytes):
        raise InvalidInputError(f"expected a list of {several}, got a single one: put it into a list")
    if not is_iterable(texts):
        raise InvalidInputError(f"expected a list of {several}, got {show(texts)}")
    checked = list(texts)
    for position, text in enumerate(checked):
        problem = text_problem(text)
        if problem:
            raise InvalidInputError(f"{what} {position} {problem}")
    return checked


def text_problem(text: object) -> str | None:
    """Why a value cannot be encoded and stored as a text, with the fix; None if it can."""
    if not isinstance(text, str):
        return f"is {type(text).__name__}, not a string: convert or drop it"
    if not text.strip():
        return "is empty or only whitespace: drop it"
    if "\0" in text:
        return f"has a NUL character at {text.index(chr(0))}: remove it with text.replace('\\0', '')"
    if (position := surrogate_at(text)) is not None:
        return (
            f"has a lone surrogate at {position}: repair it with "
            "text.encode('utf-8', 'replace').decode('utf-8')"
        )
    return None


def surrogate_at(text: str) -> int | None:
    """Where a string has half a character, which no file can hold; None if nowhere."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def join_title(title: str, text: str) -> str:
    """A title before its text, unless the text begins with it."""
    title, text = title.strip(), text.strip()
    return text if begins_with(text, title) else f"{title} {text}".strip()


def begins_with(text: str, title: str) -> bool:
    """Whether a text begins with a title, as a heading or in a sentence, in whatever case; no title is in every text.

    Args:
        text: without blanks before it.
        title: without blanks around it.
    """
    return after_title(text, title) is not None


def after_title(text: str, title: str) -> str | None:
    """What follows the title that a text begins with; None where it begins otherwise.

    Args:
        text: without blanks before it.
        title: without blanks around it.
    """
    bare = text.lstrip(_HEADING) if title else text
    beginning, rest = bare[: len(title)], bare[len(title) :]
    if beginning.casefold() != title.casefold() or (title and rest[:1].isalnum()):
        return None
    return rest
