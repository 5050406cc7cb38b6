"""Queries embedded ahead of a search, by the asynchronous methods of embedding objects that have some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from uec_retriever.experts.identity import IdentityHead

if TYPE_CHECKING:
    from uec_retriever.experts.expert import Expert

AsyncEmbed = Callable[[str], Awaitable[Any]]
_ahead: ContextVar[Mapping[tuple[AsyncEmbed, str], Any]] = ContextVar("_ahead", default={})  # noqa: B039  # never changed


@asynccontextmanager
async def embedded_ahead(experts: Sequence[Expert], queries: Sequence[str]) -> AsyncIterator[None]:
    """Embed queries now, all at once, for what is searched inside the block, in threads that it starts as well.

    An embedding that fails here is tried again by the search, which tells what is wrong.

    Args:
        experts: of which only those of objects with asynchronous methods are asked, and those without a cache.
        queries: non-empty.
    """
    asked = [
        (expert.head.embedding.aquery, query)
        for expert in experts
        if isinstance(expert.head, IdentityHead) and expert.head.cache is None
        for query in queries
        if expert.head.embedding.aquery is not None
    ]
    found = await asyncio.gather(*(embed(query) for embed, query in asked), return_exceptions=True)
    pairs = zip(asked, found, strict=True)
    token = _ahead.set({key: vector for key, vector in pairs if not isinstance(vector, BaseException)})
    try:
        yield
    finally:
        _ahead.reset(token)


def taken_ahead(embed: AsyncEmbed | None, queries: Sequence[str]) -> list[Any] | None:
    """What an asynchronous method gave for queries ahead of this; None unless it did for all of them."""
    known = _ahead.get()
    if embed is None or any((embed, query) not in known for query in queries):
        return None
    return [known[embed, query] for query in queries]
