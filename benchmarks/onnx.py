"""MiniLM under torch and as ONNX files: queries, indexing and quality.

    python -m benchmarks.onnx
    python -m benchmarks.onnx --sets metatool --limit 20 --documents 40 --repeats 1   # small

All ways embed the same texts in turn, through the experts that an engine would use. Other work on the machine disturbs
CPU time less than wall time. Queries are the first 10 words of passages, passages to index 128 tokens long.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import SEED, load_set, save_result, show
from benchmarks.timing import Stopwatch
from devtools.models import MINILM, real_model
from uec_retriever.evaluation.bootstrap import Values, compare, resample_means
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.collection_encoder import unit_means
from uec_retriever.evaluation.exact import mask_passages, rank
from uec_retriever.evaluation.metrics import NDCG, rank_metrics
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.head import Role
from uec_retriever.experts.loading import load_model
from uec_retriever.experts.onnx_export import export_onnx
from uec_retriever.gaussian import Array

BASE = "torch"
SPEED = ("torch, last layer", BASE, "ONNX", "ONNX int8")  # ways whose speed is told
QUALITY = SPEED[1:]  # the last layer gives the same embeddings
_WORDS, _TOKENS, _BATCH = 10, 128, 32


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["cranfield", "hotpotqa_100", "techqa_130"])
    parser.add_argument("--limit", type=int, default=150, help="queries of a set")
    parser.add_argument("--documents", type=int, default=1000, help="passages of a set")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    options = parser.parse_args()
    load = [os.getloadavg()[0]]
    collections = [
        load_set(n, "test", queries=options.limit).shorten(options.documents) for n in options.sets
    ]
    with tempfile.TemporaryDirectory() as folder:
        experts, sizes = load_ways(Path(folder))
        speed = measure_speed(experts, collections[0].texts, options.repeats)
        quality = {c.name: measure_quality(experts, c) for c in collections}
    cells = quality_cells(quality)
    load.append(os.getloadavg()[0])
    tables = [speed_table(speed, sizes), quality_table(cells)]
    told = {"kind": "tables", "title": "MiniLM as ONNX files", "split": "test", "tables": tables}
    setting = {"load": load, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "sizes_mb": sizes}
    save_result("onnx", {**told, **setting, "speed": speed, "quality": cells}, options.out)


def load_ways(folder: Path) -> tuple[dict[str, Expert], dict[str, float]]:
    """Experts, and megabytes of their weights."""
    source = real_model(MINILM)
    model = load_model(str(source), device="cpu")
    export_onnx(model, folder / "whole")
    export_onnx(model, folder / "int8", quantise="int8")
    experts = [
        Expert(model, MINILM),
        Expert.load(str(source), device="cpu", head="identity"),
        Expert.load(f"onnx:{folder / 'whole'}"),
        Expert.load(f"onnx:{folder / 'int8'}"),
    ]
    files = [source / "model.safetensors"] * 2 + [
        folder / kind / "onnx" / "model.onnx" for kind in ("whole", "int8")
    ]
    sizes = [file.stat().st_size / 1e6 for file in files]
    return dict(zip(SPEED, experts, strict=True)), dict(zip(SPEED, sizes, strict=True))


def measure_speed(
    experts: dict[str, Expert], texts: Sequence[str], repeats: int
) -> dict[str, dict[str, float]]:
    """Way -> milliseconds of a query and passages a second, by either clock; each way in turn."""
    tokenizer = experts[BASE].model.tokenizer
    queries = [" ".join(text.split()[:_WORDS]) for text in texts[:20]]
    long = " ".join(texts[: 3 * _BATCH])
    ids = tokenizer(long, add_special_tokens=False, verbose=False)["input_ids"]
    passages = [tokenizer.decode(ids[i * _TOKENS : (i + 1) * _TOKENS - 2]) for i in range(_BATCH)]
    passages = [p for p in passages if p]
    wall, cpu = Stopwatch(), Stopwatch(clock=time.process_time)

    def measure(stage: str, expert: Expert, part: list[str], role: Role) -> None:
        wall.time(stage, cpu.time, stage, partial(expert.linearise, part, role))

    for _ in range(repeats + 1):
        for query in queries:
            for way, expert in experts.items():
                measure(f"{way}: query", expert, [query], "query")
        for way, expert in experts.items():
            measure(f"{way}: passages", expert, passages, "document")
    found: dict[str, dict[str, float]] = {way: {} for way in experts}
    for clock, watch in (("CPU", cpu), ("wall", wall)):
        for way in experts:  # the first round warms up
            single = np.median(watch.milliseconds[f"{way}: query"][len(queries) :])
            batch = np.median(watch.milliseconds[f"{way}: passages"][1:])
            found[way] |= {
                f"query, ms, {clock}": float(single),
                f"passages a second, {clock}": 1e3 * len(passages) / float(batch),
            }
    return found


def measure_quality(experts: dict[str, Expert], collection: Collection) -> dict[str, Values]:
    """Way -> nDCG@10 of each query."""
    found = {}
    for way in QUALITY:
        documents = unit_means(experts[way], collection.texts, "document")
        queries = unit_means(experts[way], [q.text for q in collection.queries], "query")

        def score(rows: slice, queries: Array = queries, documents: Array = documents) -> Array:
            return np.asarray(queries[rows] @ documents.T)

        barred = mask_passages(collection, "corpus")
        ranked = rank({way: score}, len(queries), len(documents), barred=barred)[way].ids(collection)
        found[way] = rank_metrics(collection.queries, ranked, [NDCG])[NDCG]
    return found


def quality_cells(quality: dict[str, dict[str, Values]]) -> dict[str, dict[str, Any]]:
    """Set, and the mean over sets, -> way -> value, interval, and paired difference to torch."""

    def cells(parts: Sequence[dict[str, Values]]) -> dict[str, Any]:
        values = {way: float(np.mean([part[way].mean() for part in parts])) for way in QUALITY}
        draws = {way: np.mean([resample_means(part[way], SEED) for part in parts], axis=0) for way in QUALITY}
        return {way: compare(values[way], draws[way], values[BASE], draws[BASE]) for way in QUALITY}

    return {name: cells([part]) for name, part in quality.items()} | {"mean": cells(list(quality.values()))}


def speed_table(speed: dict[str, dict[str, float]], sizes: dict[str, float]) -> dict[str, Any]:
    """Ways in columns; shown, too."""
    rows = [
        [figure, *(f"{of[figure]:.3g}" for of in speed.values())] for figure in next(iter(speed.values()))
    ]
    rows.append(["weights, MB", *(f"{size:.0f}" for size in sizes.values())])
    return _shown(
        "speed", f"MiniLM, queries of {_WORDS} words and passages of {_TOKENS} tokens", ["", *speed], rows
    )


def quality_table(cells: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """nDCG@10 of each way, and int8's difference to torch with its interval; shown, too."""
    rows = []
    for name, of in cells.items():
        difference = of[QUALITY[-1]]["difference"]
        told = "{mean:+.4f} [{low:+.4f}, {high:+.4f}]".format(**difference)
        rows.append([name, *(f"{of[way]['mean']:.4f}" for way in QUALITY), told])
    return _shown("ndcg10", "nDCG@10", ["set", *QUALITY, "int8 against torch"], rows)


def _shown(name: str, title: str, columns: list[str], rows: list[list[str]]) -> dict[str, Any]:
    show(title, columns, rows)
    return {"name": name, "title": title, "columns": columns, "rows": rows}


if __name__ == "__main__":
    main()
