"""ToolRetriever: the tools that an agent gets to see."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llama_index.core.objects import ObjectRetriever, SimpleToolNodeMapping
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import QueryBundle
from llama_index.core.tools import BaseTool
from llama_index.retrievers.uec.base import UECRetriever

from uec_retriever import AddReport
from uec_retriever.engine.closing import Closes


class ToolRetriever(Closes, ObjectRetriever[BaseTool]):
    """An `ObjectRetriever` for `FunctionAgent(tool_retriever=...)` that never loses a tool on the way.

    Agents look up a tool that was called by searching for its name, which need not find it: here a name is
    looked up, not searched for. Tools that are in the index but not given any more are passed over.

    Args:
        retriever: over an index of tools.
        tools: with distinct names.
        node_postprocessors: of LlamaIndex.
    """

    def __init__(
        self,
        retriever: UECRetriever,
        tools: Sequence[BaseTool],
        node_postprocessors: list[BaseNodePostprocessor] | None = None,
    ) -> None:
        mapping = SimpleToolNodeMapping(list(tools))
        super().__init__(retriever, mapping, node_postprocessors)
        self._nodes = mapping.to_nodes(list(tools))
        self._named = {tool.metadata.get_name(): tool for tool in tools}
        self._index = retriever

    def close(self) -> None:
        """Close the retriever."""
        self._index.close()

    def add_tools(self, *, batch_size: int = 32) -> AddReport:
        """Add the tools to the index, under ids that last; those that are there already cost nothing."""
        return self._index.add_nodes(self._nodes, content_ids=True, batch_size=batch_size)

    def retrieve(self, str_or_query_bundle: str | QueryBundle) -> list[BaseTool]:
        """The tools for a request, or the one of that name."""
        query = str_or_query_bundle
        bundle = QueryBundle(query) if isinstance(query, str) else query
        if bundle.query_str in self._named:
            return [self._named[bundle.query_str]]
        nodes = self._index.retrieve(bundle)
        for postprocessor in self.node_postprocessors:
            nodes = postprocessor.postprocess_nodes(nodes, query_bundle=bundle)
        names = (node.metadata.get("name") for node in nodes)
        return [self._named[name] for name in names if name in self._named]

    async def aretrieve(self, str_or_query_bundle: str | QueryBundle) -> list[BaseTool]:
        """The tools for a request, or the one of that name; in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.retrieve, str_or_query_bundle)
