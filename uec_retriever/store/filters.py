"""Metadata filters in Chroma's language that compare numbers by their value, whether stored as 1 or as 1.0.

What Chroma 1.5 does otherwise is made up for here, by writing a condition as several:

- It compares a float with stored integers by cutting off its decimals, and what is beyond 64 bits: `$lt 1.5` misses 1,
  `$eq 2.5` finds 2.
- `$contains` holds `1` and `1.0` apart.
- It refuses integers of more than 64 bits, and lists whose values are not all of one type.

Booleans stay apart from numbers, as in Chroma.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from uec_retriever.errors import InvalidInputError
from uec_retriever.store.connection import Where

Condition = dict[str, Any]
_JOINS = ("$and", "$or")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def chroma_where(where: Where | None) -> Condition | None:
    """A filter as Chroma is to get it; what is no filter is left for Chroma to refuse.

    Args:
        where: such as `{"year": {"$gte": 2020}}`, `{"lang": "en"}` or `{"$and": [...]}`; none or empty for none.

    Raises:
        InvalidInputError: if it is no mapping.
    """
    if where and not isinstance(where, Mapping):
        raise InvalidInputError(
            f"a filter is a dictionary such as {{'year': {{'$gte': 2020}}}}, got {where!r}"
        )
    return _rewrite(where) if where else None


def _rewrite(where: Where) -> Condition:
    if len(where) != 1:
        return dict(where)
    [(key, condition)] = where.items()
    if key in _JOINS:
        if not isinstance(condition, list | tuple):
            return dict(where)
        return {key: [_rewrite(part) if isinstance(part, Mapping) else part for part in condition]}
    if not isinstance(condition, Mapping):
        condition = {"$eq": condition}
    if len(condition) != 1:
        return dict(where)
    [(operator, value)] = condition.items()
    rewrite = _OPERATORS.get(operator)
    return {key: dict(condition)} if rewrite is None else rewrite(key, operator, value)


def _equal(key: str, operator: str, value: Any) -> Condition:
    value = _within_64_bits(value)
    if _is_exact(value):
        return {key: {"$eq": value}}
    return {"$and": [{key: {"$eq": value}}, {key: {"$ne": _cut(value)}}]}


def _unequal(key: str, operator: str, value: Any) -> Condition:
    value = _within_64_bits(value)
    if _is_exact(value):
        return {key: {"$ne": value}}
    return {"$or": [{key: {"$ne": value}}, {key: {"$eq": _cut(value)}}]}


def _of_list(key: str, operator: str, values: Any) -> Condition:
    """`$in` and `$nin`; Chroma takes values of one type at a time."""
    if not isinstance(values, list | tuple) or not values:
        return {key: {operator: values}}
    one, join = (_equal, "$or") if operator == "$in" else (_unequal, "$and")
    exact: dict[type, list[Any]] = {}
    parts: list[Condition] = []
    for value in map(_within_64_bits, values):
        if _is_exact(value):
            exact.setdefault(type(value), []).append(value)
        else:
            parts.append(one(key, operator, value))
    return _join(join, [*({key: {operator: same}} for same in exact.values()), *parts])


def _range(key: str, operator: str, value: Any) -> Condition:
    value = _within_64_bits(value)
    if _is_exact(value):
        return {key: {operator: value}}
    parts: list[Condition] = [{key: {operator.rstrip("e"): value}}]
    if (_cut(value) > value) == operator.startswith("$g"):
        parts.append({key: {"$eq": _cut(value)}})
    if operator.endswith("e"):
        parts.append(_equal(key, operator, value))
    return _join("$or", parts)


def _contains(key: str, operator: str, value: Any) -> Condition:
    value = _within_64_bits(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return {key: {operator: value}}
    forms: list[Any] = [float(value)]
    if _is_exact(value):
        forms.append(int(value))
    return _join("$or" if operator == "$contains" else "$and", [{key: {operator: form}} for form in forms])


_OPERATORS: dict[str, Callable[[str, str, Any], Condition]] = {
    "$eq": _equal,
    "$ne": _unequal,
    "$in": _of_list,
    "$nin": _of_list,
    "$contains": _contains,
    "$not_contains": _contains,
    **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), _range),
}


def _join(word: str, parts: Iterable[Condition]) -> Condition:
    parts = list(parts)
    return parts[0] if len(parts) == 1 else {word: parts}  # Chroma wants at least two


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
