"""Indexing, query, disk and memory beside plain sentence-transformers and Chroma, as ratios in one run.

    python -m benchmarks.efficiency
    python -m benchmarks.efficiency --texts 64 --repeats 1 --queries 10 --records 500   # small

Both sides do the same work in turn (A B A B ...): the same experts, texts, batches and Chroma settings.
Texts come from a test collection (`--set`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings
from sentence_transformers import SentenceTransformer

from benchmarks.common import SEED, console, load_set, save_result, show
from benchmarks.timing import Stopwatch, median, unit_vectors
from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever.data.pairs import pseudo_pairs
from uec_retriever.engine.add import CHUNK
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.location import Location
from uec_retriever.engine.search import DEFAULT_CANDIDATES
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore

ENSEMBLES = {"WordLlama": (WORDLLAMA,), "MiniLM": (MINILM,), "MiniLM + WordLlama": (MINILM, WORDLLAMA)}


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", default="cranfield")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--records", type=int, default=20000, help="synthetic records for disk and memory")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    collection = load_set(arguments.set, "test", queries=arguments.queries)
    texts = list(collection.texts[: arguments.texts])
    queries = [q.text for q in collection.queries]
    result: dict[str, Any] = {"texts": len(texts), "queries": len(queries)}
    for name, models in ENSEMBLES.items():
        with tempfile.TemporaryDirectory() as folder:
            engine = _engine(Path(folder), models, texts)
            indexing = measure_indexing(engine, Path(folder), models, texts, arguments.repeats)
            query = measure_queries(engine, models, queries)
        result[name] = {"indexing": indexing, "query": query}
        _show(name, indexing, query)
    result["disk"] = measure_disk(arguments.records)
    result["memory"] = measure_memory(arguments.records)
    save_result("efficiency", result, arguments.out)


def _engine(folder: Path, models: tuple[str, ...], texts: list[str]) -> Engine:
    experts = [Expert.load(str(real_model(m)), device="cpu") for m in models]
    return Engine.create(folder / "index", experts, pseudo_pairs(texts))


def _empty_copy(engine: Engine, path: Path) -> Engine:
    """An empty index with the same experts and manifest."""
    folder = IndexFolder(Location(path))
    store = ChromaStore.create(folder.client(), folder.location.collection, engine.manifest)
    return Engine(engine.ensemble, store, folder)


def _plain_collection(folder: str) -> Any:
    client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
    configuration: Any = {"hnsw": {"space": "ip", "ef_search": 200}}
    return client.create_collection("plain", embedding_function=None, configuration=configuration)


def measure_indexing(
    engine: Engine, folder: Path, models: tuple[str, ...], texts: list[str], repeats: int
) -> dict[str, Any]:
    """Texts a second of `Engine.add` and of `SentenceTransformer.encode` plus `Collection.add`."""
    plain_models = [SentenceTransformer(str(real_model(m)), device="cpu") for m in models]
    ours, plain = [], []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        collection = _plain_collection(str(folder / f"plain{repeat}"))
        for first in range(0, len(texts), CHUNK):
            part = texts[first : first + CHUNK]
            blocks = [m.encode_document(part, batch_size=32, normalize_embeddings=True) for m in plain_models]
            collection.add(
                ids=[str(i) for i in range(first, first + len(part))],
                embeddings=np.concatenate(blocks, axis=1),
                documents=part,
            )
        plain.append(len(texts) / (time.perf_counter() - start))
        fresh = _empty_copy(engine, folder / f"ours{repeat}") if repeat < repeats else engine
        start = time.perf_counter()
        fresh.add(texts, ids=[str(i) for i in range(len(texts))])
        ours.append(len(texts) / (time.perf_counter() - start))
    ratios = [a / b for a, b in zip(ours[1:], plain[1:], strict=True)]  # the first round warms up
    return {"ours_per_s": median(ours[1:]), "plain_per_s": median(plain[1:]), "ratio": median(ratios)}


def measure_queries(engine: Engine, models: tuple[str, ...], queries: list[str]) -> dict[str, Any]:
    """Milliseconds of a query by stage, and the ratio to its plain parts."""
    plain_models = [SentenceTransformer(str(real_model(m)), device="cpu") for m in models]
    collection = engine.store.collection
    watch = Stopwatch()

    def encode(query: str) -> Any:
        return [m.encode_query([query], normalize_embeddings=True) for m in plain_models]

    include: Any = ["documents", "metadatas", "distances"]
    for query in [*queries[:5], *queries]:  # the first ones warm up
        vector = np.concatenate(watch.time("plain encode", encode, query), axis=1)
        for number in (10, DEFAULT_CANDIDATES):
            watch.time(
                f"plain Chroma, {number}",
                collection.query,
                query_embeddings=vector,
                n_results=number,
                include=include,
            )
        found = watch.time("UEC, whole", engine.search, query, 10)
        for stage, seconds in found.seconds.items():
            watch.add(f"UEC {stage}", seconds)
        hundred = watch.time("UEC, whole, 100 candidates", engine.search, query, 10, candidates=100)
        watch.add("UEC rescore, 100 candidates", hundred.seconds["rescore"])
    milliseconds = watch.medians(skip=5)
    same = milliseconds["plain encode"] + milliseconds[f"plain Chroma, {DEFAULT_CANDIDATES}"]
    ten = milliseconds["plain encode"] + milliseconds["plain Chroma, 10"]
    share = milliseconds["UEC rescore, 100 candidates"] / milliseconds["UEC, whole, 100 candidates"]
    return {
        "milliseconds": milliseconds,
        "ratio_to_plain_10": milliseconds["UEC, whole"] / ten,
        "ratio_to_plain_same_candidates": milliseconds["UEC, whole"] / same,
        "rescoring_share_of_100": share,
    }


def measure_disk(records: int) -> list[dict[str, Any]]:
    """Bytes on disk with and without variances, of the same means and texts, for growing N."""
    rows = []
    for number in _sizes(records):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            engine = _engine(root, (MINILM, WORDLLAMA), _sentences(640))
            vectors, texts = _synthetic(number, 640)
            collection = _plain_collection(str(root / "plain"))
            variances = engine.ensemble.codec.to_strings(_random_codes(engine, number))
            from uec_retriever.data.records import Record

            for first in range(0, number, 1000):
                rows_slice = slice(first, min(first + 1000, number))
                ids = [str(i) for i in range(rows_slice.start, rows_slice.stop)]
                collection.add(ids=ids, embeddings=vectors[rows_slice], documents=texts[rows_slice])
                part = [Record(i, t) for i, t in zip(ids, texts[rows_slice], strict=True)]
                engine.store.put(part, vectors[rows_slice], variances[rows_slice])
            plain, ours = _size(root / "plain"), _size(root / "index" / "chroma")
            posteriors = _size(root / "index" / "posteriors")
        rows.append(
            {
                "records": number,
                "plain_bytes": plain,
                "chroma_bytes": ours,
                "posterior_bytes": posteriors,
                "ratio": (ours + posteriors) / plain,
            }
        )
    show(
        "disk, 640 dimensions",
        ["records", "plain Chroma MB", "UEC's Chroma MB", "posterior files MB", "ratio"],
        [
            [
                str(r["records"]),
                f"{r['plain_bytes'] / 1e6:.1f}",
                f"{r['chroma_bytes'] / 1e6:.1f}",
                f"{r['posterior_bytes'] / 1e6:.1f}",
                f"{r['ratio']:.2f}",
            ]
            for r in rows
        ],
    )
    return rows


def measure_memory(records: int) -> list[dict[str, Any]]:
    """Peak memory of a process that indexes N texts, and of one that adds the same vectors to plain Chroma."""
    rows = []
    for number in _sizes(records):
        peaks = {
            side: float(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.memory_probe", side, str(number)],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout.split()[-1]
            )
            for side in ("uec", "plain")
        }
        rows.append({"records": number, **{f"{side}_mb": peak for side, peak in peaks.items()}})
    show(
        "peak memory while indexing, WordLlama",
        ["records", "UEC MB", "plain MB"],
        [[str(r["records"]), f"{r['uec_mb']:.0f}", f"{r['plain_mb']:.0f}"] for r in rows],
    )
    return rows


def _sizes(records: int) -> list[int]:
    """A tenth and the whole, unless that is small."""
    return [records // 10, records] if records >= 1000 else [records]


def _sentences(number: int) -> list[str]:
    generator = np.random.default_rng(SEED)
    words = [f"word{i}" for i in range(500)]
    return [
        f"{' '.join(generator.choice(words, 8))}. {' '.join(generator.choice(words, 20))}."
        for _ in range(number)
    ]


def _synthetic(number: int, dimension: int) -> tuple[Array, list[str]]:
    return unit_vectors(number, dimension), [
        f"text {i} " + "lorem ipsum dolor sit amet " * 20 for i in range(number)
    ]


def _random_codes(engine: Engine, number: int) -> Any:
    from uec_retriever.store.codec import CodedVariances

    generator = np.random.default_rng(SEED)
    rank = engine.ensemble.codec.rank
    return CodedVariances(generator.random((number, rank)), generator.random((number, rank)))


def _size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def _show(name: str, indexing: dict[str, Any], query: dict[str, Any]) -> None:
    console.print(
        f"\n{name}: indexing {indexing['ours_per_s']:.1f} texts/s, plain {indexing['plain_per_s']:.1f}, "
        f"ratio {indexing['ratio']:.2f}"
    )
    show(
        f"{name}: median milliseconds of a query",
        ["stage", "ms"],
        [[stage, f"{value:.2f}"] for stage, value in query["milliseconds"].items()],
    )
    console.print(
        f"whole query / (plain encode + plain Chroma with 10 hits) = {query['ratio_to_plain_10']:.2f}, "
        f"with as many candidates = {query['ratio_to_plain_same_candidates']:.2f}; "
        f"rescoring 100 candidates = {query['rescoring_share_of_100']:.1%} of the query"
    )


if __name__ == "__main__":
    main()
