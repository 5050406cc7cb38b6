"""JSON from outside, read in one way: what is wrong with it is told in our words, with the line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from uec_retriever.errors import InvalidInputError

DEEPEST = 100  # lists and objects within each other; nothing of ours has a tenth of it
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def parse_json(content: str | bytes) -> Any:
    """The value of a JSON text.

    Args:
        content: a text, or its bytes in UTF-8, with or without a byte order mark.

    Returns:
        Objects, lists, strings, numbers, booleans and None, at most `DEEPEST` of them within each other.

    Raises:
        InvalidInputError: for what is no JSON in UTF-8, an integer of too many digits or too many brackets within
            each other. The message tells the line if there are several, and leaves it to the caller to name the file.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        value = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"not JSON in UTF-8 ({error})") from error
    except RecursionError as error:
        raise _too_deep(text) from error
    except ValueError as error:  # Python's limit, against texts that take minutes to convert
        digits = sys.get_int_max_str_digits()
        found = re.search(rf"\d{{{digits + 1}}}", text)
        raise InvalidInputError(
            f"an integer of more than {digits} digits{_line(text, found.start() if found else 0)}: "
            "write it as a string"
        ) from error
    if text.count("[") + text.count("{") > DEEPEST and _depth_exceeded_at(text) is not None:
        raise _too_deep(text)
    return value


def parse_object(content: str | bytes) -> dict[str, Any]:
    """The JSON object of a text, read as `parse_json` reads it.

    Raises:
        InvalidInputError: also for JSON that is no object.
    """
    value = parse_json(content)
    if not isinstance(value, dict):
        raise InvalidInputError(f"a {type(value).__name__}, not a JSON object")
    return value


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        InvalidInputError: for a file that cannot be read or is no JSON; names the file and, within it, the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return parse_json(content)
    except InvalidInputError as error:
        raise InvalidInputError(f"cannot read {path}: {error}") from error


def _too_deep(text: str) -> InvalidInputError:
    place = _line(text, _depth_exceeded_at(text) or 0)
    return InvalidInputError(f"more than {DEEPEST} brackets within each other{place}: flatten it")


def _depth_exceeded_at(text: str) -> int | None:
    """Where more brackets are open than may be; None if that is nowhere so."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth > DEEPEST:
            return token.start()
    return None


def _line(text: str, position: int) -> str:
    return f" in line {text.count(chr(10), 0, position) + 1}" if "\n" in text.strip() else ""
