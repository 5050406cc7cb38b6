"""LlamaIndex's metadata filters in Chroma's language, with the meaning that LlamaIndex gives them.

The index compares numbers by their value (`uec_retriever.store.filters`). It holds `True` and `1` apart, as Chroma
does; they are equal in Python, and no filter of LlamaIndex can name a bool, so that is made up for here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from uec_retriever.errors import InvalidInputError, show

Expression = dict[str, Any] | bool  # True holds for every record, False for none
Scalar = str | int | float
_NOTHING = {"uec:nothing": {"$eq": ""}}  # reserved: no record has it
_OPPOSITES = {"$eq": "$ne", "$in": "$nin", "$contains": "$not_contains"}
_OPPOSITES |= {opposite: operator for operator, opposite in _OPPOSITES.items()}
_RANGES = {
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
}
_IMPOSSIBLE = {
    FilterOperator.TEXT_MATCH: "it does not look into strings",
    FilterOperator.TEXT_MATCH_INSENSITIVE: "it does not look into strings",
    FilterOperator.IS_EMPTY: "it does not find records that lack a key",
}


def chroma_filter(filters: MetadataFilters | None) -> dict[str, Any] | None:
    """A filter for `Engine.search`; None if there is nothing to filter by.

    Records that lack a key match `!=` and `nin` and nothing else, as everywhere in LlamaIndex.
    `contains`, `any` and `all` look into metadata that are lists, not into strings.

    Args:
        filters: operators, nested conditions and all.

    Raises:
        InvalidInputError: naming the operator, if Chroma cannot express it.
    """
    if filters is None:
        return None
    if not isinstance(filters, MetadataFilters):
        raise InvalidInputError(
            f"filters must be llama_index's MetadataFilters, got {type(filters).__name__}: "
            "MetadataFilters(filters=[MetadataFilter(key=..., value=..., operator=...)])"
        )
    expression = _translate(filters)
    if isinstance(expression, bool):
        return None if expression else _NOTHING
    return expression


def _translate(filters: MetadataFilters) -> Expression:
    parts = [_translate(f) if isinstance(f, MetadataFilters) else _one(f) for f in filters.filters]
    if not parts:
        return True
    condition = filters.condition or FilterCondition.AND
    if condition == FilterCondition.AND:
        return _all(parts)
    if condition == FilterCondition.OR:
        return _any(parts)
    return _all(map(_not, parts))


def _one(f: MetadataFilter) -> Expression:
    operator, value = f.operator, f.value
    if operator in _IMPOSSIBLE:
        raise InvalidInputError(
            f"Chroma cannot apply the operator {operator.value!r} (key {show(f.key)}): {_IMPOSSIBLE[operator]}"
        )
    if operator in (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL):
        return _of_list(f, operator, value)
    if value is None or isinstance(value, list):
        raise InvalidInputError(
            f"the operator {operator.value!r} (key {show(f.key)}) needs a string or number, got {show(value)}"
        )
    _check(f, [value])
    if operator in _RANGES:
        if isinstance(value, str):
            raise InvalidInputError(
                f"Chroma cannot apply the operator {operator.value!r} (key {show(f.key)}) to the string {show(value)}: "
                "it orders numbers only"
            )
        return _range(f.key, _RANGES[operator], value)
    if operator == FilterOperator.CONTAINS:
        return _contains(f.key, value)
    equal = _equal(f.key, [value])
    return _not(equal) if operator == FilterOperator.NE else equal


def _of_list(f: MetadataFilter, operator: FilterOperator, value: object) -> Expression:
    if not isinstance(value, list):
        raise InvalidInputError(
            f"the operator {operator.value!r} (key {show(f.key)}) needs a list, got {show(value)}"
        )
    _check(f, value)
    if operator == FilterOperator.IN:
        return _equal(f.key, value)
    if operator == FilterOperator.NIN:
        return _not(_equal(f.key, value))
    if operator == FilterOperator.ANY:
        return _any(_contains(f.key, v) for v in value)
    if not value:
        raise InvalidInputError(
            f"Chroma cannot apply the operator 'all' (key {show(f.key)}) to an empty list: "
            "it does not find records that have a key"
        )
    return _all(_contains(f.key, v) for v in value)


def _check(f: MetadataFilter, values: Iterable[Scalar]) -> None:
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInputError(
                f"the operator {f.operator.value!r} (key {show(f.key)}) cannot compare with {value}"
            )


def _equal(key: str, values: list[Any]) -> Expression:
    """The key is one of the values."""
    alternatives: list[Expression] = []
    if values:
        alternatives.append({key: {"$eq": values[0]}} if len(values) == 1 else {key: {"$in": values}})
    alternatives += [{key: {"$eq": truth}} for truth in (False, True) if truth in values]
    return _any(alternatives)


def _range(key: str, operator: str, value: float) -> Expression:
    satisfied = {"$gt": value.__lt__, "$gte": value.__le__, "$lt": value.__gt__, "$lte": value.__ge__}[
        operator
    ]
    bools: list[Expression] = [{key: {"$eq": truth}} for truth in (False, True) if satisfied(truth) is True]
    return _any([{key: {operator: value}}, *bools])


def _contains(key: str, value: Scalar) -> Expression:
    forms: list[Any] = [value, *(truth for truth in (False, True) if truth == value)]
    return _any({key: {"$contains": form}} for form in forms)


def _all(parts: Iterable[Expression]) -> Expression:
    return _join("$and", parts, decided_by=False)


def _any(parts: Iterable[Expression]) -> Expression:
    return _join("$or", parts, decided_by=True)


def _join(word: str, parts: Iterable[Expression], *, decided_by: bool) -> Expression:
    parts = list(parts)
    if any(part is decided_by for part in parts):
        return decided_by
    expressions = [part for part in parts if not isinstance(part, bool)]
    if len(expressions) < 2:  # Chroma wants at least two
        return expressions[0] if expressions else not decided_by
    return {word: expressions}


def _not(expression: Expression) -> Expression:
    """The records that an expression does not hold for, those that lack its keys included."""
    if isinstance(expression, bool):
        return not expression
    [(key, condition)] = expression.items()
    if isinstance(condition, list):
        return _any(map(_not, condition)) if key == "$and" else _all(map(_not, condition))
    [(operator, value)] = condition.items()
    if operator not in _OPPOSITES:
        name = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}[operator]
        raise InvalidInputError(
            f"Chroma cannot apply the operator {name!r} (key {show(key)}) inside of 'not': it would have to find "
            "records that lack the key. Use the opposite operator if all have it"
        )
    return {key: {_OPPOSITES[operator]: value}}
