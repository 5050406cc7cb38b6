"""Rows of JSON as frozen values: keys, types and ranges are those of a dataclass, checked by pydantic.

A class that is read back says so: `__pydantic_config__ = ROW` has unknown keys and values of another type refused, and
`Annotated[float, Field(gt=0)]` says what else a value must be. Making one in Python checks nothing but `__post_init__`.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from uec_retriever.errors import InvalidInputError, show

ROW = ConfigDict(extra="forbid", strict=True)
FINITE_ROW = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_UNKNOWN = "unexpected_keyword_argument"
_MEMBERS = {"str", "int", "float", "bool"}  # of a union, which pydantic adds to the place
_Row = TypeVar("_Row")


class RowError(InvalidInputError):
    """A row that does not fit its dataclass.

    Attributes:
        newer: whether all that is wrong with it are keys that are unknown, as a later version may write.
    """

    def __init__(self, message: str, *, newer: bool = False) -> None:
        super().__init__(message)
        self.newer = newer


def read_row(kind: type[_Row], row: object) -> _Row:
    """A dataclass as a row holds it.

    Args:
        kind: a dataclass with `__pydantic_config__`. A whole number will do for a `float` and becomes one, a list for
            a tuple.
        row: what JSON gave, an object if all is well; may lack fields with a default.

    Raises:
        RowError: saying which keys are wrong, and how.
    """
    try:
        return _adapter(kind).validate_json(json.dumps(row))  # type: ignore[no-any-return,arg-type]
    except ValidationError as error:
        raise _refusal(error) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(f"no values of JSON ({error})") from error


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _refusal(error: ValidationError) -> RowError:
    missing, unknown, others = [], [], []
    for one in error.errors(include_url=False):
        place = [str(part) for part in one["loc"]]
        if place and place[-1] in _MEMBERS:
            place.pop()
        name = ".".join(place)
        if one["type"] == "missing":
            missing.append(name)
        elif one["type"] == _UNKNOWN:
            unknown.append(name)
        elif one["type"] == "json_invalid":  # json has written it itself
            others.append("a text in it has a lone surrogate: replace it")
        else:
            reason = str(one["ctx"]["error"]) if one["type"] == "value_error" else one["msg"]
            others.append(f"{name!r} is {show(one['input'], 40)}: {reason}" if name else reason)
    parts = [f"lacks {sorted(missing)}"] * bool(missing) + [f"has unknown {sorted(unknown)}"] * bool(unknown)
    return RowError(" and ".join([*parts, *others[:1]]), newer=not missing and not others)
