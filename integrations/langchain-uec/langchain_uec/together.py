"""Many queries of one call searched together, while each keeps a run, an error and callbacks of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig

from uec_retriever.data.texts import text_problem

if TYPE_CHECKING:
    from uec_retriever import Engine, SearchResult

    Search = Callable[[list[str]], Sequence[SearchResult]]
    AsyncSearch = Callable[[list[str]], Awaitable[Sequence[SearchResult]]]

GROUP = 64  # queries in one search, as many as one call to Chroma takes
_TOGETHER = "together"
_current: ContextVar[Together | None] = ContextVar("_current", default=None)


class SearchesTogether(BaseRetriever):
    """A retriever whose `batch` and the like search for many queries at once.

    LangChain's own code invokes the retriever once for each query, in whatever way it likes; the first run to search
    does so for the others too.
    """

    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[list[Document]]:
        """Documents for each of many queries, in less time than one after the other.

        Args:
            inputs: the queries.
            config: of LangChain: one for all, or one for each.
            return_exceptions: give an exception in place of the documents of a query that raised it.
            **kwargs: options of `invoke`, for all of them.
        """
        options: Any = self._with_together(inputs, kwargs)
        return super().batch(inputs, config, return_exceptions=return_exceptions, **options)

    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[list[Document]]:
        """As `batch`, while the event loop goes on.

        Args:
            inputs: the queries.
            config: of LangChain: one for all, or one for each.
            return_exceptions: give an exception in place of the documents of a query that raised it.
            **kwargs: options of `invoke`, for all of them.
        """
        options: Any = self._with_together(inputs, kwargs)
        return await super().abatch(inputs, config, return_exceptions=return_exceptions, **options)

    def batch_as_completed(
        self,
        inputs: Sequence[str],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> Iterator[Any]:
        """As `batch`: the position of a query and its documents, as they come.

        Args:
            inputs: the queries.
            config: of LangChain: one for all, or one for each.
            return_exceptions: give an exception in place of the documents of a query that raised it.
            **kwargs: options of `invoke`, for all of them.
        """
        options: Any = {**self._with_together(inputs, kwargs), "return_exceptions": return_exceptions}
        return super().batch_as_completed(inputs, config, **options)

    def abatch_as_completed(
        self,
        inputs: Sequence[str],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> AsyncIterator[Any]:
        """As `abatch`: the position of a query and its documents, as they come.

        Args:
            inputs: the queries.
            config: of LangChain: one for all, or one for each.
            return_exceptions: give an exception in place of the documents of a query that raised it.
            **kwargs: options of `invoke`, for all of them.
        """
        options: Any = {**self._with_together(inputs, kwargs), "return_exceptions": return_exceptions}
        return super().abatch_as_completed(inputs, config, **options)

    @staticmethod
    def _with_together(inputs: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
        return {**options, _TOGETHER: Together(inputs)} if len(inputs) > 1 else options


class Together:
    """What the queries of one call find, a group of them at a time, when the first of the group is asked for.

    A query that cannot be searched for, and all of a group whose search failed, are left to searches of their own, so that
    each has its own error.

    Args:
        queries: of the call.
    """

    def __init__(self, queries: Sequence[Any]) -> None:
        distinct = list(dict.fromkeys(query for query in queries if not text_problem(query)))
        groups = [_Group(distinct[i : i + GROUP]) for i in range(0, len(distinct), GROUP)]
        self._groups = {query: group for group in groups for query in group.queries}

    def find(self, query: Any, search: Search) -> SearchResult:
        """What a query finds.

        Args:
            query: of the call.
            search: for many queries with the options of the call, the same every time.
        """
        group = self._groups.get(query) if isinstance(query, str) else None
        if group is not None:
            with group.lock:
                if group.found is None:
                    try:
                        group.keep(search(group.queries))
                    except Exception:  # each tells its own
                        group.keep(())
            assert group.found is not None
            if query in group.found:
                return group.found[query]
        return search([query])[0]

    async def afind(self, query: Any, search: AsyncSearch) -> SearchResult:
        """As `find`."""
        group = self._groups.get(query) if isinstance(query, str) else None
        if group is not None:
            async with group.alock:
                if group.found is None:
                    try:
                        group.keep(await search(group.queries))
                    except Exception:  # each tells its own
                        group.keep(())
            assert group.found is not None
            if query in group.found:
                return group.found[query]
        return (await search([query]))[0]

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Have `search_one` use this in the block, in threads that it starts as well."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


class _Group:
    def __init__(self, queries: list[str]) -> None:
        self.queries = queries
        self.lock, self.alock = threading.Lock(), asyncio.Lock()
        self.found: dict[str, SearchResult] | None = None

    def keep(self, results: Sequence[SearchResult]) -> None:
        self.found = dict(zip(self.queries, results, strict=False))


def take_together(given: dict[str, Any]) -> Together:
    """The queries that are searched together with one, taken out of what its call was given."""
    together = given.pop(_TOGETHER, None)
    return together if isinstance(together, Together) else Together([])


def search_one(engine: Engine, query: str, **options: Any) -> SearchResult:
    """Search for a query, together with those of its call that `Together.lent` holds.

    Args:
        engine: to search.
        query: non-empty.
        **options: of `Engine.search`.
    """

    def search(queries: list[str]) -> Sequence[SearchResult]:
        return engine.search_batch(queries, **options)

    return (_current.get() or Together([])).find(query, search)
