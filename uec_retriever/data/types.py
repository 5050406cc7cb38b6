"""Types of values that are written as text, as in CSV: told from a whole column, or given by the user."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from uec_retriever.data.moments import iso
from uec_retriever.errors import InvalidInputError, show

Value = str | int | float | bool
STRING = "str"
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,14})")  # no 007, and none so long that it is a number of an account
_FLOAT = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+([eE][+-]?\d{1,3})?)?")
_PADDED = re.compile(r".*\.\d+0([eE].*)?")
_BOOLEANS = {"true": True, "false": False}
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?")
_ABSENT = frozenset({"", "na", "n/a", "nan", "null", "none"})


class ColumnTypes:
    """Finds the type of each column of a table out of all its values: that which every one of them has, else `str`.

    Args:
        given: column -> type, of those that are not to be found.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._left: dict[str, list[str]] = {}
        self._decimals: dict[str, set[int]] = {}
        self._padded: set[str] = set()

    def see(self, row: Mapping[str, str]) -> None:
        """Look at the values of a row; those that are empty say nothing."""
        for name, text in row.items():
            if text.strip() and name not in self._given:
                left = self._left.setdefault(name, list(_FOUND))
                if left:
                    left[:] = [each for each in left if _FOUND[each](text.strip())]
                if left and left[0] in ("int", "float"):
                    self._note_decimals(name, text.strip())

    @property
    def found(self) -> dict[str, str]:
        """Column -> type, of those that hold something else than strings.

        Prices are numbers, as 2.50 and 10.00 have as many decimals; versions are not, whose 1.10 is another than 1.1.
        """
        uneven = {name for name in self._padded if len(self._decimals[name]) > 1}
        return {
            name: left[0]
            for name, left in self._left.items()
            if left and not (left[0] == "float" and name in uneven)
        }

    def _note_decimals(self, name: str, text: str) -> None:
        self._decimals.setdefault(name, set()).add(len(text.partition(".")[2]))
        if _PADDED.fullmatch(text):
            self._padded.add(name)


def keeps(kind: str, text: str) -> bool:
    """Whether a value that stands alone is of a type that keeps what it says: 1.10 may be a version, or a price.

    Args:
        kind: `int`, `float`, `bool` or `date`.
        text: as it is written.
    """
    return bool(_FOUND[kind](text)) and not (kind == "float" and _PADDED.fullmatch(text))


def _is_float(text: str) -> bool:
    return bool(_FLOAT.fullmatch(text)) and math.isfinite(float(text))


def _is_date(text: str) -> bool:
    if not _MOMENT.fullmatch(text):
        return False
    try:
        iso(text)
    except ValueError:  # the 31st of February
        return False
    return True


_FOUND: dict[str, Callable[[str], Any]] = {
    "int": _INTEGER.fullmatch,
    "float": _is_float,
    "bool": lambda text: text.lower() in _BOOLEANS,
    "date": _is_date,
}


def _whole(text: str) -> int:
    number = float(text) if "." in text else int(text)
    if number != int(number):
        raise ValueError(f"{text} is not whole")
    return int(number)


def _boolean(text: str) -> bool:
    return {**_BOOLEANS, "yes": True, "no": False, "1": True, "0": False, "1.0": True, "0.0": False}[
        text.lower()
    ]


def _day(text: str) -> int:
    return int(iso(text)[:10].replace("-", ""))


_READ: dict[str, Callable[[str], Value]] = {
    STRING: str,
    "int": _whole,
    "float": float,
    "bool": _boolean,
    "date": iso,
    "day": _day,
}
TYPES = tuple(_READ)


def check_types(types: Mapping[str, str]) -> dict[str, str]:
    """Types that the user gives, by key.

    Raises:
        InvalidInputError: for one that there is none of.
    """
    for name, kind in types.items():
        if kind not in _READ:
            raise InvalidInputError(
                f"there is no type {show(kind)}, for {show(name)}: use one of {', '.join(TYPES)}"
            )
    return dict(types)


def typed(name: str, value: Any, kind: str) -> Value | None:
    """A value as one of a type; None where it says that there is none.

    Args:
        name: of its key, for messages.
        value: a string, a number or a boolean.
        kind: one of `TYPES`: `day` is a date as a whole number, such as 20240131, to compare with.

    Raises:
        ValueError: if it is none of that type.
    """
    text = str(value).strip()
    if kind != STRING and text.lower() in _ABSENT:
        return None
    try:
        return str(value) if kind == STRING else _READ[kind](text)
    except (ValueError, KeyError, OverflowError):
        raise ValueError(
            f"{show(name)} is {show(value, 40)}, which is no {kind}: repair it, or say --types {name}=str"
        ) from None


def typed_metadata(metadata: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """Metadata with those values whose type is said as of that type, left out where they say that there is none.

    Args:
        metadata: flat.
        types: key -> type; keys that are not there do not matter.

    Raises:
        ValueError: for a value that is none of its type.
    """
    found = dict(metadata)
    for key in types.keys() & metadata.keys():
        several = isinstance(metadata[key], list)
        values = [typed(key, each, types[key]) for each in (metadata[key] if several else [metadata[key]])]
        kept = [each for each in values if each is not None]
        found[key] = kept if several else kept[0] if kept else None
    return {key: value for key, value in found.items() if value is not None and value != []}


def flat(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as an index can hold it, as far as it goes: objects within become `outer.inner`, dates ISO, None nothing.

    Raises:
        ValueError: for far too many or too deep objects.
    """
    found: dict[str, Any] = {}
    _flatten(metadata, "", found)
    return found


_MOST = 1_000  # keys that objects within become


def _flatten(metadata: Mapping[str, Any], prefix: str, found: dict[str, Any]) -> None:
    for key, value in metadata.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            if name.count(".") > 20:
                raise ValueError(f"key {show(name, 60)}: it has objects within objects too deep: drop it")
            _flatten(value, f"{name}.", found)
            continue
        value = sorted(value, key=str) if isinstance(value, set) else value
        value = _scalars(value) if isinstance(value, list | tuple) else _scalar(value)
        if value is None or value == []:
            continue
        if name in found:
            raise ValueError(f"key {show(name, 60)} is given twice, once as an object within: rename one")
        found[name] = value
        if len(found) > _MOST:
            raise ValueError(f"it has more than {_MOST} keys of metadata: leave some out")


def _scalar(value: Any) -> Any:
    if isinstance(value, date):
        return iso(value)
    return float(value) if isinstance(value, Decimal) else value


def _scalars(values: Iterable[Any]) -> list[Any]:
    """A list of one type, if numbers are all that it mixes."""
    scalars = [_scalar(value) for value in values if value is not None]
    if {type(value) for value in scalars} == {int, float}:
        return [float(value) for value in scalars]
    return scalars
