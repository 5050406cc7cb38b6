"""One index, a LangChain and a LlamaIndex application on it at the same time, through `chroma run`.

Two processes search and add to the same index: each adds a note, waits until it finds the other's, and answers the
same question with the same scores. Run it with `python -m examples.two_frameworks`; the index is kept in
`.cache/two_frameworks`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devtools.chroma import running_chroma
from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever import Engine, Location
from uec_retriever.data.stdlib_docs import standard_library_docstrings

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "two_frameworks"
QUESTION = "How can I compare two sequences of lines?"
NOTES = {
    "LangChain": "The zebra in the enclosure on the hill was added by the LangChain application.",
    "LlamaIndex": "The submarine in the harbour of the island was added by the LlamaIndex application.",
}
Found = list[tuple[str, str, float]]


def langchain_application(folder: Path, url: str) -> tuple[Callable[[], Any], Callable[[str], Found]]:
    """How the LangChain application adds its note, and how it searches."""
    from langchain_core.documents import Document

    from langchain_uec import UECRetriever

    retriever = UECRetriever(index=Location(folder, url), k=3, include=["score"], device="cpu")

    def add() -> None:
        retriever.add_documents([Document(id="note of LangChain", page_content=NOTES["LangChain"])])

    def search(query: str) -> Found:
        found = retriever.invoke(query)
        return [(str(d.id), d.page_content, round(d.metadata["uec_score"], 4)) for d in found]

    return add, search


def llama_index_application(folder: Path, url: str) -> tuple[Callable[[], Any], Callable[[str], Found]]:
    """How the LlamaIndex application adds its note, and how it searches."""
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.uec import UECRetriever

    retriever = UECRetriever(Location(folder, url), similarity_top_k=3, device="cpu")

    def add() -> None:
        retriever.add_nodes([TextNode(id_="note of LlamaIndex", text=NOTES["LlamaIndex"])])

    def search(query: str) -> Found:
        return [(n.node_id, n.get_content(), round(n.get_score(), 4)) for n in retriever.retrieve(query)]

    return add, search


def application(name: str, folder: Path, url: str, patience: float = 100) -> None:
    """One of the two processes; what it found goes to standard output as JSON."""
    make = {"LangChain": langchain_application, "LlamaIndex": llama_index_application}[name]
    add, search = make(folder, url)
    add()
    [other] = NOTES.keys() - {name}
    end = time.monotonic() + patience
    while search(NOTES[other])[0][0] != f"note of {other}":
        if time.monotonic() > end:
            raise SystemExit(f"{name} never found the note of {other}")
        time.sleep(0.5)
    print(json.dumps({"note": search(NOTES[other])[0], "answer": search(QUESTION)}))


def main(folder: Path = FOLDER, limit: int | None = None) -> None:
    """Make the index, serve it, let both applications work on it."""
    start = time.monotonic()
    documented = dict(list(standard_library_docstrings("[bcdh]*.py"))[:limit])
    experts = [real_model(MINILM), real_model(WORDLLAMA)]
    with Engine.from_texts(
        list(documented.values()), experts, folder, ids=list(documented), device="cpu"
    ) as engine:
        engine.delete([f"note of {name}" for name in NOTES])
        print(f"{engine.count()} texts in {folder}, after {time.monotonic() - start:.0f} s")
    with running_chroma(folder / "chroma") as server:
        print(f"chroma run serves them at {server.url}")
        processes = {
            name: subprocess.Popen(
                [sys.executable, "-m", "examples.two_frameworks", name, str(folder), server.url],
                stdout=subprocess.PIPE,
                cwd=FOLDER.parent.parent,
                text=True,
            )
            for name in NOTES
        }
        outputs = {name: process.communicate()[0] for name, process in processes.items()}
    failed = [name for name, process in processes.items() if process.returncode]
    if failed:
        raise SystemExit(f"{failed} failed")
    results = {name: json.loads(output.splitlines()[-1]) for name, output in outputs.items()}
    for name, result in results.items():
        print(f"\n{name} found: {result['note'][1]}")
        print(f"{name} on {QUESTION!r}:")
        for identifier, _, score in result["answer"]:
            print(f"  {score:.4f}  {identifier}")
    same = results["LangChain"]["answer"] == results["LlamaIndex"]["answer"]
    print(f"\nboth give the same answer: {same}; done in {time.monotonic() - start:.0f} seconds")
    if not same:
        raise SystemExit("the applications disagree")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        application(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    else:
        main()
