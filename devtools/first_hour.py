"""A new user's first hour, against wheels in an environment that has nothing else: `make first-hour`.

Runs under the Python of that environment, from outside the checkout, with a model's folder as its argument. Every step
is what the README and docs/ tell people to type.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import llama_index.retrievers.uec
from langchain_core.documents import Document
from llama_index.core import Document as LlamaDocument
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.retrievers.uec import UECRetriever as LlamaRetriever
from llama_index.vector_stores.uec import UECVectorStore as LlamaStore

import langchain_uec
import uec_retriever
from langchain_uec import UECRetriever, UECVectorStore
from uec_retriever import Engine

UEC = Path(sys.executable).with_name("uec")
SETUP = "---\ntags: [router, setup]\nversion: 1.10\n---\n# Setup\n\n## Network\n\n{body}\n\n## Reset\n\nHold the red button."
BODY = " ".join(f"Step {i}: connect cable number {i} to the port beside the lamp." for i in range(120))
FILES: dict[str, str | bytes] = {
    "setup.md": SETUP.format(body=BODY),
    "faq/refunds.md": "# Refunds\n\nRefunds reach your account within five days.",
    "faq/errors.txt": "Error E4402: the pump has lost its prime. Fill it by hand.",
    "faq/umlaut.txt": "Die Garantie gilt für zwei Jahre ab Kauf.".encode("cp1252"),
    "prices.csv": "id;text;price;since\np1;filter;9.50;2024-01-31\np2;pump;120.00;2023-05-01\n",
    "drafts/old.md": "An old draft that nobody should find.",
    ".gitignore": "drafts/\n",
    "photo.png": b"\x89PNG\x00\x00",
}


def main() -> None:
    """Every step in turn; the first that fails ends it."""
    model, begun = sys.argv[1], time.monotonic()
    for package in (uec_retriever, langchain_uec, llama_index.retrievers.uec):
        assert "site-packages" in str(package.__file__), package.__file__
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        docs, index = work / "docs", work / "idx"
        for name, content in FILES.items():
            (docs / name).parent.mkdir(parents=True, exist_ok=True)
            (docs / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        command_line(work, docs, index, model)
        frameworks(work, index, model)
    tell(f"the first hour took {time.monotonic() - begun:.0f} s")


def command_line(work: Path, docs: Path, index: Path, model: str) -> None:
    """From a folder to answers, to a changed folder, to questions by the file."""
    assert uec("--version").strip().endswith(uec_retriever.__version__)
    made = uec("index", "--index", index, "--corpus", docs, "--expert", model)
    assert "split into" in made, made
    assert search(index, "what does E4402 mean")[0]["id"] == "faq/errors.txt"
    piece = search(index, "hold the red button")[0]
    assert piece["metadata"]["document_id"] == "setup.md" and "Reset" in piece["metadata"]["headings"], piece
    assert piece["metadata"]["version"] == "1.10", piece
    whole = search(index, "Step 100: connect cable number 100", "--group-by", "document")
    assert len({hit["metadata"].get("document_id", hit["id"]) for hit in whole}) == len(whole)
    assert "Garantie gilt für" in search(index, "Garantie zwei Jahre")[0]["text"]
    assert not any("draft" in hit["id"] for hit in search(index, "old draft nobody should find"))
    (docs / "setup.md").write_text("# Setup\n\nIt sets itself up.")
    (docs / "faq" / "refunds.md").unlink()
    (docs / "faq" / "shipping.md").write_text("# Shipping\n\nParcels leave the same day.")
    assert "would be deleted" in uec("index", "--index", index, "--corpus", docs, "--sync", "--dry-run")
    uec("index", "--index", index, "--corpus", docs, "--sync")
    held = {hit["id"] for hit in search(index, "anything", "-k", "100")}
    assert held == {"setup.md", "faq/errors.txt", "faq/umlaut.txt", "faq/shipping.md", "prices.csv"}, held
    table = work / "products"
    uec("index", "--index", table, "--corpus", docs / "prices.csv", "--types", "since=day", "--expert", model)
    found = search(
        table, "pump", "--where", '{"$and": [{"price": {"$lt": 100}}, {"since": {"$gte": 20240101}}]}'
    )
    assert [hit["id"] for hit in found] == ["p1"], found
    answers = uec(
        "search", "--index", index, "--queries", "-", "--json", given="same day parcels\nwarranty years\n"
    )
    assert [json.loads(line)["_id"] for line in answers.splitlines()] == ["1", "2"], answers
    uec("info", "--index", index)
    uec("check", "--index", index)
    assert uec("search", "--index", work / "nowhere", "x", code=1) == ""


def frameworks(work: Path, index: Path, model: str) -> None:
    """The same index in both, and indexes that they make."""
    question = "what does E4402 mean"
    with UECRetriever(index=index, k=1) as retriever:
        assert retriever.invoke(question)[0].id == "faq/errors.txt"
    with LlamaRetriever(str(index), similarity_top_k=1) as retriever:
        assert retriever.retrieve(question)[0].node_id == "faq/errors.txt"
    texts = ["Refunds take five days.", "The lamp is red."]
    pages = [Document(text) for text in texts]
    with UECVectorStore.from_documents(pages, [model], index=work / "store") as store:  # type: ignore[arg-type]
        assert store.similarity_search("refunds", k=1)[0].page_content == texts[0]
    with LlamaStore(str(work / "llama"), experts=[model]) as store:
        context = StorageContext.from_defaults(vector_store=store)
        documents = [LlamaDocument(text=t) for t in texts]
        made = VectorStoreIndex.from_documents(
            documents, storage_context=context, embed_model=store.embed_model
        )
        assert made.as_retriever(similarity_top_k=1).retrieve("refunds")[0].text == texts[0]
    with Engine.open(index) as engine:
        assert engine.search(question, k=1).hits[0].id == "faq/errors.txt"


def search(index: Path, question: str, *options: str) -> list[dict[str, Any]]:
    """Hits, by the command line."""
    hits: list[dict[str, Any]] = json.loads(uec("search", "--index", index, "--json", *options, question))[
        "hits"
    ]
    return hits


def uec(*arguments: object, given: str = "", code: int = 0) -> str:
    """What the program prints; all it says is shown if it ends otherwise than expected."""
    begun = time.monotonic()
    done = subprocess.run(
        [UEC, *map(str, arguments)], input=given, capture_output=True, text=True, timeout=300
    )
    tell(f"uec {' '.join(map(str, arguments))}: {time.monotonic() - begun:.1f} s")
    assert done.returncode == code and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout


def tell(what: str) -> None:
    """Print."""
    print(what, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
