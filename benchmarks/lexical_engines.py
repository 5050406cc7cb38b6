"""Engines of an inverted index: time, memory, disk, exactness; on passages with Zipf-distributed words.

    python -m benchmarks.lexical_engines --sizes 20000 100000 1000000
    python -m benchmarks.lexical_engines --sizes 2000 --queries 5    # small

Passages of about 60 words of 300,000; queries of 5 and 20 words drawn as passages are, so that some of their words
are in nearly every passage. Each engine is filled, and opened and queried, in processes of its own. Recall is that of
the true BM25 (k1 = .9, b = .4). Other work on the machine disturbs CPU time less than wall time. The file of FTS5 serves both of its ways to query.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import save_result, show
from benchmarks.lexical_peers import ENGINES

SHARED = {"FTS5, pruned": "FTS5"}  # engines on the file of another
SLOWEST = "20 words, median, ms of CPU"
FIGURES = (
    "build, s",
    "build memory, MB",
    "disk, MB",
    "open, ms",
    "5 words, median, ms",
    "5 words, 95 %, ms",
    "5 words, median, ms of CPU",
    "5 words, 95 %, ms of CPU",
    "20 words, median, ms",
    "20 words, 95 %, ms",
    "20 words, median, ms of CPU",
    "20 words, 95 %, ms of CPU",
    "recall of the true 30",
    "memory, MB",
    "add one, ms",
    "delete one, ms",
    "df exact after deletes",
    "read by another process",
)


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000, 1_000_000], help="passages")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--queries", type=int, default=50, help="of each length")
    parser.add_argument(
        "--patience", type=float, default=100, help="ms for 20 words; slower engines get no larger size"
    )
    parser.add_argument("--folder", type=Path, help="keep the indexes there, and use those that are there")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--name", default="lexical_engines", help="of the result file")
    options = parser.parse_args()
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary)
        measured: dict[int, dict[str, dict[str, Any]]] = {}
        engines = options.engines
        for size in options.sizes:
            measured[size] = measure_size(root / str(size), size, engines, options.queries)
            engines = [e for e in engines if measured[size][e][SLOWEST] <= options.patience]
    load.append(os.getloadavg()[0])
    tables = [table(size, by_engine) for size, by_engine in measured.items()]
    told = {"kind": "tables", "title": "Engines of a lexical index", "tables": tables}
    result = {**told, "sizes": options.sizes, "load": load, "cores": os.cpu_count(), "measured": measured}
    save_result(options.name, result, options.out)


def measure_size(root: Path, size: int, engines: list[str], queries: int) -> dict[str, dict[str, Any]]:
    """Engine -> figures, at one size."""
    root.mkdir(parents=True, exist_ok=True)
    run("truth", "-", root, size, queries)
    return {engine: measure(engine, root, size, queries) for engine in engines}


def measure(engine: str, root: Path, size: int, queries: int) -> dict[str, Any]:
    """All figures of one engine."""
    folder = root / SHARED.get(engine, engine)
    folder.mkdir(exist_ok=True)
    (folder / "truth.pickle").write_bytes((root / "truth.pickle").read_bytes())
    filled = folder / "filled.json"
    if not filled.exists():
        filled.write_text(json.dumps(run("fill", engine, folder, size, queries)))
    figures: dict[str, Any] = json.loads(filled.read_text())
    own = [f for f in folder.rglob("*") if f.is_file() and f.name not in ("truth.pickle", filled.name)]
    figures["disk, MB"] = sum(f.stat().st_size for f in own) / 1e6
    return figures | run("look", engine, folder, size, queries)


def run(step: str, engine: str, folder: Path, size: int, queries: int) -> dict[str, Any]:
    """One step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.lexical_step", step, engine, folder, size, queries]
    result = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return figures


def table(size: int, by_engine: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One size, engines in columns; shown, too."""
    rows = [[figure, *(tell(figures.get(figure)) for figures in by_engine.values())] for figure in FIGURES]
    columns, title = ["", *by_engine], f"{size:,} passages"
    show(title, columns, rows)
    return {"name": f"passages_{size}", "title": title, "columns": columns, "rows": rows}


def tell(value: float | bool | None) -> str:
    """A figure as a table shows it."""
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
