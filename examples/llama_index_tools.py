"""A LlamaIndex agent with 199 tools of which its model only ever sees the five that UEC picks.

The tools are those of the MetaTool collection if `UEC_DATA` points at it, else functions of the Python standard
library. The agent's LLM is scripted: it calls the first tool that it is given, so that what happens is the
retrieval's doing. LlamaIndex gives tool nodes other ids in every process; `ToolRetriever` (an `ObjectRetriever`)
gives them ids that last, so that the second run adds nothing. Run it twice with `python -m examples.llama_index_tools`; the index is
kept in `.cache/llama_index_tools`.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.retrievers.uec import ToolRetriever

from devtools.models import MINILM, WORDLLAMA, real_model
from examples.scripted_llama_index_llm import ScriptedLLM
from uec_retriever.data.stdlib_docs import standard_library_docstrings

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "llama_index_tools"
TOOLS = 199
REQUESTS = {
    "metatool": (
        "What will the air be like in my zip code tomorrow?",
        "I need sources for a paper on energy.",
    ),
    "the standard library": ("How different are these two texts?", "How many days does this month have?"),
}


def tool(name: str, description: str) -> FunctionTool:
    """A tool that says what it was asked to do."""

    def run(request: str) -> str:
        return f"{name} has dealt with {request!r}"

    return FunctionTool.from_defaults(run, name=name, description=description)


def load_tools(limit: int = TOOLS) -> tuple[str, list[FunctionTool]]:
    """Where the tools come from, and the tools."""
    corpus = Path(os.environ.get("UEC_DATA", "/nowhere")) / "metatool" / "corpus.jsonl"
    if corpus.is_file():
        rows = map(json.loads, corpus.read_text(encoding="utf-8").splitlines())
        return "metatool", [tool(row["_id"], row["text"]) for row in rows][:limit]
    named = standard_library_docstrings("[a-h]*.py")
    functions = [tool(name.replace(".", "_"), text) for name, text in named if name.split(".")[-1].islower()]
    return "the standard library", functions[:limit]


async def main(folder: Path = FOLDER, limit: int = TOOLS) -> None:
    """Index the tools, let the agent work."""
    start = time.monotonic()
    origin, tools = load_tools(limit)
    experts = [real_model(MINILM), real_model(WORDLLAMA)]
    retriever = ToolRetriever.from_tools(tools, experts, folder, similarity_top_k=5, device="cpu")
    print(f"{len(tools)} tools of {origin}, indexed after {time.monotonic() - start:.0f} s")
    llm = ScriptedLLM()
    agent = FunctionAgent(tool_retriever=retriever, llm=llm)
    for request in REQUESTS[origin]:
        before = len(llm.offered)
        response = await agent.run(request)
        print(f"\n{request}\n  offered: {', '.join(llm.offered[before])}\n  agent: {response}")
    print(f"\ndone in {time.monotonic() - start:.0f} seconds")


if __name__ == "__main__":
    asyncio.run(main())
