"""A LangGraph agent with 199 tools of which its model only ever sees the five that UEC picks.

The tools are those of the MetaTool collection if `UEC_DATA` points at it, else functions of the Python standard
library. A middleware asks the retriever for tools before each call of the model; the model is scripted (it calls
the first tool that it is given), so that what happens is the retrieval's doing. Run it with
`python -m examples.langgraph_tools`; the index is kept in `.cache/langgraph_tools`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, StructuredTool

from devtools.models import MINILM, WORDLLAMA, real_model
from langchain_uec import UECRetriever
from uec_retriever.data.stdlib_docs import standard_library_docstrings

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "langgraph_tools"
TOOLS = 199
REQUESTS = {
    "metatool": (
        "What will the air be like in my zip code tomorrow?",
        "I need sources for a paper on renewable energy.",
        "Find me a cheap flight to Lisbon in May.",
    ),
    "the standard library": (
        "How different are these two texts?",
        "Find the files whose names match a pattern.",
        "Compress this file.",
    ),
}


def tool(name: str, description: str) -> StructuredTool:
    """A tool that says what it was asked to do."""

    def run(request: str) -> str:
        return f"{name} has dealt with {request!r}"

    return StructuredTool.from_function(run, name=name, description=description)


def load_tools(limit: int = TOOLS) -> tuple[str, list[StructuredTool]]:
    """Where the tools come from, and the tools."""
    corpus = Path(os.environ.get("UEC_DATA", "")) / "metatool" / "corpus.jsonl"
    if "UEC_DATA" in os.environ and corpus.is_file():
        lines = map(json.loads, corpus.read_text(encoding="utf-8").splitlines())
        return "metatool", [tool(line["_id"], line["text"]) for line in lines][:limit]
    documented = standard_library_docstrings("[a-h]*.py")
    functions = [
        tool(name.replace(".", "-"), text) for name, text in documented if name.split(".")[-1].islower()
    ]
    return "the standard library", functions[:limit]


def make_retriever(tools: Sequence[BaseTool], folder: Path, k: int = 5) -> UECRetriever:
    """An index of the tools' names and descriptions; the id of a document is the name of a tool."""
    experts = [real_model(MINILM), real_model(WORDLLAMA)]
    return UECRetriever.from_tools(tools, experts, folder / "index", k=k, show_progress=True)


class PickTools(AgentMiddleware):
    """Binds only the tools that a retriever finds for the user's last message, best first.

    Args:
        retriever: of documents whose ids are names of tools.
    """

    def __init__(self, retriever: UECRetriever) -> None:
        super().__init__()
        self.retriever = retriever

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Call the model with fewer tools."""
        return handler(_with_tools(request, self.retriever.invoke(_last_request(request.messages))))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Call the model with fewer tools."""
        return await handler(
            _with_tools(request, await self.retriever.ainvoke(_last_request(request.messages)))
        )


def _last_request(messages: Sequence[BaseMessage]) -> str:
    return str([message for message in messages if isinstance(message, HumanMessage)][-1].text)


def _with_tools(request: ModelRequest[Any], found: Sequence[Document]) -> ModelRequest[Any]:
    by_name = {each.name: each for each in request.tools if isinstance(each, BaseTool)}
    return request.override(tools=[by_name[document.id] for document in found if document.id in by_name])


class FirstToolModel(BaseChatModel):
    """Calls the first tool that is bound to it, then says what came of it.

    Attributes:
        tools: names of the tools bound to it.
    """

    tools: list[str] = []

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> FirstToolModel:
        """The model with these tools."""
        return FirstToolModel(tools=[each.name for each in tools])

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **options: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            answer = AIMessage(f"{last.text}.")
        else:
            call = ToolCall(name=self.tools[0], args={"request": str(last.text)}, id="call-1")
            answer = AIMessage("", tool_calls=[call], additional_kwargs={"bound": self.tools})
        return ChatResult(generations=[ChatGeneration(message=answer)])


def main(
    requests: Sequence[str] | None = None, folder: Path = FOLDER, limit: int = TOOLS
) -> list[tuple[list[str], str]]:
    """Index the tools, run the agent.

    Args:
        requests: of the user; some that fit the tools if None.
        folder: where the index is kept.
        limit: how many tools.

    Returns:
        For each request the tools that the model could see, and the one that it called.
    """
    start = time.monotonic()
    origin, tools = load_tools(limit)
    retriever = make_retriever(tools, folder / origin.replace(" ", "-"))
    print(f"{len(tools)} tools of {origin}, indexed after {time.monotonic() - start:.0f} s")
    agent = create_agent(FirstToolModel(), tools, middleware=[PickTools(retriever)])
    outcomes = []
    for request in requests or REQUESTS[origin]:
        state = agent.invoke({"messages": [HumanMessage(request)]})
        call = next(m for m in state["messages"] if isinstance(m, AIMessage) and m.tool_calls)
        bound, called = call.additional_kwargs["bound"], call.tool_calls[0]["name"]
        print(f"\n{request}\n   tools bound: {', '.join(bound)}\n   called: {called}")
        print(f"   answer: {state['messages'][-1].text}")
        outcomes.append((bound, called))
    print(f"\ndone in {time.monotonic() - start:.0f} s")
    return outcomes


if __name__ == "__main__":
    main()
