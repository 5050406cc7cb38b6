"""Retrieval by every method side by side, on several collections: the result as JSON, and its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.abstention import risk_coverage
from uec_retriever.evaluation.collection import Collection, load_collection
from uec_retriever.evaluation.members import Calibration, collection_pairs, fit_members
from uec_retriever.evaluation.methods import UNIFORM
from uec_retriever.evaluation.metrics import (
    NDCG,
    RETRIEVAL_METRICS,
    Values,
    cell,
    macro_bootstrap,
)
from uec_retriever.evaluation.retrieval_options import Measured, RetrievalOptions
from uec_retriever.evaluation.retrieval_study import RetrievalStudy
from uec_retriever.experts.expert import Expert

__all__ = [
    "Measured",
    "RetrievalOptions",
    "RetrievalStudy",
    "retrieval_rows",
    "run_retrieval",
    "summarise",
    "train_collections",
]
Progress = Callable[[str], None]


def run_retrieval(
    collections: Sequence[Collection],
    experts: Sequence[Expert],
    options: RetrievalOptions | None = None,
    *,
    calibration: Calibration | None = None,
    merged: Mapping[str, Expert] | None = None,
    train: Mapping[str, Sequence[Collection]] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure every method on every collection.

    Args:
        collections: one split each, with names of their own.
        experts: preferably of an `EncodingCache`; ignored where a calibration is given.
        options: defaults if absent.
        calibration: experts with posteriors, and references. If absent, posteriors are fitted for each collection on
            pseudo-pairs of its corpus, and their held-out part is the reference.
        merged: label -> model of merged parameters.
        train: collection name -> labelled queries to choose on (see `RetrievalStudy.measure`).
        progress: called with what is being done.

    Returns:
        `summarise` of all.

    Raises:
        InvalidInputError: for no collections, two of one name, or options that do not fit.
    """
    options = options or RetrievalOptions()
    names = [c.name for c in collections]
    if not names or len(set(names)) < len(names):
        raise InvalidInputError(f"collections need names of their own, got {names or 'none'}")
    common = RetrievalStudy(calibration, options, merged=merged) if calibration else None
    found = []
    for collection in collections:
        if progress:
            progress(collection.name)
        study = common or RetrievalStudy(
            own_calibration(collection, experts, options), options, merged=merged
        )
        found.append(study.measure(collection, (train or {}).get(collection.name, ())))
    return summarise(found, options)


def train_collections(
    folders: Sequence[Path], collections: Sequence[Collection]
) -> dict[str, list[Collection]]:
    """Collection name -> its train queries, over the very same passages, where its folder has a train split.

    Args:
        folders: BEIR folders, row by row of the collections.
        collections: other splits of these, perhaps shortened.
    """
    found = {}
    for folder, collection in zip(folders, collections, strict=True):
        if (folder / "qrels" / "train.tsv").is_file():
            queries = [
                q
                for q in load_collection(folder, "train").queries
                if any(grade > 0 and p in collection.positions for p, grade in q.relevance.items())
            ]
            if queries:
                found[collection.name] = [replace(collection, split="train", queries=queries)]
    return found


def own_calibration(
    collection: Collection, experts: Sequence[Expert], options: RetrievalOptions
) -> Calibration:
    """Posteriors fitted on pseudo-pairs of a collection's own corpus; no label is used."""
    pairs = collection_pairs(collection, options.pairs, options.seed)
    return Calibration(fit_members(experts, pairs, options.structures()), pairs.split()[1])


def summarise(measured: Sequence[Measured], options: RetrievalOptions | None = None) -> dict[str, Any]:
    """What JSON can hold: `sets[name]`, `mean`, `chosen`, all with 95 % bootstrap intervals over queries.

    Args:
        measured: of collections with the same experts and methods.
        options: that they were measured with.
    """
    options = options or RetrievalOptions()
    settings = asdict(options)
    settings["methods"] = list(options.methods)
    kinds = measured[0].kinds
    return {
        "kind": "retrieval",
        "split": ", ".join(dict.fromkeys(m.collection.split for m in measured)),
        "experts": list(measured[0].labels),
        "settings": settings,
        "baseline": UNIFORM,
        "sets": {m.collection.name: _set(m, options.seed) for m in measured},
        "mean": {
            label: {
                metric: _mean_cell(
                    [(m.values[label][metric], m.values[UNIFORM][metric]) for m in measured], options.seed
                )
                for metric in RETRIEVAL_METRICS
            }
            for label in kinds
        },
        "chosen": {m.collection.name: dict(m.chosen) for m in measured},
    }


def retrieval_rows(result: Mapping[str, Any], metric: str = NDCG) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of one metric: methods against sets, and the mean over sets.

    `*` marks a paired difference to the baseline whose interval leaves out 0.
    """
    sets: Mapping[str, Any] = result["sets"]
    rows = []
    for label, mean in result["mean"].items():
        cells = [_shown(s["methods"][label]["metrics"][metric]) for s in sets.values()]
        rows.append([label, *cells, f"{mean[metric]['mean']:.4f}"])
    return ["method", *sets, "mean"], rows


def _shown(cell: Mapping[str, Any]) -> str:
    difference = cell["difference"]
    clear = difference["low"] > 0 or difference["high"] < 0
    return f"{cell['mean']:.3f}{'*' if clear else ''}\n[{cell['low']:.3f}, {cell['high']:.3f}]"


def _set(measured: Measured, seed: int) -> dict[str, Any]:
    collection, values = measured.collection, measured.values
    domains = collection.domains
    return {
        "documents": len(collection.ids),
        "queries": len(collection.queries),
        "domain": domains[0] if len(domains) == 1 else collection.name,
        "scope": measured.scope,
        "methods": {
            label: {
                "kind": kind,
                "metrics": {
                    metric: cell(v, values[UNIFORM][metric], seed) for metric, v in values[label].items()
                },
                **_mean_coefficients(measured, label),
            }
            for label, kind in measured.kinds.items()
        },
        "abstention": {
            label: risk_coverage(values[label][NDCG], ranked.confidence).to_json(NDCG)
            for label, ranked in measured.rankings.items()
        },
        "stages": dict(measured.stages),
    }


def _mean_coefficients(measured: Measured, label: str) -> dict[str, dict[str, float]]:
    if label not in measured.coefficients:
        return {}
    means = measured.coefficients[label].mean(axis=0)
    return {"coefficients": dict(zip(measured.labels, map(float, means), strict=True))}


def _mean_cell(sets: Sequence[tuple[Values, Values]], seed: int) -> dict[str, Any]:
    """Mean over sets of a method's values, and of their paired differences to the baseline's."""
    return {
        **asdict(macro_bootstrap([values for values, _ in sets], seed)),
        "difference": asdict(macro_bootstrap([values - baseline for values, baseline in sets], seed)),
    }
