"""A LangGraph agent whose tool set grows where the retrieval is unsure, against a fixed number of tools.

With `coverage=.8` the retriever gives as many tools as a right one needs to be among them for four of five requests: one where it
is sure, many where it is not. The requests are MetaTool's if `UEC_DATA` has them, calibrated on train requests and counted on
test ones, else first sentences of the standard library's documentation. The model is scripted: it calls the first tool that it
is given. Run it with `python -m examples.langgraph_coverage`; the index is kept in `.cache/langgraph_coverage`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import StructuredTool

from devtools.models import MINILM, WORDLLAMA, real_model
from examples.abstaining import documented_questions
from examples.langgraph_tools import FirstToolModel, PickTools, tool
from langchain_uec import UECRetriever
from uec_retriever import Engine
from uec_retriever.evaluation.bootstrap import wilson
from uec_retriever.evaluation.collection import load_collection

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "langgraph_coverage"
COVERAGES, FIXED = (0.8, 0.9), 5
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
    chosen = documented_questions()
    tools = [tool(f"tool-{i}", text) for i, (_, text) in enumerate(chosen)]
    right = {query: {t.name} for t, (query, _) in zip(tools, chosen, strict=True)}
    requests = list(right)
    learnt, asked = ({r: right[r] for r in part} for part in (requests[number:], requests[:number]))
    return "the standard library", tools, learnt, asked


def count(retriever: UECRetriever, requests: Labelled) -> Outcome:
    """How many tools a model would see, and how often a right one is among them."""
    found = [{d.id for d in documents} for documents in retriever.batch(list(requests))]
    covered = sum(bool(tools & right) for tools, right in zip(found, requests.values(), strict=True))
    return Outcome(sum(map(len, found)) / len(found), covered / len(found))


def rank_right(engine: Engine, requests: Labelled) -> list[int]:
    """Tools that each request takes until a right one is among them; one more than there are if none is found."""
    every = engine.count()
    ranked = [[hit.id for hit in result] for result in engine.search_batch(list(requests), every)]
    return [
        next((place for place, i in enumerate(ids, 1) if i in right), every + 1)
        for ids, right in zip(ranked, requests.values(), strict=True)
    ]


def as_good(places: Sequence[int], covered: float) -> int:
    """The smallest number of tools, the same for each request, that covers a share of them; of all, if none does."""
    enough = (
        k for k in range(1, max(places)) if sum(place <= k for place in places) >= covered * len(places)
    )
    return next(enough, max(places))


def run_agent(retriever: UECRetriever, tools: Sequence[StructuredTool], requests: Sequence[str]) -> None:
    """Show how many tools the model sees."""
    agent = create_agent(FirstToolModel(), tools, middleware=[PickTools(retriever)])
    for request in requests:
        state = agent.invoke({"messages": [HumanMessage(request)]})
        call = next(m for m in state["messages"] if isinstance(m, AIMessage) and m.tool_calls)
        bound = call.additional_kwargs["bound"]
        more = ", ..." if len(bound) > FIXED else ""
        print(f"\n{request}\n   {len(bound)} tools bound: {', '.join(bound[:FIXED])}{more}")


def main(folder: Path = FOLDER, requests: int = 200) -> dict[str, Outcome]:
    """Index and calibrate, run the agent for a few requests, and count over all; gives what each way comes to."""
    start = time.monotonic()
    origin, tools, learnt, asked = load_requests(requests)
    with Engine.from_texts(
        [f"{t.name}: {t.description}" for t in tools],
        [real_model(MINILM), real_model(WORDLLAMA)],
        folder / origin.replace(" ", "-"),
        ids=[t.name for t in tools],
        device="cpu",
    ) as engine:
        if engine.manifest.coverage is None:
            engine.calibrate_coverage(learnt)
        print(f"{len(tools)} tools of {origin}, after {time.monotonic() - start:.0f} s")
        ways = {f"coverage of {c:.0%}": UECRetriever(engine=engine, coverage=c) for c in COVERAGES}
        run_agent(next(iter(ways.values())), tools, list(asked)[:_SHOWN])
        ways[f"always {FIXED} tools"] = UECRetriever(engine=engine, k=FIXED)
        places, outcomes = rank_right(engine, asked), {}
        print(f"\nof {len(asked)} requests, with 95 % intervals:")
        for name, retriever in ways.items():
            outcomes[name] = outcome = count(retriever, asked)
            ends = wilson(round(outcome.covered * len(asked)), len(asked))
            print(
                f"{name}: a right tool among {outcome.tools:.1f} on average for {outcome.covered:.0%} "
                f"({ends.low:.0%} to {ends.high:.0%}); a fixed number takes {as_good(places, outcome.covered)}"
            )
    print(f"\ndone in {time.monotonic() - start:.0f} s")
    return outcomes


if __name__ == "__main__":
    main()
