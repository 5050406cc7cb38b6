"""An index of tools, for agents that have more of them than a model should see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from uec_retriever.engine.location import Location
from uec_retriever.errors import InvalidInputError, show

if TYPE_CHECKING:
    from langchain_uec.engines import Experts
    from uec_retriever import Recipe

Tool = BaseTool | Callable[..., Any] | type | Mapping[str, Any]
"""Whatever LangChain's `bind_tools` takes."""


class FindsTools(BaseRetriever):
    """A retriever that can be made of tools."""

    @classmethod
    def from_tools(
        cls,
        tools: Sequence[Tool],
        experts: Experts | None = None,
        location: str | Path | Location | None = None,
        recipe: Recipe | None = None,
        *,
        device: str | None = None,
        batch_size: int = 32,
        show_progress: bool = False,
        **options: Any,
    ) -> Self:
        """Make an index of tools, or add them to the one that is there; a tool of the same name replaces.

        It finds documents whose `id` is the name of a tool. One that is not given any more stays until it is deleted by its
        name, `retriever.delete([name])`.

        Args:
            tools: whatever `bind_tools` takes: tools, functions with a docstring, classes of pydantic, dictionaries.
            experts: names of models, loaded experts or other `Embeddings`; an index that is there needs none.
            location: folder of the index, or a `Location`; a temporary folder, gone with the retriever, if None.
            recipe: pairs, posteriors, structure, layout, temperature, lexical (words); one that is there must agree.
            device: torch device of the experts; sentence-transformers' choice if None.
            batch_size: texts in one forward pass.
            show_progress: show a bar for fitting and adding that takes over two seconds.
            **options: of the retriever, from `k` to `include`, and LangChain's `name`, `tags`, `metadata`;
                `temperature` is that of its queries.

        Raises:
            InvalidInputError: for something that is no tool, two tools of one name, or a bad option; if there is no index
                and no expert, or it was made otherwise than asked.
            ModelMismatchError: if the index that is there was made with other experts.
        """
        made: Any = cls
        made._check_options(options, "from_tools")
        retriever: Self = made.from_documents(
            tool_documents(tools),
            experts,
            location,
            recipe,
            device=device,
            batch_size=batch_size,
            show_progress=show_progress,
            **options,
        )
        return retriever


def tool_documents(tools: Sequence[Tool]) -> list[Document]:
    """A document for each tool: its name is the id, name and description are the text.

    Args:
        tools: whatever `bind_tools` takes.

    Raises:
        InvalidInputError: for something that is no tool, or two tools of one name.
    """
    documents: dict[str, Document] = {}
    for position, tool in enumerate(tools):
        name, description = _describe(tool, position)
        if name in documents:
            raise InvalidInputError(f"two tools are called {show(name)}: give each a name of its own")
        documents[name] = Document(id=name, page_content=f"{name}: {description}" if description else name)
    return list(documents.values())


def _describe(tool: Any, position: int) -> tuple[str, str]:
    if isinstance(tool, BaseTool):
        return tool.name, tool.description
    try:
        function = convert_to_openai_tool(tool)["function"]
        return function["name"], function.get("description", "")
    except Exception as error:  # of many kinds
        raise InvalidInputError(
            f"tool {position} is {show(tool, 40)}, which LangChain cannot take for a tool ({error}): give a tool, a function "
            "with a docstring, a class of pydantic, or a dictionary"
        ) from error
