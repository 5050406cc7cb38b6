"""A sketch of the queries that something was calibrated on, to tell later whether other queries are the same ones."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable

SIZE = 64


def query_sketch(queries: Iterable[str]) -> tuple[str, ...]:
    """The 64 smallest hashes of the queries, ascending: of any number of queries a random sample, and none of their words.

    Args:
        queries: their texts; each counts once.
    """
    return tuple(heapq.nsmallest(SIZE, {_hash(query) for query in queries}))


def shared_share(sketch: Iterable[str], queries: Iterable[str]) -> float:
    """About which share of the queries of a sketch are among others, in [0, 1]; exactly up to 64 of them.

    Args:
        sketch: as `query_sketch` gives it; 0 for an empty one.
        queries: the others.
    """
    known, hashes = set(sketch), {_hash(query) for query in queries}
    return len(known & hashes) / len(known) if known else 0.0


def _hash(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:12]
