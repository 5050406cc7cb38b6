"""A LangChain chain that says "not in these documents" where the evidence is gone, against the same chain without.

The retriever raises where its confidence is too low, and the chain falls back on a sentence, in LangChain's own way: by
`with_fallbacks`. In place of a language model a sentence is quoted, so that what happens is the retrieval's doing. Run it with
`python -m examples.langchain_abstain`; its index is kept in `.cache/langchain_abstain`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough

from examples.abstaining import (
    MIN_CONFIDENCE,
    NOT_IN_HERE,
    K,
    load_material,
    make_engine,
    quote,
    tell_decisions,
)
from langchain_uec import UECRetriever
from uec_retriever.errors import LowConfidenceError

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "langchain_abstain"


def answer(found: dict[str, Any]) -> str:
    """In place of a prompt and a language model."""
    documents: Sequence[Document] = found["documents"]
    return quote("\n".join(d.page_content for d in documents), found["question"])


def make_chain(retriever: UECRetriever) -> Runnable[str, dict[str, Any]]:
    """Question -> documents, question, answer."""
    found = RunnableParallel(documents=retriever, question=RunnablePassthrough())
    return found | RunnablePassthrough.assign(answer=RunnableLambda(answer))


def decline(question: str) -> dict[str, Any]:
    """What is said where there is no evidence."""
    return {"documents": [], "question": question, "answer": NOT_IN_HERE}


def make_honest_chain(retriever: UECRetriever) -> Runnable[str, dict[str, Any]]:
    """The same chain, which declines where the retriever raises."""
    declined = RunnableLambda(decline)
    return make_chain(retriever).with_fallbacks([declined], exceptions_to_handle=(LowConfidenceError,))


def ask(chain: Runnable[str, dict[str, Any]]) -> Callable[[str], tuple[str, list[str]]]:
    """Question -> answer, and ids of the documents that it was made from."""

    def asked(question: str) -> tuple[str, list[str]]:
        result = chain.invoke(question)
        return result["answer"], [document.id for document in result["documents"]]

    return asked


def main(folder: Path = FOLDER, questions: int = 100) -> dict[str, float]:
    """Index, calibrate, ask; gives the share of right decisions of either chain."""
    start = time.monotonic()
    material = load_material(questions)
    with make_engine(material, folder / material.origin.replace(" ", "-")) as engine:
        print(f"{engine.count()} texts of {material.origin}, after {time.monotonic() - start:.0f} s")
        plain = UECRetriever(engine=engine, k=K)
        honest = UECRetriever(engine=engine, k=K, min_confidence=MIN_CONFIDENCE, abstain="raise")
        chains = {"abstaining": make_honest_chain(honest), "always answering": make_chain(plain)}
        shares = tell_decisions(material, {name: ask(chain) for name, chain in chains.items()})
        for question in (*list(material.present)[:1], *material.missing[:1]):
            print(f"\nQ: {question}")
            for name, chain in chains.items():
                print(f"   {name}: {chain.invoke(question)['answer']}")
    print(f"\ndone in {time.monotonic() - start:.0f} s")
    return shares


if __name__ == "__main__":
    main()
