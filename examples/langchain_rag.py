"""A LangChain chain (LCEL) that answers from the Python standard library's documentation, all on this machine.

Two models and words find the sources, a local SmolLM2 writes the answer. Each source is shown with its score, the
deviation of the similarity, how far each expert was trusted, and the words that it shares with the question; where the
index has a calibrated confidence, the chain declines to answer below a half. The sources are what to look at: a model
of 135M parameters writes poorly.
Run it with `python -m examples.langchain_rag`; its index is kept in `.cache/langchain_rag`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableBranch, RunnableParallel, RunnablePassthrough

from devtools.models import MINILM, WORDLLAMA, real_model
from examples.local_llm import LocalChat
from langchain_uec import UECRetriever
from uec_retriever.data.stdlib_docs import standard_library_docstrings

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "langchain_rag"
MODULES = "[c-h]*.py"
QUESTIONS = (
    "How do I keep the ten largest items of a long list?",
    "Which function compares two files?",
    "Which colour is the sky on Mars?",
)
CALIBRATED_FROM = 200  # texts; a handful would say nothing of how well searches go
PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "You answer in one sentence, from the given documentation only."),
        ("human", "Documentation:\n{context}\n\nQuestion: {question}"),
    ]
)


def context(documents: Sequence[Document]) -> str:
    """What the language model gets to read: the texts, and nothing of their scores."""
    return "\n".join(f"{d.id}: {' '.join(d.page_content.split())[:300]}" for d in documents)


def unsure(found: dict[str, Any]) -> bool:
    """Whether the index says that the sources are probably the wrong ones."""
    confidences = [d.metadata["uec_confidence"] for d in found["documents"]]
    return not confidences or (confidences[0] is not None and confidences[0] < 0.5)


def make_chain(retriever: Runnable[str, list[Document]], llm: Runnable[Any, Any]) -> Runnable[str, Any]:
    """Question -> documents, question, answer."""
    answer = (
        RunnablePassthrough.assign(context=lambda found: context(found["documents"]))
        | PROMPT
        | llm
        | StrOutputParser()
    )
    honest = RunnableBranch((unsure, lambda _: "I have found nothing that I would rely on."), answer)
    found = RunnableParallel(documents=retriever, question=RunnablePassthrough())
    return found | RunnablePassthrough.assign(answer=honest)


def show(result: dict[str, Any]) -> None:
    """Print question, answer and sources."""
    print(f"\nQ: {result['question']}\nA: {result['answer']}")
    for document in result["documents"]:
        values = document.metadata
        trust = ", ".join(f"{label} {share:.0%}" for label, share in values["uec_coefficients"].items())
        print(
            f"   {values['uec_score']:.3f} (similarity +- {values['uec_deviation']:.3f})  {document.id}  [{trust}]"
        )
        spans = [document.page_content[start:end] for start, end in values["uec_matched"]]
        print(f"      {', '.join(dict.fromkeys(spans)) or 'no word in common'}")
    if result["documents"]:
        values = result["documents"][0].metadata
        confidence, reason = values["uec_confidence"], values["uec_confidence_reason"]
        print(f"   confidence: {reason if confidence is None else f'{confidence:.0%}'}")


def main(
    questions: Sequence[str] = QUESTIONS,
    folder: Path = FOLDER,
    modules: str = MODULES,
    max_new_tokens: int = 48,
) -> list[dict[str, Any]]:
    """Index the documentation, answer the questions.

    Args:
        questions: to ask.
        folder: where the index is kept.
        modules: files of the standard library to index.
        max_new_tokens: longest answer.
    """
    start = time.monotonic()
    documents = [Document(id=name, page_content=text) for name, text in standard_library_docstrings(modules)]
    retriever = UECRetriever.from_documents(
        documents,
        [real_model(MINILM), real_model(WORDLLAMA)],
        folder / "index",
        k=3,
        include=["score", "deviation", "coefficients", "matched", "confidence", "confidence_reason"],
    )
    engine = retriever.engine
    if engine.manifest.confidence is None and engine.count() >= CALIBRATED_FROM:
        engine.calibrate_confidence(k=retriever.k, limit=200)  # on questions made from the index itself
    print(f"{engine.count()} documentation strings indexed after {time.monotonic() - start:.0f} s")
    chain = make_chain(retriever, LocalChat.load(max_new_tokens=max_new_tokens))
    results = []
    for question in questions:
        results.append(chain.invoke(question))
        show(results[-1])
    print(f"\ndone in {time.monotonic() - start:.0f} s")
    return results


if __name__ == "__main__":
    main()
