"""A LangGraph agent whose tool set grows where the retrieval is unsure, against a fixed number of tools.

With `coverage=.9` the retriever gives as many tools as the right one needs to be among them for nine of ten requests: one where
it is sure, many where it is not. The requests are MetaTool's if `UEC_DATA` has them, calibrated on train requests and counted on
test ones, else first sentences of the standard library's documentation. The model is scripted: it calls the first tool that it
is given. Run it with `python -m examples.langgraph_coverage`; the index is kept in `.cache/langgraph_coverage`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import StructuredTool

from devtools.models import WORDLLAMA, real_model
from examples.langgraph_tools import FirstToolModel, PickTools, tool
from langchain_uec import UECRetriever
from uec_retriever import Engine
from uec_retriever.data.pairs import pseudo_pairs
from uec_retriever.data.stdlib_docs import standard_library_docstrings
from uec_retriever.evaluation.bootstrap import wilson
from uec_retriever.evaluation.collection import load_collection

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "langgraph_coverage"
COVERAGE, FIXED = 0.9, 5
_LEARNT = 300  # requests to calibrate on
_SHOWN = 3
Labelled = Mapping[str, set[str]]


@dataclass(frozen=True)
class Outcome:
    """What a way to choose tools comes to.

    Attributes:
        tools: that the model sees, mean over requests.
        covered: share of requests with a right tool among them.
    """

    tools: float
    covered: float


def load_requests(number: int) -> tuple[str, list[StructuredTool], Labelled, Labelled]:
    """Where they come from, the tools, and request -> names of right tools: to calibrate on, and to count on."""
    folder = Path(os.environ.get("UEC_DATA", "/nowhere")) / "metatool"
    if folder.is_dir():
        train, test = (
            load_collection(folder, split).sample(limit, seed=0)
            for split, limit in (("train", _LEARNT), ("test", number))
        )
        learnt, asked = (
            {q.text: {t for t, grade in q.relevance.items() if grade > 0} for q in c.queries}
            for c in (train, test)
        )
        return "metatool", [tool(*each) for each in zip(train.ids, train.texts, strict=True)], learnt, asked
    pairs = pseudo_pairs(
        (text for _, text in standard_library_docstrings("[a-p]*.py")), limit=_LEARNT + number
    )
    right = {query: {f"tool-{i}"} for i, query in enumerate(pairs.queries)}
    tools = [tool(f"tool-{i}", text) for i, text in enumerate(pairs.positives)]
    requests = list(right)
    learnt, asked = ({r: right[r] for r in part} for part in (requests[number:], requests[:number]))
    return "the standard library", tools, learnt, asked


def count(retriever: UECRetriever, requests: Labelled) -> Outcome:
    """How many tools a model would see, and how often a right one is among them."""
    found = [{d.id for d in documents} for documents in retriever.batch(list(requests))]
    covered = sum(bool(tools & right) for tools, right in zip(found, requests.values(), strict=True))
    return Outcome(sum(map(len, found)) / len(found), covered / len(found))


def as_good(engine: Engine, requests: Labelled, share: float) -> int:
    """The smallest number of tools, the same for each request, that covers a share of them; of all, if none does."""
    ranked = [[hit.id for hit in result] for result in engine.search_batch(list(requests), engine.count())]
    first = [
        next((place for place, i in enumerate(ids, 1) if i in right), len(ids) + 1)
        for ids, right in zip(ranked, requests.values(), strict=True)
    ]
    return next(
        (k for k in range(1, engine.count()) if sum(f <= k for f in first) >= share * len(first)),
        engine.count(),
    )


def main(folder: Path = FOLDER, requests: int = 300) -> dict[str, Outcome]:
    """Index and calibrate, run the agent for a few requests, and count over all; gives what either way comes to."""
    start = time.monotonic()
    origin, tools, learnt, asked = load_requests(requests)
    texts = (
        [f"{t.name}: {t.description}" for t in tools]
        if origin == "metatool"
        else [t.description for t in tools]
    )
    with Engine.from_texts(
        texts,
        [real_model(WORDLLAMA)],
        folder / origin.replace(" ", "-"),
        ids=[t.name for t in tools],
        device="cpu",
    ) as engine:
        if engine.manifest.coverage is None:
            engine.calibrate_coverage(learnt)
        print(f"{len(tools)} tools of {origin}, after {time.monotonic() - start:.0f} s")
        growing = UECRetriever(engine=engine, coverage=COVERAGE)
        agent = create_agent(FirstToolModel(), tools, middleware=[PickTools(growing)])
        for request in list(asked)[:_SHOWN]:
            state = agent.invoke({"messages": [HumanMessage(request)]})
            call = next(m for m in state["messages"] if isinstance(m, AIMessage) and m.tool_calls)
            bound = call.additional_kwargs["bound"]
            print(
                f"\n{request}\n   {len(bound)} tools bound: {', '.join(bound[:5])}{', ...' if len(bound) > 5 else ''}"
            )
        outcomes = {
            f"coverage of {COVERAGE:.0%}": count(growing, asked),
            f"always {FIXED} tools": count(UECRetriever(engine=engine, k=FIXED), asked),
        }
        print()
        for name, outcome in outcomes.items():
            ends = wilson(round(outcome.covered * len(asked)), len(asked))
            print(
                f"{name}: {outcome.tools:.1f} tools on average, a right one among them for {outcome.covered:.0%} of {len(asked)} "
                f"requests (95 % interval {ends.low:.0%} to {ends.high:.0%})"
            )
        same = as_good(engine, asked, outcomes[f"coverage of {COVERAGE:.0%}"].covered)
        print(f"as often with a fixed number: {same} tools for every request")
    print(f"\ndone in {time.monotonic() - start:.0f} s")
    return outcomes


if __name__ == "__main__":
    main()
