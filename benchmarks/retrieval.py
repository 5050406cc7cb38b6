"""nDCG@10 of each single expert, the uniform ensemble, and UEC with either structure, side by side.

    python -m benchmarks.retrieval                      # the four sets of the README's table
    python -m benchmarks.retrieval --sets metatool --queries 50 --documents 100

Posteriors are fitted on pseudo-pairs of each corpus, no label is used; the temperature is chosen on
held-out pseudo-pairs. Documents and queries are encoded once, all methods score the same vectors
exactly (no approximate index). Report on `test`; `--split train` is for choosing.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import (
    Collection,
    bootstrap_interval,
    console,
    load_collection,
    make_run,
    ndcg_per_query,
    save_result,
    show,
)
from devtools.models import MINILM, MPNET, WORDLLAMA, real_model
from uec_retriever.encoders.expert import Expert, Linearised
from uec_retriever.ensemble import fuse_documents, fuse_queries
from uec_retriever.ensemble_calibration import calibrate
from uec_retriever.fitting import Reference, fit_posterior
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.pairs import CalibrationPairs, pseudo_pairs
from uec_retriever.similarity import moments, probit_score
from uec_retriever.store.manifest import ExpertEntry, Manifest

SETS = ("cranfield", "scifact_partial", "covidqa", "metatool")
STRUCTURES = ("diag", "kron")
FIXED_TEMPERATURE = 0.2


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--experts", nargs="+", default=[MINILM, WORDLLAMA], choices=[MINILM, WORDLLAMA, MPNET]
    )
    parser.add_argument("--queries", type=int, help="at most this many queries of each set")
    parser.add_argument("--documents", type=int, help="at most this many documents of each set")
    parser.add_argument("--max-pairs", type=int, default=640)
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    arguments = parser.parse_args()
    experts = [Expert.load(str(real_model(name)), label=name, device="cpu") for name in arguments.experts]
    results = {}
    for name in arguments.sets:
        start = time.monotonic()
        collection = load_collection(name, arguments.split, queries=arguments.queries)
        if arguments.documents:
            collection = replace(collection, documents=collection.documents[: arguments.documents])
        results[name] = evaluate(collection, experts, arguments.max_pairs)
        console.print(f"{name}: {time.monotonic() - start:.0f} s")
    methods = list(next(iter(results.values()))["methods"])
    rows = []
    for method in methods:
        cells = [results[name]["methods"][method] for name in arguments.sets]
        mean = np.mean([cell["ndcg@10"] for cell in cells])
        rows.append(
            [method, *(f"{c['ndcg@10']:.3f} [{c['low']:.3f}, {c['high']:.3f}]" for c in cells), f"{mean:.4f}"]
        )
    show(f"nDCG@10 [95 % interval], {arguments.split} split", ["method", *arguments.sets, "mean"], rows)
    save_result("retrieval", {"split": arguments.split, "sets": results}, arguments.out)


def evaluate(collection: Collection, experts: list[Expert], max_pairs: int) -> dict[str, Any]:
    """Every method on one collection."""
    pairs = pseudo_pairs(
        [d.body for d in collection.documents], [d.title for d in collection.documents], limit=max_pairs
    )
    texts = [d.record.text for d in collection.documents]
    linearised = [
        (e.linearise(list(collection.queries.values()), "query"), e.linearise(texts, "document"))
        for e in experts
    ]
    methods: dict[str, Array] = {}
    chosen: dict[str, Any] = {}
    for structure in STRUCTURES:
        queries, documents, manifest = _fit(experts, pairs, linearised, structure)
        if not methods:
            for expert, q, d in zip(experts, queries, documents, strict=True):
                methods[expert.label] = q.mean @ d.mean.T
            methods["uniform ensemble"] = np.sum(
                [q.mean @ d.mean.T for q, d in zip(queries, documents, strict=True)], axis=0
            )
        methods[f"UEC {structure}"] = _score(queries, documents, manifest)
        fixed = replace(manifest, temperature=FIXED_TEMPERATURE)
        methods[f"UEC {structure}, T = {FIXED_TEMPERATURE}"] = _score(queries, documents, fixed)
        methods[f"UEC {structure}, cosine only"] = _score(queries, documents, manifest, similarity=False)
        chosen[structure] = {
            "temperature": manifest.temperature,
            "prior": {e.label: e.prior for e in manifest.experts},
        }
    report = {}
    for method, scores in methods.items():
        values = ndcg_per_query(collection, make_run(collection, scores))
        low, high = bootstrap_interval(values)
        report[method] = {"ndcg@10": float(values.mean()), "low": low, "high": high}
    return {
        "documents": len(texts),
        "queries": len(collection.queries),
        "pairs": len(pairs),
        "pairs_from": pairs.source,
        "chosen": chosen,
        "methods": report,
    }


def _fit(
    experts: list[Expert],
    pairs: CalibrationPairs,
    linearised: list[tuple[Linearised, Linearised]],
    structure: str,
) -> tuple[list[GaussianEmbedding], list[GaussianEmbedding], Manifest]:
    """Posteriors of one structure, and the encoded texts' Gaussians under them."""
    queries, documents, references, entries = [], [], list[Reference](), []
    for expert, (query_texts, document_texts) in zip(experts, linearised, strict=True):
        references.append(fit_posterior(expert, pairs, structure=structure).reference)
        with torch.no_grad():
            queries.append(expert.gaussian(query_texts))
            documents.append(expert.gaussian(document_texts))
        entries.append(ExpertEntry(expert.label, expert.name, "", expert.dimension, structure, "", 0, 0, 1))
    manifest = Manifest(tuple(entries), "block", 1.0, pairs.source)
    return queries, documents, calibrate(manifest, references, None)


def _score(
    queries: list[GaussianEmbedding],
    documents: list[GaussianEmbedding],
    manifest: Manifest,
    *,
    similarity: bool = True,
) -> Array:
    fused_queries, _ = fuse_queries(queries, manifest)
    fused_documents, _ = fuse_documents(documents, manifest)
    mean, variance = moments(fused_queries, fused_documents)
    return probit_score(mean, variance) if similarity else mean


if __name__ == "__main__":
    main()
