"""Label, train, compare: a small embedding model learns from a local language model which passages help it answer.

SmolLM2 is the judge, all-MiniLM-L6-v2 the student. The questions are QASPER's, if the test collections are there
(`UEC_DATA`); else SmolLM2 makes questions from the Python standard library's documentation, and first sentences of
other documentation strings are the test. Run it with `make demo-uae`; everything it makes is in `.cache/uae_demo`. An
interrupted run goes on where it stopped; after a finished one its labels are kept, and training starts anew.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.common import data_folder
from devtools.models import MINILM, SMOLLM2, real_llm, real_model
from uec_retriever.cli.app import app
from uec_retriever.data.pairs import pseudo_pairs
from uec_retriever.data.stdlib_docs import standard_library_docstrings
from uec_retriever.training.checkpoints import REPORT

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "uae_demo"
QASPER = "qasper_dev_evidence"


def run(*arguments: str) -> None:
    """One `uec` command, shown as it would be typed."""
    Console().print(f"\n[bold cyan]$ uec {shlex.join(arguments)}", soft_wrap=True)
    app(list(arguments), standalone_mode=False)


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """A JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_documentation(folder: Path) -> Path:
    """A BEIR folder of documentation strings: half of them for training, the others' first sentences as test."""
    documents = sorted(dict(standard_library_docstrings("[a-h]*.py")).items())
    training, rest = documents[::2], documents[1::2]
    pairs = pseudo_pairs([text for _, text in rest], limit=200)
    bodies = {positive: f"test-{i}" for i, positive in enumerate(pairs.positives)}
    corpus = [{"_id": name, "text": text} for name, text in training]
    corpus += [{"_id": identifier, "text": body} for body, identifier in bodies.items()]
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "train" / "corpus.jsonl", corpus[: len(training)])
    queries = [{"_id": f"q{i}", "text": query} for i, query in enumerate(pairs.queries)]
    write_lines(folder / "queries.jsonl", queries)
    judgements = [f"q{i}\t{bodies[positive]}\t1\n" for i, positive in enumerate(pairs.positives)]
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judgements))
    return folder


def main(folder: Path = FOLDER, questions: int = 100, candidates: int = 6) -> None:
    """The three commands, and a look at the labels."""
    start = time.monotonic()
    qasper = data_folder() / QASPER
    labels, student = folder / "labels.jsonl", folder / "model"
    judge, base = str(real_llm(SMOLLM2)), str(real_model(MINILM))
    if qasper.is_dir():
        data = qasper
        source = ["--data", str(data), "--split", "train", "--skip-unanswered", "--limit", str(questions)]
    else:
        data = write_documentation(folder / "documentation")
        source = ["--data", str(data / "train"), "--generate", str(questions)]
    run("label", *source, "--candidates", str(candidates), "--llm", judge, "--out", str(labels))
    run("label", "inspect", str(labels))
    teach = ["--base", base, "--out", str(student), "--max-length", "128", "--min-utility", "0.5"]
    run(
        "train",
        "--labels",
        str(labels),
        *teach,
        "--overwrite" if (student / REPORT).is_file() else "--resume",
    )
    run("eval", "uae", "--data", str(data), "--model", f"before={base}", "--model", f"after={student}")
    Console().print(f"\ndone in {time.monotonic() - start:.0f} seconds")


if __name__ == "__main__":
    main()
