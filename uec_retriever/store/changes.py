"""What has happened in a collection since somebody last looked, for what is derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OVERLAP = 15_000  # ms; a change is seen at most so long after the server was asked for the time of it


@dataclass(frozen=True)
class Changes:
    """What was changed since a mark, and the mark to go on from.

    Attributes:
        versions: id -> number of its last change, of records that were put or deleted since. Of those deleted, some or
            all may be missing. None where nothing is known: then everything may have changed.
        mark: for the next time.
    """

    versions: Mapping[str, int] | None
    mark: str


def write_mark(kind: str, number: int) -> str:
    """A mark: of which kind its number is, and the number."""
    return f"{kind}:{number}"


def read_mark(mark: str, kind: str, last: int) -> int | None:
    """The number of a mark; None if it is of another kind, or of a future that this collection does not have."""
    found, _, number = mark.partition(":")
    if found != kind or not number.isdecimal() or int(number) > last:
        return None
    return int(number)
