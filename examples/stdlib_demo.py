"""Index the documentation strings of the Python standard library and ask it a few questions.

Two small experts: all-MiniLM-L6-v2 (a transformer) and WordLlama (static word vectors). Run it with
`make demo`; everything it makes is in `.cache/demo`, and a second run only answers the questions.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

from rich.console import Console

from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever.cli.app import app
from uec_retriever.data.stdlib_docs import standard_library_docstrings

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "demo"
QUESTIONS = (
    "how do I find the difference between two dates?",
    "run another program and capture what it prints",
    "keep only the ten largest items of a long list",
    "guess the type of a file from its name",
    "which colour is the sky on Mars?",
)


def run(*arguments: str) -> None:
    """One `uec` command, shown as it would be typed."""
    Console().print(f"\n[bold cyan]$ uec {shlex.join(arguments)}", soft_wrap=True)
    app(list(arguments), standalone_mode=False)


def main() -> None:
    """Make the corpus, index it, ask."""
    start = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    corpus, index = FOLDER / "corpus.jsonl", FOLDER / "index"
    documents = dict(standard_library_docstrings())
    lines = [json.dumps({"_id": name, "title": name, "text": text}) for name, text in documents.items()]
    corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
    console = Console()
    console.print(f"{len(documents)} documentation strings of Python {sys.version.split()[0]} in {corpus}")
    experts = [f"--expert={real_model(name)}" for name in (MINILM, WORDLLAMA)]
    run("index", "--index", str(index), "--corpus", str(corpus), *experts, "--max-pairs", "320")
    run("info", "--index", str(index))
    for question in QUESTIONS:
        run("search", "--index", str(index), "-k", "3", question)
    console.print(f"\ndone in {time.monotonic() - start:.0f} seconds; ask more with the command above")


if __name__ == "__main__":
    main()
