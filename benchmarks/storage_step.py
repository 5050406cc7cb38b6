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
from uec_retriever.store.connection import close, connect
from uec_retriever.store.manifest import ExpertEntry, Manifest

CHUNK, CANDIDATES, RANK, PACE = 256, 30, 32, 20_000


def main() -> None:
    """`fill KIND FOLDER BEFORE SIZE DIMENSION SAVE_EVERY` or `open KIND FOLDER DIMENSION QUERIES`."""
    step, kind, folder = sys.argv[1:4]
    numbers = list(map(int, sys.argv[4:]))
    figures = fill(kind, Path(folder), *numbers) if step == "fill" else look(kind, Path(folder), *numbers)
    print(json.dumps(figures))  # noqa: T201


def fill(
    kind: str, folder: Path, before: int, size: int, dimension: int, save_every: int
) -> dict[str, float]:
    """Add the texts from number `before` up to `size`; the database is made if there is none."""
    settings = {"space": "ip", "ef_search": 200, "sync_threshold": save_every}
    if not before and kind == "plain":
        plain_client(folder).create_collection("uec", configuration={"hnsw": settings})
    elif not before:
        entry = ExpertEntry("a", "/a", "f", dimension, "kron", "0" * 64, -1.0, -2.0, 1.0)
        client = connect(folder)
        ChromaStore.create(client, "uec", Manifest((entry,), "block", 0.5, "none"), folder)
        client.get_collection("uec").modify(configuration={"hnsw": {"sync_threshold": save_every}})
        close(client)
    start = time.perf_counter()
    if kind == "plain":
        collection = plain_client(folder).get_collection("uec")
        for records, vectors in chunks(before, size, dimension):
            collection.add(
                [r.id for r in records],
                vectors,
                [dict(r.metadata) for r in records],
                [r.text for r in records],
            )
    else:
        store, _ = ChromaStore.open(connect(folder), "uec", folder)
        for records, vectors in chunks(before, size, dimension):
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


def chunks(before: int, size: int, dimension: int) -> Iterator[tuple[list[Record], Array]]:
    """Records and their vectors, a chunk at a time."""
    words = [f"word{i}" for i in range(5000)]
    for start in range(before, size, CHUNK):
        generator = np.random.default_rng(start)
        numbers = range(start, min(start + CHUNK, size))
        texts = [" ".join(generator.choice(words, 40)) for _ in numbers]
        records = [Record(f"{i:08}", text, {"n": i}) for i, text in zip(numbers, texts, strict=True)]
        yield records, unit_vectors(len(records), dimension, start)
        if start // PACE != (start + CHUNK) // PACE:
            print(f"{start + CHUNK} texts, {time.process_time():.0f} s", file=sys.stderr)  # noqa: T201


def unit_vectors(number: int, dimension: int, seed: int) -> Array:
    """`[number, dimension]` random directions, float32."""
    drawn = np.random.default_rng(seed + 1).standard_normal((number, dimension), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


if __name__ == "__main__":
    main()
