"""One process of `benchmarks.lexical_engines`: `truth`, `fill`, `look` or `read`; prints figures as JSON."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.lexical_peers import ENGINES, Engine
from benchmarks.lexical_text import draw, passages, queries, truth

WORDS, LIMIT, CHANGES = (5, 20), 30, 9


def main() -> None:
    """Step, engine, folder, passages, queries."""
    step, engine, folder = sys.argv[1:4]
    size, number = map(int, sys.argv[4:])
    steps: dict[str, Callable[[str, Path, int, int], dict[str, Any]]] = {
        "truth": find_truth,
        "fill": fill,
        "look": look,
        "read": read,
    }
    print(json.dumps(steps[step](engine, Path(folder), size, number)))  # noqa: T201


def find_truth(_: str, folder: Path, size: int, number: int) -> dict[str, Any]:
    """Keep the true answers beside the indexes."""
    asked = [q for words in WORDS for q in queries(number, words)]
    kept = folder / "truth.pickle"
    if not kept.exists():
        kept.write_bytes(pickle.dumps(truth(size, asked, LIMIT)))
    return {}


def fill(engine: str, folder: Path, size: int, _: int) -> dict[str, Any]:
    """Index all passages."""
    index = ENGINES[engine](folder)
    start = time.perf_counter()
    index.fill(passages(size))
    return {"build, s": time.perf_counter() - start, "build memory, MB": peak()}


def look(engine: str, folder: Path, size: int, number: int) -> dict[str, Any]:
    """Open, query, change."""
    known = pickle.loads((folder / "truth.pickle").read_bytes())
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    index = ENGINES[engine](folder)
    index.prepare(known.df, size, known.average)
    index.search([0, 1000, 2000], LIMIT)
    figures: dict[str, Any] = {"open, ms": 1e3 * (time.perf_counter() - start)}
    recalls = []
    for place, words in enumerate(WORDS):
        times, cpu = [], []
        for turn in range(2):  # the first turn warms up
            for row, query in enumerate(queries(number, words)):
                start, cpu_start = time.perf_counter(), time.process_time()
                found = index.search(query, LIMIT)
                if turn:
                    times.append(1e3 * (time.perf_counter() - start))
                    cpu.append(1e3 * (time.process_time() - cpu_start))
                    best = known.best[place * number + row]
                    recalls.append(len(set(found) & set(best.tolist())) / len(best))
        figures[f"{words} words, median, ms"] = float(np.median(times))
        figures[f"{words} words, 95 %, ms"] = float(np.quantile(times, 0.95))
        figures[f"{words} words, median, ms of CPU"] = float(np.median(cpu))
        figures[f"{words} words, 95 %, ms of CPU"] = float(np.quantile(cpu, 0.95))
    figures["recall of the true 30"] = float(np.mean(recalls))
    figures["memory, MB"] = (psutil.Process().memory_info().rss - before) / 1e6
    try:
        return figures | change(index, engine, folder, size, known.df)
    except NotImplementedError:
        return figures


def change(index: Engine, engine: str, folder: Path, size: int, df: Any) -> dict[str, Any]:
    """Add and delete single passages, and see whether df follows and another process can read meanwhile."""
    texts = [draw(np.random.default_rng(i), 60).tolist() for i in range(CHANGES)]
    added, deleted = [], []
    for i, text in enumerate(texts):
        start = time.perf_counter()
        index.add(size + i, text)
        added.append(1e3 * (time.perf_counter() - start))
    command = [sys.executable, "-m", "benchmarks.lexical_step", "read", engine, str(folder), str(size), "1"]
    other = subprocess.run(command, capture_output=True, text=True)
    for i in range(CHANGES):
        start = time.perf_counter()
        index.delete(size + i)
        deleted.append(1e3 * (time.perf_counter() - start))
    words = sorted({w for text in texts for w in text})
    exact = all(index.df(w) == df[w] for w in words)
    return {
        "add one, ms": float(np.median(added)),
        "delete one, ms": float(np.median(deleted)),
        "df exact after deletes": exact,
        "read by another process": other.returncode == 0,
    }


def read(engine: str, folder: Path, size: int, _: int) -> dict[str, Any]:
    """Query an index that another process has open and changes."""
    known = pickle.loads((folder / "truth.pickle").read_bytes())
    index = ENGINES[engine](folder)
    index.prepare(known.df, size, known.average)
    if not index.search([0, 1000], LIMIT):
        raise SystemExit("nothing found")
    return {}


def peak() -> float:
    """Most memory that this process has had, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
