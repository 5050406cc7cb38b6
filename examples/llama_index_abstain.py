"""A LlamaIndex query engine that says "not in these documents" where the evidence is gone, against the same one without.

Where its confidence is too low, the retriever gives one node: a sentence for the language model, in place of texts that it
would make an answer of. Here a sentence is quoted in place of a language model, so that what happens is the retrieval's doing.
Run it with `python -m examples.llama_index_abstain`; its index is kept in `.cache/llama_index_abstain`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.retrievers.uec import UECRetriever

from examples.abstaining import (
    MIN_CONFIDENCE,
    NOT_IN_HERE,
    K,
    load_material,
    make_engine,
    quote,
    tell_decisions,
)

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "llama_index_abstain"
_ASKED = "\n\nIn one sentence: "
PROMPT = PromptTemplate("{context_str}" + _ASKED + "{query_str}")


class QuotingLLM(CustomLLM):
    """Quotes what it is given to read."""

    @property
    def metadata(self) -> LLMMetadata:
        """How much it can read."""
        return LLMMetadata(context_window=1 << 20, num_output=256, model_name="quoting")

    def complete(self, prompt: str, formatted: bool = False, **options: Any) -> CompletionResponse:
        """The sentence that shares the most words with the question."""
        context, _, question = prompt.partition(_ASKED)
        return CompletionResponse(text=quote(context, question))

    def stream_complete(self, prompt: str, formatted: bool = False, **options: Any) -> NoReturn:
        """Left out."""
        raise TypeError("this LLM does not stream")


def make_query_engine(retriever: UECRetriever) -> RetrieverQueryEngine:
    """A query engine that knows nothing of abstaining."""
    return RetrieverQueryEngine.from_args(retriever, llm=QuotingLLM(), text_qa_template=PROMPT)


def ask(engine: RetrieverQueryEngine) -> Callable[[str], tuple[str, list[str]]]:
    """Question -> answer, and ids of the nodes that it was made from."""

    def asked(question: str) -> tuple[str, list[str]]:
        response = engine.query(question)
        return str(response), [found.node_id for found in response.source_nodes]

    return asked


def main(folder: Path = FOLDER, questions: int = 100) -> dict[str, float]:
    """Index, calibrate, ask; gives the share of right decisions of either query engine."""
    start = time.monotonic()
    material = load_material(questions)
    with make_engine(material, folder / material.origin.replace(" ", "-")) as index:
        print(f"{index.count()} texts of {material.origin}, after {time.monotonic() - start:.0f} s")
        honest = UECRetriever(
            engine=index,
            similarity_top_k=K,
            min_confidence=MIN_CONFIDENCE,
            abstain="empty",
            no_evidence=NOT_IN_HERE,
        )
        engines = {
            "abstaining": make_query_engine(honest),
            "always answering": make_query_engine(UECRetriever(engine=index, similarity_top_k=K)),
        }
        shares = tell_decisions(material, {name: ask(engine) for name, engine in engines.items()})
        for question in (*list(material.present)[:1], *material.missing[:1]):
            print(f"\nQ: {question}")
            for name, engine in engines.items():
                print(f"   {name}: {engine.query(question)}")
    print(f"\ndone in {time.monotonic() - start:.0f} s")
    return shares


if __name__ == "__main__":
    main()
