"""Coverage: does split conformal prediction keep what it promises, and with how many hits?

    python -m benchmarks.coverage
    python -m benchmarks.coverage --experts all-MiniLM-L6-v2 wordllama-256 --name coverage_minilm

Each labelled query is searched once. Then its collection is split at random, `--splits` times: n queries are the labelled
ones that a threshold is read from, the others are asked. For each nonconformity (`uec_retriever.confidence.conformal`):

- `coverage`: share of the queries asked with a right text among the hits returned, mean over splits. Kept means not below
  the promise by more than two standard errors of that mean over splits; ties may lift it above.
- `size`: hits returned, mean over queries and splits.
- `ratio`: that size over the number of hits, the same for every query, of equal coverage on the same queries. A fraction
  between two numbers stands for a mixture of both.

`NONCONFORMITY`, which searches take unless told otherwise, was chosen on the train splits.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import SEED, console, load_experts, load_set, save_result, show
from benchmarks.confidence import open_or_make
from devtools.models import MINILM, MPNET, WORDLLAMA
from uec_retriever.confidence.conformal import NONCONFORMITIES, CoverageModel, nonconformities
from uec_retriever.engine.engine import Engine
from uec_retriever.evaluation.collection import Collection
from uec_retriever.gaussian import Array

TRAIN = ("covidqa", "metatool", "policyqa", "pubmedqa", "qasper_dev_evidence")
TEST = (*TRAIN, "cranfield", "scifact_partial", "techqa_130")
LABELLED = (100, 200, 500)
COVERAGES = (0.8, 0.9, 0.95)
CANDIDATES = 100
_LEAST_ASKED = 100  # queries; fewer tell little about a coverage
_BATCH = 64


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experts", nargs="+", default=[WORDLLAMA], choices=[MINILM, WORDLLAMA, MPNET])
    parser.add_argument("--train-sets", nargs="*", default=list(TRAIN))
    parser.add_argument("--test-sets", nargs="*", default=list(TEST))
    parser.add_argument("--queries", type=int, default=1000, help="at most this many of each split")
    parser.add_argument("--pairs", type=int, default=640, help="at most this many calibration pairs")
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--name", default="coverage", help="of the result file")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    options = parser.parse_args()
    experts = load_experts(options.experts)
    measured: dict[str, dict[str, Any]] = {"train": {}, "test": {}}
    with tempfile.TemporaryDirectory() as folder:
        for split, names in (("train", options.train_sets), ("test", options.test_sets)):
            for name in names:
                collection = load_set(name, split, queries=options.queries)
                with open_or_make(Path(folder) / name, collection, experts, options.pairs) as engine:
                    measured[split][name] = measure(*search(engine, collection), options.splits)
                console.print(f"{name}, {split}: {len(collection.queries)} queries")
    tables = [table(split, found) for split, found in measured.items() if found]
    for each in tables:
        show(each["title"], each["columns"], each["rows"])
    result = {"kind": "tables", "candidates": CANDIDATES, "splits": options.splits}
    save_result(
        options.name, {**result, "experts": options.experts, "sets": measured, "tables": tables}, options.out
    )


def search(engine: Engine, collection: Collection) -> tuple[list[Array], list[list[int]]]:
    """Raw scores of each query's candidates, best first, and the places of its right ones."""
    raw: list[Array] = []
    right: list[list[int]] = []
    for start in range(0, len(collection.queries), _BATCH):
        batch = collection.queries[start : start + _BATCH]
        results = engine.search_batch([q.text for q in batch], CANDIDATES, candidates=CANDIDATES)
        for query, result in zip(batch, results, strict=True):
            raw.append(np.array([hit.raw_score for hit in result]))
            right.append([i for i, hit in enumerate(result) if query.relevance.get(hit.id, 0) > 0])
    return raw, right


def measure(raw: Sequence[Array], right: Sequence[Sequence[int]], splits: int) -> list[dict[str, Any]]:
    """Every nonconformity, number of labelled queries and coverage, of one collection.

    Args:
        raw: n queries' `[m]` raw scores.
        right: places of the right ones among these.
        splits: how many.
    """
    first = np.array([min(places, default=CANDIDATES) for places in right])  # hits before the first right one
    reached = np.array([np.mean(first < k) for k in range(1, CANDIDATES + 1)])  # by k hits for every query
    every = {name: [nonconformities(name, scores) for scores in raw] for name in NONCONFORMITIES}
    least = {
        name: np.array([v[list(p)].min() if p else np.inf for v, p in zip(values, right, strict=True)])
        for name, values in every.items()
    }
    rows = []
    for n in LABELLED:
        if n + _LEAST_ASKED > len(raw):
            continue
        generator = np.random.default_rng(SEED)
        orders = [generator.permutation(len(raw)) for _ in range(splits)]
        for name in NONCONFORMITIES:
            models = [
                CoverageModel.fit(
                    name,
                    least[name][order[:n]].tolist(),
                    candidates=CANDIDATES,
                    records=0,
                    source="labelled",
                )
                for order in orders
            ]
            for coverage in COVERAGES:
                rows.append(_split(name, coverage, n, every, least, orders, models, reached))
    return rows


def _split(
    name: str,
    coverage: float,
    n: int,
    every: Mapping[str, Sequence[Array]],
    least: Mapping[str, Array],
    orders: Sequence[Any],
    models: Sequence[CoverageModel],
    reached: Array,
) -> dict[str, Any]:
    covered, sizes, impossible = [], [], 0
    for order, model in zip(orders, models, strict=True):
        threshold = model.threshold(coverage)
        asked, values = order[n:], every[model.nonconformity]
        own = least[model.nonconformity][asked]
        impossible += bool(
            np.isinf(threshold)
        )  # more queries miss than the promise allows: all candidates are returned
        covered.append(float(np.mean((own <= threshold) & np.isfinite(own))))
        sizes.append(float(np.mean([max(1, int((values[i] <= threshold).sum())) for i in asked])))
    row: dict[str, Any] = {"nonconformity": name, "coverage": coverage, "labelled": n}
    row["impossible"] = impossible / len(orders)
    if impossible > len(orders) / 2:
        return {**row, "kept": None}
    error = float(np.std(covered, ddof=1) / np.sqrt(len(covered)))
    realised, size = float(np.mean(covered)), float(np.mean(sizes))
    fixed = float(np.interp(realised, reached, np.arange(1, CANDIDATES + 1)))
    row |= {"realised": realised, "error": error, "size": size, "fixed": fixed, "ratio": size / fixed}
    return {**row, "kept": bool(realised >= coverage - 2 * error)}


def table(split: str, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A table of a result file: each nonconformity, means over the sets in which the promise can be made."""
    rows = []
    for n in LABELLED:
        for coverage in COVERAGES:
            for name in NONCONFORMITIES:
                wanted = (name, coverage, n)
                every = [
                    row
                    for one in found.values()
                    for row in one
                    if (row["nonconformity"], row["coverage"], row["labelled"]) == wanted
                ]
                known = [row for row in every if row["kept"] is not None]
                if not known:
                    continue
                means = {
                    key: float(np.mean([row[key] for row in known])) for key in ("realised", "size", "ratio")
                }
                kept = sum(row["kept"] for row in known)
                rows.append(
                    [
                        f"{name}, {coverage:g}, {n} queries",
                        f"{means['realised']:.3f}",
                        f"{kept} of {len(known)}",
                        f"{means['size']:.1f}",
                        f"{means['ratio']:.2f}",
                        str(len(every) - len(known)),
                    ]
                )
    return {
        "name": split,
        "title": f"Coverage, {split} splits, means over sets",
        "columns": [
            "nonconformity, promise, labelled",
            "realised",
            "kept",
            "hits",
            "over a fixed k",
            "cannot be promised",
        ],
        "rows": rows,
        "note": "kept: sets whose realised coverage is not below the promise by more than two standard errors; cannot be "
        "promised: sets in which candidates lack the right text too often",
    }


if __name__ == "__main__":
    main()
