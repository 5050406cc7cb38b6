"""What the benchmarks share: collections, metrics, and results with their provenance."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from devtools.models import MINILM, MPNET, WORDLLAMA, real_model
from uec_retriever.cli.common import finite
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.evaluation.collection import Collection, load_collection
from uec_retriever.evaluation.expert_set import collection_pairs
from uec_retriever.evaluation.provenance import provenance, write_result
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


def save_result(name: str, result: dict[str, Any], out: Path | None = None) -> None:
    """Write `<name>.json` with its provenance; an infinite T becomes a string, as JSON has none."""
    content = finite({**PROVENANCE, **result})
    console.print(f"written to {write_result(out or RESULTS, name, content)}")


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    table = Table(*columns, title=title, title_justify="left", box=None)
    for row in rows:
        table.add_row(*row)
    console.print(table)


# at the start: the checkout may move on while a run lasts
PROVENANCE = provenance(SEED, ignored="benchmarks/results")
