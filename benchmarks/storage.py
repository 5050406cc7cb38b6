"""What keeping every vector costs: disk, memory, adding, opening, querying and repairing, against plain Chroma.

    python -m benchmarks.storage
    python -m benchmarks.storage --sizes 500 1500 --dimension 32 --queries 5    # small
    python -m benchmarks.storage --sizes 10000 100000 1000000 --save-every 50000 --together
    python -m benchmarks.storage --sizes 100000 1000000 --kinds uec    # ours alone

Synthetic unit vectors and texts, as if encoding cost nothing; variances as two experts of rank 32 have them. Plain
Chroma holds the same texts, metadata and vectors. A database grows from size to size; each filling and each opening is
a process of its own, and what was measured is written after each size. `made anew` is the opening after the graph was
lost, which plain Chroma does not survive. `--save-every` is Chroma's `sync_threshold`: how many texts it takes to write
its graph, all of it each time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from benchmarks.common import save_result, show
from benchmarks.timing import growth
from uec_retriever.store.log import ChromaLog

KINDS = ("plain", "uec")
FIGURES = ("add, s", "disk, MB", "open, s", "query, ms", "memory, MB", "made anew, s")
Measured = dict[str, dict[str, list[float | None]]]


def main() -> None:
    """Run, print, save."""
    options = read_options()
    measured: Measured = {kind: {figure: [] for figure in FIGURES} for kind in options.kinds}
    lock = Lock()

    def grow(kind: str) -> None:
        with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
            folder = Path(temporary) / "chroma"
            folder.mkdir()
            added = 0.0
            for before, size in zip([0, *options.sizes], options.sizes, strict=False):
                figures = measure(kind, folder, before, size, options)
                added = figures["add, s"] = added + (figures["add, s"] or 0.0)
                with lock:
                    for figure in FIGURES:
                        measured[kind][figure].append(figures.get(figure))
                    save(measured, options)

    with ThreadPoolExecutor(len(measured) if options.together else 1) as pool:
        list(pool.map(grow, measured))
    columns, rows = table(measured, options.sizes)
    show(f"{options.dimension} dimensions", columns, rows)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 20_000, 80_000], help="texts")
    parser.add_argument("--dimension", type=int, default=640)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument(
        "--save-every", type=int, default=1_000, help="texts between two writings of the graph"
    )
    parser.add_argument(
        "--anew-up-to", type=int, default=100_000, help="largest size whose graph is made anew"
    )
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument(
        "--together", action="store_true", help="both kinds at once, if there are cores for it"
    )
    parser.add_argument("--folder", type=Path, help="where the databases are made")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--name", default="storage", help="of the result file")
    options = parser.parse_args()
    options.sizes.sort()
    return options


def save(measured: Measured, options: argparse.Namespace) -> None:
    """Write what has been measured so far."""
    columns, rows = table(measured, options.sizes)
    told = {
        "kind": "tables",
        "title": "Storage",
        "tables": [{"name": options.name, "title": "Storage", "columns": columns, "rows": rows}],
    }
    save_result(options.name, {**told, "sizes": options.sizes, "measured": measured}, options.out)


def table(measured: Measured, sizes: list[int]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows, a row for each kind and figure."""
    rows = [
        [
            f"{kind}: {figure}",
            *("-" if v is None else f"{v:.3g}" for v in values + [None] * (len(sizes) - len(values))),
            exponent(sizes, values),
        ]
        for kind, figures in measured.items()
        for figure, values in figures.items()
    ]
    return ["", *(f"{size:,} texts" for size in sizes), "exponent"], rows


def exponent(sizes: list[int], values: list[float | None]) -> str:
    """B of `value = a size^b`, over the sizes measured, if these are three or more."""
    known = [(size, v) for size, v in zip(sizes, values, strict=False) if v]
    return f"{growth(*zip(*known, strict=True))['exponent']:.2f}" if len(known) > 2 else "-"


def measure(
    kind: str, folder: Path, before: int, size: int, options: argparse.Namespace
) -> dict[str, float | None]:
    """All figures of one kind at one size, of a database that has grown to the size before."""
    filling = run("fill", kind, folder, before, size, options.dimension, options.save_every)
    figures = filling | run("open", kind, folder, options.dimension, options.queries)
    figures["disk, MB"] = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6
    if kind == "uec" and size <= options.anew_up_to:
        shutil.rmtree(folder / ChromaLog.of(folder, "uec").graph)
        figures["made anew, s"] = run("open", kind, folder, options.dimension, options.queries)["open, s"]
    return figures


def run(*arguments: object) -> dict[str, float | None]:
    """One step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.storage_step", *map(str, arguments)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float | None] = json.loads(result.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
