"""What the benchmarks share: collections, metrics, and results with their provenance."""

from __future__ import annotations

import csv
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
from ir_measures import nDCG
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from uec_retriever.corpus import Corpus, Document, read_queries

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SEED = 0
Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]
console = Console(width=120, highlight=False)


@dataclass(frozen=True)
class Collection:
    """A test collection in BEIR layout, one split of it."""

    name: str
    split: str
    documents: list[Document]
    queries: dict[str, str]
    qrels: Qrels
    excluded: dict[str, set[str]]


def data_folder() -> Path:
    """Folder of the collections; `UEC_DATA` points elsewhere."""
    return Path(os.environ.get("UEC_DATA", ROOT.parent / "shared" / "data"))


def load_collection(name: str, split: str, *, queries: int | None = None) -> Collection:
    """Read a collection; at most `queries` queries, a random sample."""
    folder = data_folder() / name
    qrels: Qrels = {}
    with (folder / "qrels" / f"{split}.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    chosen = sorted(qrels)
    if queries is not None and queries < len(chosen):
        chosen = sorted(np.random.default_rng(SEED).choice(chosen, queries, replace=False).tolist())
    texts = dict(read_queries(folder))
    excluded: dict[str, set[str]] = {}
    if (folder / "exclude.tsv").is_file():
        with (folder / "exclude.tsv").open(encoding="utf-8") as file:
            for line in csv.reader(file, delimiter="\t"):
                excluded.setdefault(line[0], set()).add(line[1])
    return Collection(
        name,
        split,
        list(Corpus(folder)),
        {q: texts[q] for q in chosen},
        {q: qrels[q] for q in chosen},
        excluded,
    )


def make_run(collection: Collection, scores: NDArray[Any], depth: int = 100) -> Run:
    """Ranking of each query from a `[queries, documents]` score matrix."""
    ids = [d.record.id for d in collection.documents]
    run: Run = {}
    for query, row in zip(collection.queries, scores, strict=True):
        excluded = collection.excluded.get(query, set())
        order = np.argsort(-row, kind="stable")[: depth + len(excluded)]
        run[query] = {ids[i]: float(row[i]) for i in order if ids[i] not in excluded}
    return run


def ndcg_per_query(collection: Collection, run: Run) -> NDArray[np.float64]:
    """nDCG@10 of every query, in their order."""
    found = {m.query_id: m.value for m in ir_measures.iter_calc([nDCG @ 10], collection.qrels, run)}
    return np.array([found.get(query, 0.0) for query in collection.queries])


def bootstrap_interval(values: NDArray[np.float64], samples: int = 2000) -> tuple[float, float]:
    """95 % percentile interval of the mean, by bootstrap over queries."""
    generator = np.random.default_rng(SEED)
    means = [generator.choice(values, len(values)).mean() for _ in range(samples)]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def bootstrap_interval_of(
    statistic: Callable[[NDArray[np.int_]], float], number: int, samples: int = 500
) -> tuple[float, float]:
    """95 % percentile interval of a statistic of the rows it is given, by bootstrap over n queries."""
    generator = np.random.default_rng(SEED)
    values = [statistic(generator.integers(number, size=number)) for _ in range(samples)]
    return float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975))


def _provenance() -> dict[str, Any]:
    """Command, commit, versions and machine behind a result, as they are when a run begins."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    names = ("uec-retriever", "chromadb", "sentence-transformers", "transformers", "torch", "numpy")
    return {
        "command": "python -m " + shlex.join([_module(), *sys.argv[1:]]),
        "commit": commit,
        "versions": {"python": platform.python_version(), **{n: version(n) for n in names}},
        "cpus": os.cpu_count(),
        "seed": SEED,
    }


def save_result(name: str, result: dict[str, Any], out: Path | None = None) -> None:
    """Write `<name>.json` with its provenance."""
    folder = out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.json"
    target.write_text(json.dumps({**_PROVENANCE, **result}, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {target}")


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    table = Table(*columns, title=title, title_justify="left", box=None)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else Path(sys.argv[0]).stem


_PROVENANCE = _provenance()  # at the start: the checkout may move on while a run lasts
