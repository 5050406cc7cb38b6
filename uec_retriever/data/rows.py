"""Rows of JSON as frozen values: keys and types are those of a dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from uec_retriever.errors import InvalidInputError


def check_row(kind: type[Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass, as a row holds them.

    Args:
        kind: a dataclass whose fields are `str`, `bool`, `int`, `float`, a `Literal` of strings, or unions of them and
            `None`. A whole number will do for a `float` and becomes one.
        row: a JSON object; may lack fields with a default.

    Raises:
        InvalidInputError: saying which key is wrong, and how.
    """
    known = _field_types(kind)  # type: ignore[arg-type]  # types can be hashed
    missing = {field.name for field in fields(kind) if field.default is MISSING} - row.keys()
    unknown = row.keys() - known.keys()
    if missing or unknown:
        parts = [f"lacks {sorted(missing)}"] * bool(missing) + [f"has unknown {sorted(unknown)}"] * bool(
            unknown
        )
        raise InvalidInputError(" and ".join(parts))
    return {key: _value(key, row[key], *known[key]) for key in known if key in row}


def _value(key: str, value: Any, types: tuple[type, ...], choices: tuple[str, ...]) -> Any:
    accepted = (*types, int) if float in types else types
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in types):
        names = " or ".join(t.__name__ for t in types)
        raise InvalidInputError(f"{key!r} is {type(value).__name__}, not {names}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(f"{key!r} is {value}, not a finite number")
    if choices and value is not None and value not in choices:
        raise InvalidInputError(f"{key!r} is {value!r}, not one of {list(choices)}")
    return float(value) if isinstance(value, int) and float in types and int not in types else value


@cache
def _field_types(kind: type[Any]) -> dict[str, tuple[tuple[type, ...], tuple[str, ...]]]:
    """Field -> the types of its values, and the strings that it is limited to."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        choices = tuple(choice for m in members if get_origin(m) is Literal for choice in get_args(m))
        types = tuple(str if get_origin(m) is Literal else m for m in members)
        found[name] = (types, choices)
    return found
