"""A LlamaIndex query engine over the documentation of the Python standard library, with a local SmolLM2.

Shows the answer, and for each source its score and how far the score is to be trusted. Run it with
`python -m examples.llama_index_query_engine`; the index is kept in `.cache/llama_index_query_engine`.
"""

from __future__ import annotations

import time
from pathlib import Path

from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import Document
from llama_index.retrievers.uec import UECRetriever

from devtools.models import MINILM, WORDLLAMA, real_model
from examples.local_llama_index_llm import LocalLLM
from uec_retriever.data.stdlib_docs import standard_library_docstrings

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "llama_index_query_engine"
QUESTIONS = ("How do I get the largest items of a list?", "How can I compare two sequences of lines?")
PROMPT = PromptTemplate(
    "{context_str}\n\nUse only the documentation above. In one sentence: {query_str}",
)


def make_retriever(folder: Path, limit: int | None = None) -> UECRetriever:
    """An index of the documentation; from the second run on it is there already.

    Args:
        folder: of the index.
        limit: how many documents at most.
    """
    documents = [
        Document(id_=name, text=text, metadata={"name": name})
        for name, text in standard_library_docstrings("[bcdh]*.py")
    ][:limit]
    experts = [real_model(MINILM), real_model(WORDLLAMA)]
    return UECRetriever.from_documents(
        documents, experts, folder, similarity_top_k=3, include=["deviation", "coefficients"], device="cpu"
    )


def main(folder: Path = FOLDER, limit: int | None = None) -> None:
    """Index, ask, show."""
    start = time.monotonic()
    retriever = make_retriever(folder, limit)
    print(f"{retriever.engine.count()} chunks in {folder}, after {time.monotonic() - start:.0f} s")
    engine = RetrieverQueryEngine.from_args(retriever, llm=LocalLLM(), text_qa_template=PROMPT)
    for question in QUESTIONS:
        response = engine.query(question)
        shares = response.source_nodes[0].metadata["uec_coefficients"]
        trust = ", ".join(f"{label} {share:.2f}" for label, share in shares.items())
        print(f"\n{question}\n  SmolLM2: {response}\n  trusted: {trust}")
        for node in response.source_nodes:
            deviation = node.metadata["uec_deviation"]
            print(f"  {node.score:.3f} (deviation {deviation:.3f})  {node.metadata['name']}")
    print(f"\ndone in {time.monotonic() - start:.0f} seconds")


if __name__ == "__main__":
    main()
