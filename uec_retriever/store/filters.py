"""Metadata filters in Chroma's language that compare numbers by their value, whether stored as 1 or as 1.0.

What Chroma 1.5 does otherwise is made up for here, by writing a condition as several:

- It compares a float with stored integers by cutting off its decimals, and what is beyond 64 bits: `$lt 1.5` misses 1,
  `$eq 2.5` finds 2.
- `$contains` holds `1` and `1.0` apart.
- It refuses integers of more than 64 bits, and lists whose values are not all of one type.
- It refuses what follows from how filters are read, and what programs write: two keys or two operators in one object
  (both must hold), `$and` and `$or` of one filter, an empty filter among others (it asks for nothing), `$in` of an empty
  list (no record matches) and `$nin` of one (each does), values of NumPy.

`ID_KEY` stands for the id of a record (see `reads`). Booleans stay apart from numbers, as in Chroma. What is no filter is refused here, since Chroma says little of it.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from uec_retriever.data.records import ID_KEY
from uec_retriever.data.texts import surrogate_at
from uec_retriever.errors import InvalidInputError, show
from uec_retriever.store.connection import Where

Condition = dict[str, Any]
JOINS = ("$and", "$or")
RANGES = ("$gt", "$gte", "$lt", "$lte")
_PART = re.compile(r"[12]\d{3}(-\d\d?)?")  # of a date: a year, or a month
DATE = re.compile(r"\d{4}-\d\d-\d\d")
NUMBER = re.compile(r"-?\d{1,300}(\.\d{1,300})?")
_DEEPEST = 100  # filters within each other
_NOTHING: Condition = {"uec:nothing": {"$eq": True}}  # a key that no record can have
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def chroma_where(where: Where | None) -> Condition | None:
    """A filter as Chroma is to get it.

    Args:
        where: such as `{"year": {"$gte": 2020}}`, `{"lang": "en"}` or `{"$and": [...]}`; none or empty for none.

    Returns:
        A condition of one key; None if every record matches.

    Raises:
        InvalidInputError: if it is no filter, saying what in it is wrong.
    """
    if where is None:
        return None
    if not isinstance(where, Mapping):
        raise InvalidInputError(
            f"a filter is a dictionary such as {{'year': {{'$gte': 2020}}}}, got {show(where)}"
        )
    try:
        found = _rewrite(where, 1)
    except InvalidInputError as error:
        raise InvalidInputError(f"cannot apply the filter {show(where)}: {error}") from error
    if isinstance(found, bool):
        return None if found else _NOTHING
    return found


def _rewrite(where: Where, depth: int) -> Condition | bool:
    """A condition, or whether all records match or none."""
    if depth > _DEEPEST:
        raise InvalidInputError(f"it has more than {_DEEPEST} filters within each other: flatten it")
    return _join("$and", [_rewrite_key(key, condition, depth) for key, condition in where.items()])


def _rewrite_key(key: object, condition: Any, depth: int) -> Condition | bool:
    if not isinstance(key, str) or surrogate_at(key) is not None:
        raise InvalidInputError(f"it names keys of metadata, which are strings, got {show(key, 40)}")
    if key in JOINS:
        if not isinstance(condition, list | tuple) or not condition:
            raise InvalidInputError(f"{key} takes a list of filters, at least one")
        for part in condition:
            if not isinstance(part, Mapping):
                raise InvalidInputError(f"{key} takes a list of filters, got {show(part, 40)} in it")
        return _join(key, [_rewrite(part, depth + 1) for part in condition])
    if key.startswith("$"):
        raise InvalidInputError(f"there is no {show(key, 40)}: filters are joined with {' or '.join(JOINS)}")
    if not isinstance(condition, Mapping):
        condition = {"$eq": condition}
    if not condition:
        raise InvalidInputError(f"it says nothing of {show(key, 40)}: give a value or an operator")
    return _join("$and", [_rewrite_operator(key, name, value) for name, value in condition.items()])


def _rewrite_operator(key: str, operator: object, value: Any) -> Condition | bool:
    if not isinstance(operator, str) or operator not in _OPERATORS:
        raise InvalidInputError(
            f"{show(key, 40)} has the operator {show(operator, 40)}: use one of {', '.join(_OPERATORS)}"
        )
    where = f"{operator} of {show(key, 40)}"
    if operator in ("$in", "$nin"):
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, Collection) or isinstance(value, str | bytes | Mapping):
            raise InvalidInputError(f"{where} takes a list of values, got {show(value, 40)}")
        value = [_plain(item, where) for item in value]
    else:
        value = _plain(value, where)
        if operator in RANGES and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InvalidInputError(f"{where} takes a number, got {show(value, 40)}{_no_number(value, key)}")
    if key == ID_KEY and not (operator in ("$eq", "$in") and _all_strings(value)):
        raise InvalidInputError(f"{ID_KEY}, the id of a record, takes $eq and $in with strings")
    return _OPERATORS[operator](key, operator, value)


def _all_strings(value: Any) -> bool:
    return all(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))


def _no_number(value: Any, key: str) -> str:
    """What to do about a value that is no number, if that is known."""
    if not isinstance(value, str):
        return ""
    if DATE.match(value):
        return f": {day_advice(key, value)}"
    if _PART.fullmatch(value):
        plain = "leave out the quotes; if " if value.isdigit() else "if "
        year, month = value[:4], value[5:] or "1"
        return f": {plain}the values are dates, {day_advice(key, f'{year}-{month:0>2}-01')}"
    return ": leave out the quotes" if NUMBER.fullmatch(value) else ""


def day_advice(key: str, date: str) -> str:
    """How dates are compared, which are text, unless indexed as numbers.

    Args:
        key: of the metadata.
        date: such as it is found, beginning with a day of ISO 8601.
    """
    return f"dates are text, which has no order here; index them as --types {key}=day and give {date[:10].replace('-', '')}"


def _plain(value: Any, where: str) -> str | int | float | bool:
    """A value that Chroma compares with, one of NumPy as Python's."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if not isinstance(value, str | int | float):
        remedy = ", or $in for any of several" if isinstance(value, list | tuple | set | np.ndarray) else ""
        raise InvalidInputError(
            f"{where} takes a string, a number or a boolean{remedy}, got {show(value, 40)}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(f"{where} takes finite numbers, got {value}: none other is stored")
    if isinstance(value, str) and surrogate_at(value) is not None:
        raise InvalidInputError(f"{where} has a lone surrogate in {show(value, 40)}: no record has one")
    return value


def _equal(key: str, operator: str, value: Any) -> Condition | bool:
    value = _within_64_bits(value)
    if _is_exact(value):
        return {key: {"$eq": value}}
    return {"$and": [{key: {"$eq": value}}, {key: {"$ne": _cut(value)}}]}


def _unequal(key: str, operator: str, value: Any) -> Condition | bool:
    value = _within_64_bits(value)
    if _is_exact(value):
        return {key: {"$ne": value}}
    return {"$or": [{key: {"$ne": value}}, {key: {"$eq": _cut(value)}}]}


def _of_list(key: str, operator: str, values: list[Any]) -> Condition | bool:
    """`$in` and `$nin`; Chroma takes values of one type at a time."""
    one, join = (_equal, "$or") if operator == "$in" else (_unequal, "$and")
    exact: dict[type, dict[Any, None]] = {}
    parts: list[Condition | bool] = []
    for value in map(_within_64_bits, values):
        if _is_exact(value):
            exact.setdefault(type(value), {})[value] = None
        else:
            parts.append(one(key, operator, value))
    return _join(join, [*({key: {operator: list(same)}} for same in exact.values()), *parts])


def _range(key: str, operator: str, value: Any) -> Condition | bool:
    value = _within_64_bits(value)
    if _is_exact(value):
        return {key: {operator: value}}
    parts: list[Condition | bool] = [{key: {operator.rstrip("e"): value}}]
    if (_cut(value) > value) == operator.startswith("$g"):
        parts.append({key: {"$eq": _cut(value)}})
    if operator.endswith("e"):
        parts.append(_equal(key, operator, value))
    return _join("$or", parts)


def _contains(key: str, operator: str, value: Any) -> Condition | bool:
    value = _within_64_bits(value)
    if isinstance(value, bool | str):
        return {key: {operator: value}}
    forms: list[Any] = [float(value)]
    if _is_exact(value):
        forms.append(int(value))
    return _join("$or" if operator == "$contains" else "$and", [{key: {operator: form}} for form in forms])


_OPERATORS: dict[str, Callable[[str, str, Any], Condition | bool]] = {
    "$eq": _equal,
    "$ne": _unequal,
    "$in": _of_list,
    "$nin": _of_list,
    "$contains": _contains,
    "$not_contains": _contains,
    **dict.fromkeys(RANGES, _range),
}


def _join(word: str, parts: Iterable[Condition | bool]) -> Condition | bool:
    """Conditions that must all hold, or one of them: in one list, which Chroma wants to have two at least."""
    neutral = word == "$and"
    kept: list[Condition] = []
    for part in parts:
        if isinstance(part, bool):
            if part is not neutral:
                return part
        else:
            kept += part.get(word, [part])
    if not kept:
        return neutral
    return kept[0] if len(kept) == 1 else {word: kept}


def _is_exact(value: object) -> bool:
    """Whether Chroma compares a value rightly."""
    if isinstance(value, float) and math.isfinite(value):
        return _cut(value) == value
    return not isinstance(value, int) or _SMALLEST <= value <= _LARGEST


def _cut(value: float) -> int:
    """The integer that Chroma compares stored integers with."""
    return max(_SMALLEST, min(_LARGEST, math.trunc(value)))


def _within_64_bits(value: Any) -> Any:
    """An integer of more than 64 bits as a float that is no closer to 0, anything else as it is."""
    if not isinstance(value, int) or _SMALLEST <= value <= _LARGEST:
        return value
    if abs(value) > sys.float_info.max:
        return sys.float_info.max if value > 0 else -sys.float_info.max
    found = float(value)
    return found if abs(found) >= abs(value) else math.nextafter(found, math.copysign(math.inf, found))
