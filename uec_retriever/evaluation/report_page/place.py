"""A value inside a result file that knows where it is, to say what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uec_retriever.errors import InvalidInputError


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Place:
    """A value inside a file.

    Attributes:
        file: its name.
        keys: that lead to the value.
        value: from JSON.
    """

    file: str
    keys: tuple[str, ...]
    value: Any

    def at(self, key: str) -> Place:
        """The value under a key."""
        if key not in self.mapping():
            raise self.lacks(repr(key))
        return Place(self.file, (*self.keys, key), self.value[key])

    def mapping(self) -> Mapping[str, Any]:
        """The value, which must be an object."""
        if not isinstance(self.value, Mapping):
            raise self.wrong("is not an object")
        return self.value

    def items(self) -> list[Place]:
        """Values of an object that must not be empty."""
        if not self.mapping():
            raise self.wrong("is empty")
        return [self.at(key) for key in self.value]

    def elements(self) -> list[Place]:
        """Values of a list."""
        if isinstance(self.value, str) or not isinstance(self.value, Sequence):
            raise self.wrong("is not a list")
        return [Place(self.file, (*self.keys, str(i)), v) for i, v in enumerate(self.value)]

    def number(self) -> None:
        """Refuse what is not a finite number."""
        if not is_number(self.value):
            raise self.wrong(f"is not a number but {str(self.value)[:40]!r}")

    def has(self, key: str) -> bool:
        """Whether there is something under a key."""
        return self.mapping().get(key) is not None

    def lacks(self, what: str) -> InvalidInputError:
        """What to raise if something is missing."""
        where = ": ".join(self.keys)
        return self._refusal(f"{where} lacks {what}" if where else f"it lacks {what}")

    def wrong(self, how: str) -> InvalidInputError:
        """What to raise if the value cannot be used."""
        return self._refusal(f"{': '.join(self.keys) or 'it'} {how}")

    def _refusal(self, what: str) -> InvalidInputError:
        return InvalidInputError(
            f"{self.file} is no result that can be reported: {what}; give JSON that `uec eval` or a benchmark of this version wrote"
        )
