"""Retrieval by every method side by side, on several collections: the result as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.abstention import abstention
from uec_retriever.evaluation.bootstrap import compare, mean_cell, resample_means
from uec_retriever.evaluation.collection import Collection, load_collection
from uec_retriever.evaluation.expert_set import ExpertSet, fit_on_corpus
from uec_retriever.evaluation.methods import UNIFORM, RetrievalOptions
from uec_retriever.evaluation.metrics import NDCG, RETRIEVAL_METRICS
from uec_retriever.evaluation.retrieval_study import Measurements, RetrievalStudy
from uec_retriever.experts.expert import Expert


def run_retrieval(
    collections: Sequence[Collection],
    experts: Sequence[Expert] | ExpertSet,
    options: RetrievalOptions | None = None,
    *,
    merged: Mapping[str, Expert] | None = None,
    train: Mapping[str, Sequence[Collection]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure every method on every collection.

    Args:
        collections: one split each, with names of their own.
        experts: preferably of an `EncodingCache`. Without posteriors, these are fitted for each collection on pseudo-pairs
            of its corpus, and their held-out part is the reference.
        options: defaults if absent.
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
    common = RetrievalStudy(experts, options, merged=merged) if isinstance(experts, ExpertSet) else None
    found = []
    for collection in collections:
        if progress:
            progress(collection.name)
        study = common
        if not isinstance(experts, ExpertSet):
            own = fit_on_corpus(collection, experts, options.pairs, options.seed, options.structures())
            study = RetrievalStudy(own, options, merged=merged)
        assert study is not None
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


def summarise(measured: Sequence[Measurements], options: RetrievalOptions) -> dict[str, Any]:
    """What JSON can hold: `sets[name]`, `mean`, `chosen`, all with 95 % bootstrap intervals over queries.

    Args:
        measured: of collections with the same experts and methods.
        options: that they were measured with.
    """
    return {
        "kind": "retrieval",
        "split": ", ".join(dict.fromkeys(m.collection.split for m in measured)),
        "experts": list(measured[0].labels),
        "settings": {**asdict(options), "methods": list(options.methods)},
        "baseline": UNIFORM,
        "sets": {m.collection.name: _set(m, options.seed) for m in measured},
        "mean": {
            label: {metric: _mean(measured, label, metric, options.seed) for metric in RETRIEVAL_METRICS}
            for label in measured[0].kinds
        },
        "chosen": {m.collection.name: dict(m.chosen) for m in measured},
    }


def _set(measured: Measurements, seed: int) -> dict[str, Any]:
    collection, values = measured.collection, measured.values
    domains = collection.domains
    methods: dict[str, dict[str, Any]] = {}
    for label, kind in measured.kinds.items():
        cells = {m: mean_cell(v, values[UNIFORM][m], seed) for m, v in values[label].items()}
        methods[label] = {"kind": kind, "metrics": cells}
        if label in measured.coefficients:
            held = measured.coefficients[label].items()
            methods[label]["coefficients"] = {expert: float(pi.mean()) for expert, pi in held}
    return {
        "documents": len(collection.ids),
        "queries": len(collection.queries),
        "domain": domains[0] if len(domains) == 1 else collection.name,
        "scope": measured.scope,
        "methods": methods,
        "abstention": {
            label: abstention(values[label][NDCG], ranking.scores[:, 0], NDCG)
            for label, ranking in measured.rankings.items()
        },
        "stages": dict(measured.stages),
    }


def _mean(measured: Sequence[Measurements], label: str, metric: str, seed: int) -> dict[str, Any]:
    """Mean over sets of a method's means, queries resampled within each set."""

    def over_sets(method: str) -> tuple[float, Any]:
        values = [m.values[method][metric] for m in measured]
        draws = np.mean([resample_means(v, seed) for v in values], axis=0)
        return float(np.mean([v.mean() for v in values])), draws

    return compare(*over_sets(label), *over_sets(UNIFORM))
