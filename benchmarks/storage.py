"""What keeping every vector costs: disk, memory, adding, opening, querying and repairing, against plain Chroma.

    python -m benchmarks.storage
    python -m benchmarks.storage --sizes 500 1500 --dimension 32 --queries 5    # small

Synthetic unit vectors and texts, as if encoding cost nothing; variances as two experts of rank 32 have them. Plain
Chroma holds the same texts, metadata and vectors. Each size is filled, opened and queried in processes of its own.
`made anew` is the opening after the graph was lost, which plain Chroma does not survive.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import save_result, show
from benchmarks.timing import growth
from uec_retriever.store.log import ChromaLog

KINDS = ("plain", "uec")
FIGURES = ("add, s", "disk, MB", "open, s", "query, ms", "memory, MB", "made anew, s")


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 20_000, 80_000], help="texts")
    parser.add_argument("--dimension", type=int, default=640)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--name", default="storage", help="of the result file")
    options = parser.parse_args()
    measured: dict[str, dict[str, list[float | None]]] = {k: {f: [] for f in FIGURES} for k in KINDS}
    for size in options.sizes:
        for kind in KINDS:
            for figure, value in measure(kind, size, options).items():
                measured[kind][figure].append(value)
    rows = [
        [
            f"{kind}: {figure}",
            *("-" if v is None else f"{v:.3g}" for v in values),
            exponent(options.sizes, values),
        ]
        for kind in KINDS
        for figure, values in measured[kind].items()
    ]
    columns = ["", *(f"{size:,} texts" for size in options.sizes), "exponent"]
    show(f"{options.dimension} dimensions", columns, rows)
    told = {
        "kind": "tables",
        "title": "Storage",
        "tables": [{"name": "storage", "title": "Storage", "columns": columns, "rows": rows}],
    }
    save_result(options.name, {**told, "sizes": options.sizes, "measured": measured}, options.out)


def exponent(sizes: list[int], values: list[float | None]) -> str:
    """B of `value = a size^b`, where all were measured at three sizes or more."""
    known = [v for v in values if v]
    return f"{growth(sizes, known)['exponent']:.2f}" if len(known) == len(sizes) > 2 else "-"


def measure(kind: str, size: int, options: argparse.Namespace) -> dict[str, float | None]:
    """All figures of one kind at one size."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "chroma"
        folder.mkdir()
        figures = run("fill", kind, folder, size, options) | run("open", kind, folder, size, options)
        figures["disk, MB"] = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6
        if kind == "uec":
            shutil.rmtree(folder / ChromaLog.of(folder, "uec").graph)
            figures["made anew, s"] = run("open", kind, folder, size, options)["open, s"]
        return {figure: figures.get(figure) for figure in FIGURES}


def run(
    step: str, kind: str, folder: Path, size: int, options: argparse.Namespace
) -> dict[str, float | None]:
    """One step in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.storage_step",
        step,
        kind,
        folder,
        size,
        options.dimension,
        options.queries,
    ]
    result = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    figures: dict[str, float | None] = json.loads(result.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
