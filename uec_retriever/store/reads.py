"""Reads of a Chroma collection under a filter of any size, and while others write to it.

Chroma puts a filter into one SQL statement, and SQLite refuses more than 32,766 values in one, and more than 1,000
conditions. A larger filter is asked in parts, whose ids are joined as the filter says. So is one by ids (`ID_KEY`),
which Chroma's filters do not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from chromadb.api.models.Collection import Collection

from uec_retriever.data.records import ID_KEY
from uec_retriever.errors import StorageError
from uec_retriever.gaussian import Array
from uec_retriever.store.filters import JOINS, Condition

_VALUES = 8_000  # in one call; of a number SQLite gets two
_CLAUSES = 250  # beyond, the time grows faster than their number
_DEPTH = 30
QUERIED = ("ids", "documents", "metadatas", "distances")  # columns of a query
_IDS = 5_000
_BEHIND = ("Error finding id", "Nothing found on disk")  # what Chroma says if its graph has not got a row yet
_WAITS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # seconds, until it has
T = TypeVar("T")


def read_patiently(read: Callable[[], T]) -> T:
    """What a read gives; made again for two seconds where Chroma's graph is behind its rows, as while others write.

    Reading again may load the graph, which takes what it takes: two seconds later it is not begun again.

    Args:
        read: calls Chroma; its errors are ours already.

    Raises:
        StorageError: what the read raised: at once if it is about something else.
    """
    end = time.monotonic() + sum(_WAITS)
    for wait in _WAITS:
        try:
            return read()
        except StorageError as error:
            if not is_behind(error) or time.monotonic() > end:
                raise
        time.sleep(wait)
    return read()


def is_behind(error: StorageError) -> bool:
    """Whether Chroma's graph has not got a row yet that is asked for."""
    return any(sign in str(error) for sign in _BEHIND)


def matching_ids(collection: Collection, condition: Condition | None) -> list[str]:
    """Ids of the records that match a condition of `chroma_where`, in the order they were added."""
    if condition is None or _is_small(condition):
        return list(collection.get(where=condition, include=[])["ids"])
    chosen = _match(collection, condition, None)
    return [i for i in collection.get(include=[])["ids"] if i in chosen]


def get_matching(
    collection: Collection, ids: list[str], condition: Condition | None, include: list[Any]
) -> Any:
    """Chroma's columns of the records among `ids`, at most `get_max_batch_size`, that match a condition."""
    if condition is not None and not _is_small(condition):
        chosen = _match(collection, condition, ids)
        ids, condition = [i for i in ids if i in chosen], None
        if not ids:
            return {"ids": [], **dict.fromkeys(include, [])}
    return collection.get(ids=ids, where=condition, include=include)


def query_matching(collection: Collection, vectors: Array, limit: int, condition: Condition | None) -> Any:
    """Chroma's columns of the nearest records that match a condition.

    Args:
        collection: to search.
        vectors: `[n, D]`.
        limit: at most this many for each, >= 1.
        condition: of `chroma_where`.

    Returns:
        `ids`, `documents`, `metadatas` and `distances`, each of n lists, nearest first.
    """
    include: list[Any] = ["documents", "metadatas", "distances"]
    if condition is None or _is_small(condition):
        return collection.query(query_embeddings=vectors, n_results=limit, where=condition, include=include)
    parts = [
        collection.query(query_embeddings=vectors, ids=part, n_results=limit, include=include)
        for part in slices(sorted(_match(collection, condition, None)), _IDS)
    ]
    return _nearest(parts, len(vectors), limit)


def _nearest(parts: Sequence[Any], queries: int, limit: int) -> dict[str, list[list[Any]]]:
    """What several searches found, joined for each query."""
    found: dict[str, list[list[Any]]] = {name: [] for name in QUERIED}
    for row in range(queries):
        joined = {name: [value for part in parts for value in part[name][row]] for name in QUERIED}
        order = np.argsort(joined["distances"], kind="stable")[:limit].tolist()
        for name in QUERIED:
            found[name].append([joined[name][i] for i in order])
    return found


def _match(collection: Collection, condition: Condition, ids: list[str] | None) -> set[str]:
    """Ids of those records, among some or all, that match a condition; asked in parts if it is large."""
    if _is_small(condition):
        return set(collection.get(ids=ids, where=condition, include=[])["ids"])
    [(key, value)] = condition.items()
    parts: Iterable[Condition]
    if key == ID_KEY:
        return _among(collection, value, ids)
    if key in JOINS:
        word, parts = key, _packets(key, value)
    else:
        [(operator, values)] = value.items()
        word = "$or" if operator == "$in" else "$and"
        parts = ({key: {operator: part}} for part in slices(values, _VALUES))
    found: set[str] | None = None
    for part in parts:
        matched = _match(collection, part, ids)
        found = matched if found is None else found & matched if word == "$and" else found | matched
        if word == "$and" and not found:
            break
    return found or set()


def _among(collection: Collection, value: Condition, ids: list[str] | None) -> set[str]:
    """Those of the ids of a condition that are there, and among `ids`, if these are given."""
    [named] = value.values()
    wanted = {named} if isinstance(named, str) else set(named)
    wanted = wanted if ids is None else wanted & set(ids)
    parts = slices(sorted(wanted), _VALUES)
    return {i for part in parts for i in collection.get(ids=part, include=[])["ids"]}


def _packets(word: str, conditions: Sequence[Condition]) -> Iterator[Condition]:
    """The same conditions in as few as can be asked at once, one after the other."""
    packet: list[Condition] = []
    for condition in conditions:
        if packet and not _is_small({word: [*packet, condition]}):
            yield {word: packet} if len(packet) > 1 else packet[0]
            packet = []
        packet.append(condition)
    yield {word: packet} if len(packet) > 1 else packet[0]


def slices(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Some at a time."""
    return (list(items[i : i + size]) for i in range(0, len(items), size))


def _is_small(condition: Condition) -> bool:
    """Whether Chroma can be asked in one call."""
    values = clauses = 0
    stack = [(condition, 1)]
    while stack:
        part, depth = stack.pop()
        [(key, value)] = part.items()
        if key in JOINS:
            stack += [(inner, depth + 1) for inner in value]
        elif key == ID_KEY:
            return False
        else:
            [operand] = value.values()
            values += len(operand) if isinstance(operand, list) else 1
            clauses += 1
        if values > _VALUES or clauses > _CLAUSES or depth > _DEPTH:
            return False
    return True
