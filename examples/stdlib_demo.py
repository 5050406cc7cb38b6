"""Index the documentation strings of the Python standard library and ask it a few questions.

Two small experts: all-MiniLM-L6-v2 (a transformer) and WordLlama (static word vectors). Run it with
`make demo`; everything it makes is in `.cache/demo`, and a second run only answers the questions.
"""

from __future__ import annotations

import ast
import json
import shlex
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever.cli.app import app

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "demo"
SKIPPED = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "site-packages",
    "ensurepip",
    "encodings",
    "pydoc_data",
}
QUESTIONS = (
    "how do I find the difference between two dates?",
    "run another program and capture what it prints",
    "keep only the ten largest items of a long list",
    "guess the type of a file from its name",
    "which colour is the sky on Mars?",
)


def docstrings(library: Path) -> Iterator[dict[str, str]]:
    """Documents for public functions and classes of the standard library, from its source files."""
    for file in sorted(library.rglob("*.py")):
        parts = file.relative_to(library).with_suffix("").parts
        if any(part in SKIPPED or (part.startswith("_") and part != "__init__") for part in parts):
            continue
        module = ".".join(part for part in parts if part != "__init__")
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in tree.body:
            if (
                isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
                and node.name[0] != "_"
            ):
                text = ast.get_docstring(node) or ""
                if len(text) >= 40:
                    name = f"{module}.{node.name}"
                    yield {"_id": name, "title": name, "text": text[:1000]}


def run(*arguments: str) -> None:
    """One `uec` command, shown as it would be typed."""
    Console().print(f"\n[bold cyan]$ uec {shlex.join(arguments)}", soft_wrap=True)
    app(list(arguments), standalone_mode=False)


def main() -> None:
    """Make the corpus, index it, ask."""
    start = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    corpus, index = FOLDER / "corpus.jsonl", FOLDER / "index"
    documents = list({d["_id"]: d for d in docstrings(Path(sysconfig.get_paths()["stdlib"]))}.values())
    corpus.write_text("".join(json.dumps(d) + "\n" for d in documents), encoding="utf-8")
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
