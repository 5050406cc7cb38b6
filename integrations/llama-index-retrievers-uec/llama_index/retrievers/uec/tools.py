"""ToolRetriever: the tools that an agent gets to see."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from llama_index.core.objects import ObjectRetriever, SimpleToolNodeMapping
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, QueryBundle
from llama_index.core.tools import BaseTool
from llama_index.retrievers.uec.base import UECRetriever
from llama_index.retrievers.uec.retriever_options import RetrieverOptions, check_options

from uec_retriever import AddReport, Engine, Location, Recipe
from uec_retriever.engine.closing import Closes
from uec_retriever.errors import InvalidInputError, show
from uec_retriever.experts.expert import ExpertLike

_AT_ONCE = 500  # names in one filter


class ToolRetriever(Closes, ObjectRetriever[BaseTool]):
    """An `ObjectRetriever` for `FunctionAgent(tool_retriever=...)` that never loses a tool on the way.

    Agents look up a tool that was called by searching for its name, which need not find it: here a name is
    looked up, not searched for. Its name is its id in the index: a tool that is given again, described otherwise, takes the
    place of what was there. Tools that are in the index but not given any more are passed over.

    Args:
        retriever: over an index of tools.
        tools: with distinct names.
        node_postprocessors: of LlamaIndex.

    Raises:
        InvalidInputError: for two tools of one name.
    """

    def __init__(
        self,
        retriever: UECRetriever,
        tools: Sequence[BaseTool],
        node_postprocessors: list[BaseNodePostprocessor] | None = None,
    ) -> None:
        tools = list(tools)
        self._nodes = _tool_nodes(tools)
        super().__init__(retriever, SimpleToolNodeMapping(tools), node_postprocessors)
        self._named = {tool.metadata.get_name(): tool for tool in tools}
        self._index = retriever

    @classmethod
    def from_tools(
        cls,
        tools: Sequence[BaseTool],
        experts: Sequence[ExpertLike] | None = None,
        location: str | Path | Location | None = None,
        recipe: Recipe | None = None,
        *,
        node_postprocessors: list[BaseNodePostprocessor] | None = None,
        device: str | None = None,
        batch_size: int = 32,
        show_progress: bool = False,
        **options: Unpack[RetrieverOptions],
    ) -> ToolRetriever:
        """Make an index of tools, or add them to the one that is there; a tool of the same name replaces.

        Args:
            tools: with distinct names.
            experts: names, experts, `BaseEmbedding`s, functions (see `Expert.of`). An index that is there needs no names.
            location: folder of the index, or a `Location`; a temporary folder, gone with the retriever, if None.
            recipe: pairs, posteriors, structure, layout, temperature, lexical (words); one that is there must agree.
            node_postprocessors: of LlamaIndex.
            device: torch device for the experts; sentence-transformers' choice if None.
            batch_size: texts in one forward pass.
            show_progress: show a bar for fitting and adding that takes over two seconds.
            **options: of `UECRetriever`, such as `similarity_top_k`.

        Raises:
            InvalidInputError: for two tools of one name; if there is no index and no expert, or it was made otherwise than
                asked.
            ModelMismatchError: if the index that is there was made with other experts.
        """
        own = [name for name in inspect.signature(cls.from_tools).parameters if name != "options"]
        check_options("from_tools", options, own)
        tools = list(tools)
        nodes = _tool_nodes(tools)
        retriever = UECRetriever.from_nodes(
            nodes,
            experts,
            location,
            recipe,
            device=device,
            batch_size=batch_size,
            show_progress=show_progress,
            **options,
        )
        _delete_older(retriever.engine, nodes)
        return cls(retriever, tools, node_postprocessors)

    def close(self) -> None:
        """Close the retriever."""
        self._index.close()

    def add_tools(self, *, batch_size: int = 32) -> AddReport:
        """Add the tools to the index, each in place of what that has under its name; those that did not change cost nothing."""
        report = self._index.add_nodes(self._nodes, batch_size=batch_size)
        return replace(report, deleted=report.deleted + _delete_older(self._index.engine, self._nodes))

    def retrieve(self, str_or_query_bundle: str | QueryBundle) -> list[BaseTool]:
        """The tools for a request, or the one of that name."""
        query = str_or_query_bundle
        bundle = QueryBundle(query) if isinstance(query, str) else query
        if bundle.query_str in self._named:
            return [self._named[bundle.query_str]]
        nodes = self._index.retrieve(bundle)
        for postprocessor in self.node_postprocessors:
            nodes = postprocessor.postprocess_nodes(nodes, query_bundle=bundle)
        names = dict.fromkeys(node.metadata.get("name") for node in nodes)
        return [self._named[name] for name in names if name in self._named]

    async def aretrieve(self, str_or_query_bundle: str | QueryBundle) -> list[BaseTool]:
        """The tools for a request, or the one of that name; in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.retrieve, str_or_query_bundle)


def _tool_nodes(tools: Sequence[BaseTool]) -> list[BaseNode]:
    """LlamaIndex's nodes of tools, with their names as ids."""
    names = Counter(tool.metadata.get_name() for tool in tools)
    if twice := [name for name, number in names.items() if number > 1]:
        raise InvalidInputError(f"two tools are called {show(twice[0])}: give each a name of its own")
    nodes = SimpleToolNodeMapping(tools).to_nodes(tools)
    return [node.model_copy(update={"id_": node.metadata["name"]}) for node in nodes]


def _delete_older(engine: Engine, nodes: Sequence[BaseNode]) -> int:
    """Delete what 0.1.0 stored of tools under ids of their content; how many that were."""
    older = list(_older(engine, [node.node_id for node in nodes]))
    return engine.delete(older) if older else 0


def _older(engine: Engine, names: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(names), _AT_ONCE):
        for record in engine.get(where={"name": {"$in": list(names[start : start + _AT_ONCE])}}):
            name = record.metadata["name"]
            if record.id != name and record.text.startswith(f"Tool name: {name}\n"):
                yield record.id
