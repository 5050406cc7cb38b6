"""One process of `benchmarks.storage`: `fill` or `open` a database, and print figures. It loads no model and no torch."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings

from uec_retriever.data.records import Record
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.manifest import ExpertEntry, Manifest

CHUNK, CANDIDATES, RANK = 256, 30, 32


def main() -> None:
    """`fill` or `open`, `plain` or `uec`, folder, texts, dimensions and queries."""
    step, kind, folder = sys.argv[1:4]
    size, dimension, queries = map(int, sys.argv[4:])
    figures = (
        fill(kind, Path(folder), size, dimension)
        if step == "fill"
        else look(kind, Path(folder), dimension, queries)
    )
    print(json.dumps(figures))  # noqa: T201


def fill(kind: str, folder: Path, size: int, dimension: int) -> dict[str, float]:
    """Add all texts."""
    start = time.perf_counter()
    if kind == "plain":
        collection = plain_client(folder).create_collection(
            "uec", configuration={"hnsw": {"space": "ip", "ef_search": 200}}
        )
        for records, vectors in chunks(size, dimension):
            collection.add(
                [r.id for r in records],
                vectors,
                [dict(r.metadata) for r in records],
                [r.text for r in records],
            )
    else:
        entry = ExpertEntry("a", "/a", "f", dimension, "kron", "0" * 64, -1.0, -2.0, 1.0)
        store = ChromaStore.create(connect(folder), "uec", Manifest((entry,), "block", 0.5, "none"), folder)
        for records, vectors in chunks(size, dimension):
            store.put(records, vectors, ["v" * (RANK * 2 * 8 * 4 // 3)] * len(records), replaced={})
        store.compact()
    return {"add, s": time.perf_counter() - start}


def look(kind: str, folder: Path, dimension: int, number: int) -> dict[str, float]:
    """Open, and query some times."""
    queries = unit_vectors(number + 1, dimension, -1)
    start = time.perf_counter()
    if kind == "plain":
        collection = plain_client(folder).get_collection("uec")

        def query(vector: Array) -> Any:
            return collection.query(vector, n_results=CANDIDATES)
    else:
        store, _ = ChromaStore.open(connect(folder), "uec", folder)

        def query(vector: Array) -> Any:
            return store.query(vector, CANDIDATES)

    query(queries[:1])
    opened = time.perf_counter() - start
    times = []
    for row in range(1, len(queries)):
        start = time.perf_counter()
        query(queries[row : row + 1])
        times.append(time.perf_counter() - start)
    return {"open, s": opened, "query, ms": 1e3 * statistics.median(times), "memory, MB": peak_memory()}


def peak_memory() -> float:
    """MB that this process has held at most; `getrusage` would count the process that started it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split("VmHWM:")[1].split()[0]) / 1e3


def plain_client(folder: Path) -> Any:
    """Chroma as it comes."""
    return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))


def chunks(size: int, dimension: int) -> Iterator[tuple[list[Record], Array]]:
    """Records and their vectors, a chunk at a time."""
    generator = np.random.default_rng(0)
    words = [f"word{i}" for i in range(5000)]
    for start in range(0, size, CHUNK):
        numbers = range(start, min(start + CHUNK, size))
        texts = [" ".join(generator.choice(words, 40)) for _ in numbers]
        records = [Record(f"{i:08}", text, {"n": i}) for i, text in zip(numbers, texts, strict=True)]
        yield records, unit_vectors(len(records), dimension, start)


def unit_vectors(number: int, dimension: int, seed: int) -> Array:
    """`[number, dimension]` random directions, float32."""
    drawn = np.random.default_rng(seed + 1).standard_normal((number, dimension), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


if __name__ == "__main__":
    main()
