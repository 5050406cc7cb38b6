"""Search the documentation of the Python standard library by three experts that fail differently.

The experts are all-MiniLM-L6-v2 (a transformer), WordLlama (static word vectors) and words. Three questions show what
this is for: one that the experts disagree on, one that only words find, and one that is not in the texts and is refused.
Run it with `make demo`; everything it makes is in `.cache/demo`, and a second run only answers the questions.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever import Engine, SearchResult
from uec_retriever.cli.app import app
from uec_retriever.data.stdlib_docs import standard_library_docstrings

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(".cache") / "demo"
DISAGREEMENT = "how do I find the difference between two dates?"
WORD = "CDATA"
ABSENT = "how do I bake sourdough bread?"
LEFT_OUT = ("distutils.", "tkinter.", "turtle.")  # many, and asked for by few: the demo is to be short
LONGEST = 500  # characters of a text
LEAST = "0.33"  # confidence below which the demo refuses to answer
console = Console(highlight=False)


@dataclass(frozen=True)
class Favourite:
    """What one expert makes of a question by itself.

    Attributes:
        expert: its label.
        trust: its coefficient for this question, in [0, 1].
        id: of the text that it puts first.
        place: where it puts the text that the experts together put first, from 1; None if it sees no likeness at all.
    """

    expert: str
    trust: float
    id: str
    place: int | None


def favourites(result: SearchResult) -> list[Favourite]:
    """Each expert's own best text, out of a search with `expert_scores` for all texts.

    Args:
        result: with at least one hit.
    """
    own = {hit.id: hit.expert_scores or {} for hit in result}
    best = result.hits[0].id
    found = []
    for expert, trust in result.coefficients.items():
        scores = {name: each.get(expert, -1.0) for name, each in own.items()}
        place = 1 + sum(score > scores[best] for score in scores.values())
        found.append(
            Favourite(expert, trust, max(scores, key=scores.__getitem__), place if scores[best] > 0 else None)
        )
    return found


def run(*arguments: str) -> None:
    """One `uec` command, shown as it would be typed."""
    console.print(f"\n[bold cyan]$ uec {shlex.join(arguments)}", soft_wrap=True)
    code = app(list(arguments), standalone_mode=False)
    if code:
        console.print(f"(exit code {code})")


def heading(text: str) -> None:
    """What comes next, in a line."""
    console.print()
    console.rule(f"[bold]{text}", align="left")


def show_experts(engine: Engine, question: str) -> None:
    """Each expert's trust and own favourite, and whether they agree."""
    every = engine.count()
    result = engine.search(question, every, candidates=every, expert_scores=True)
    best, found = result.hits[0].id, favourites(result)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("expert")
    table.add_column("trust", justify="right")
    table.add_column("finds by itself")
    table.add_column(f"place of {best.rpartition('.')[2]}", justify="right")
    for each in found:
        table.add_row(each.expert, f"{each.trust:.0%}", each.id, str(each.place or "none"))
    console.print()
    console.print(table)
    right = [each.expert for each in found if each.id == best]
    if not right:
        console.print(f"No expert by itself puts {best} first. Together they do.")
    else:
        console.print(f"Put first together and by {' and '.join(right)} alone: {best}.")


def search(question: str) -> None:
    """Ask by the command line, refusing an answer that is too unsure."""
    run("search", "--index", str(FOLDER / "index"), "-k", "3", "--min-confidence", LEAST, question)


def texts(pattern: str = "**/*.py") -> dict[str, str]:
    """Name -> documentation string.

    Args:
        pattern: which files of the library, as `Path.glob` takes it. Classes of `datetime` are there in any case: since
            Python 3.12 its file says nothing of them.
    """
    found = {f"datetime.{n}": c.__doc__ or "" for n, c in vars(datetime).items() if isinstance(c, type)}
    found |= dict(standard_library_docstrings(pattern))
    return {name: text[:LONGEST] for name, text in found.items() if not name.startswith(LEFT_OUT)}


def prepare() -> None:
    """Make corpus, index and confidence, or what is missing of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    corpus, index = str(FOLDER / "corpus.jsonl"), str(FOLDER / "index")
    documents = texts()
    lines = [json.dumps({"_id": name, "title": name, "text": text}) for name, text in documents.items()]
    Path(corpus).write_text("\n".join(lines) + "\n", encoding="utf-8")
    console.print(f"{len(documents)} documentation strings of Python {sys.version.split()[0]} in {corpus}")
    models = [real_model(name) for name in (MINILM, WORDLLAMA)]
    experts = [f"--expert={os.path.relpath(m) if m.is_relative_to(ROOT) else m}" for m in models]
    run("index", "--index", index, "--corpus", corpus, *experts, "--max-pairs", "240")
    with Engine.open(index) as engine:
        known = engine.ensemble.confidence is not None
    if not known:
        # most questions to a documentation have an answer there
        run("calibrate-confidence", "--index", index, "--max-queries", "160", "--unanswerable", "0.2")


def main() -> None:
    """Make the index, then ask three questions."""
    start = time.monotonic()
    os.chdir(ROOT)
    prepare()
    with Engine.open(FOLDER / "index") as engine:
        heading("1. Experts disagree")
        search(DISAGREEMENT)
        show_experts(engine, DISAGREEMENT)
        heading("2. Only words find it")
        search(WORD)
        show_experts(engine, WORD)
    heading("3. Not in these texts")
    search(ABSENT)
    console.print(f"\ndone in {time.monotonic() - start:.0f} seconds; ask more with the commands above")


if __name__ == "__main__":
    main()
