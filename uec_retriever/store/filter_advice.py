"""Why a filter finds nothing: keys that no text has, values of another type than those that are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uec_retriever.data.records import RESERVED_PREFIXES
from uec_retriever.errors import show
from uec_retriever.store.filters import DATE, JOINS, NUMBER, RANGES, day_advice

_NEGATIVE = ("$ne", "$nin", "$not_contains")
_NAMES = 200  # characters of the keys that there are, in a message


def advice(where: Mapping[str, Any], metadatas: Sequence[Mapping[str, Any]], complete: bool) -> str | None:
    """What is odd about a filter that no record matches; None if nothing is.

    Args:
        where: of Chroma, checked.
        metadatas: of some records of the index, without keys of our own.
        complete: whether they are all that there are.
    """
    if not metadatas:
        return None
    among = "no text" if complete else f"none of the first {len(metadatas)} texts"
    return _odd(where, metadatas, among)


def can_be_odd(where: Mapping[str, Any]) -> bool:
    """Whether a filter compares anything of the user's, so that looking at records may tell why it finds nothing."""
    return any(
        any(map(can_be_odd, condition)) if key in JOINS else bool(_wanted(key, condition))
        for key, condition in where.items()
    )


def _odd(where: Mapping[str, Any], metadatas: Sequence[Mapping[str, Any]], among: str) -> str | None:
    """What is odd about a filter; of one with alternatives, only if each of them is."""
    for key, condition in where.items():
        if key in JOINS:
            found = [_odd(part, metadatas, among) for part in condition]
        else:
            found = [
                _odd_value(key, operator, value, metadatas, among)
                for operator, value in _wanted(key, condition)
            ]
        some = key != "$or" and not _is_choice(condition)
        told = [each for each in found if each is not None]
        if told and (some or len(told) == len(found)):
            return told[0]
    return None


def _odd_value(
    key: str, operator: str, value: Any, metadatas: Sequence[Mapping[str, Any]], among: str
) -> str | None:
    stored = [metadata[key] for metadata in metadatas if key in metadata]
    if not stored:
        keys = sorted({name for metadata in metadatas for name in metadata})
        return f"{among} has metadata {show(key)}" + f", only {show(keys, _NAMES)}" * bool(keys)
    items = [item for each in stored for item in (each if isinstance(each, list) else [each])]
    kinds = sorted({_kind(item) for item in items})
    if _kind(value) in kinds:
        return None
    return (
        f"the filter compares {show(key)} with {show(value, 40)}, {_kind(value)}, and in the index it is "
        f"{' or '.join(kinds)}, such as {show(items[0], 40)}: {_remedy(key, operator, value, items[0])}"
    )


def _wanted(key: str, condition: Any) -> list[tuple[str, Any]]:
    """Operators and values, one of which is to be found under a key of the user's, or all, if there are several operators."""
    if key.startswith(RESERVED_PREFIXES):
        return []
    if not isinstance(condition, Mapping):
        return [("$eq", condition)]
    return [
        (operator, each)
        for operator, value in condition.items()
        if operator not in _NEGATIVE
        for each in (value if operator == "$in" else [value])
    ]


def _is_choice(condition: Any) -> bool:
    return isinstance(condition, Mapping) and "$in" in condition


def _kind(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "a boolean"
    return "text" if isinstance(value, str) else "a number"


def _remedy(key: str, operator: str, value: Any, stored: Any) -> str:
    """What mends it, and is not itself refused afterwards."""
    if not isinstance(stored, str) or isinstance(value, str):
        return "give a value of that kind"
    if DATE.match(stored):
        return day_advice(key, stored)
    kind = "bool" if isinstance(value, bool) else "float" if isinstance(value, float) else "int"
    if operator not in RANGES:
        return f"give it in quotes, or index with --types {key}={kind}"
    if NUMBER.fullmatch(stored):
        return f"index with --types {key}={'float' if '.' in stored else kind}"
    return "text has no order here, so that only $eq, $in and their opposites compare it"
