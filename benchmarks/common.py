"""What the benchmarks share: collections, metrics, and results with their provenance."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from devtools.models import MINILM, MPNET, WORDLLAMA, real_model
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.evaluation.collection import Collection, load_collection
from uec_retriever.evaluation.members import collection_pairs
from uec_retriever.experts.expert import Expert

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SEED = 0
console = Console(width=120, highlight=False)


def data_folder() -> Path:
    """Folder of the collections; `UEC_DATA` points elsewhere."""
    return Path(os.environ.get("UEC_DATA", ROOT.parent / "shared" / "data"))


def load_set(name: str, split: str, *, queries: int | None = None) -> Collection:
    """One split of a collection; at most `queries` queries, a random sample."""
    return load_collection(data_folder() / name, split).sample(queries, SEED)


def pairs_of(collection: Collection, limit: int = 640) -> CalibrationPairs:
    """Pseudo-pairs of a collection's corpus, the same for every benchmark."""
    return collection_pairs(collection, limit, SEED)


def add_expert_arguments(parser: argparse.ArgumentParser) -> None:
    """`--experts`, real models of different architectures, and `--out`."""
    parser.add_argument(
        "--experts", nargs="+", default=[MINILM, WORDLLAMA], choices=[MINILM, WORDLLAMA, MPNET]
    )
    parser.add_argument("--out", type=Path, help="folder for the JSON")


def add_calibration_arguments(parser: argparse.ArgumentParser, pairs: int) -> None:
    """`--pairs` for the posteriors, and `--temperature`."""
    parser.add_argument("--pairs", type=int, default=pairs, help="at most this many calibration pairs")
    parser.add_argument("--temperature", type=float, help="instead of the one that calibration pairs choose")


def load_experts(names: Sequence[str]) -> list[Expert]:
    """Real models on the CPU, labelled with their names."""
    return [Expert.load(str(real_model(name)), label=name, device="cpu") for name in names]


def bootstrap_interval_of(
    statistic: Callable[[NDArray[np.int_]], float], number: int, samples: int = 500
) -> tuple[float, float]:
    """95 % percentile interval of a statistic of the rows it is given, by bootstrap over n queries."""
    generator = np.random.default_rng(SEED)
    values = [statistic(generator.integers(number, size=number)) for _ in range(samples)]
    return float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975))


def _provenance() -> dict[str, Any]:
    """Command, commit, versions and machine behind a result, as they are when a run begins."""
    commit = _git("describe", "--always", "--abbrev=12")
    if _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"):
        commit += "-dirty"  # results that another benchmark has just written change nothing
    names = ("uec-retriever", "chromadb", "sentence-transformers", "transformers", "torch", "numpy")
    return {
        "command": "python -m " + shlex.join([_module(), *sys.argv[1:]]),
        "commit": commit,
        "versions": {"python": platform.python_version(), **{n: version(n) for n in names}},
        "cpus": os.cpu_count(),
        "seed": SEED,
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()


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
