"""Is the similarity of a candidate a probability, and does its variance predict how far it is off?

    python -m benchmarks.calibration                          # cranfield, scifact_partial, covidqa, metatool; test split
    python -m benchmarks.calibration --sets metatool --limit 50 --documents 100

The pairs are each query's first ten candidates under the uniform ensemble: the same for all methods. An outcome is 1
if the candidate is relevant. Two readings of a similarity as a probability: *stated* (cut off to [0, 1]), and
*fitted* (a logistic map of the similarity, fitted on the other queries' pairs; *with variance*: a moderated one, by
the similarity's variance). "Before" is the cosine of the ensemble, "after" the UEC score.

- `ECE`, `Brier`: of the reading.
- `Var-ECE`: predicted variance of the similarity against its squared distance to the outcome; `scaled`: after the best
  single factor. `before` and `after` the variance scale that calibration chose.
- `variance predicts error`: rank correlation of that variance with the distance of outcome and fitted probability.
- `pairs`: what calibration promises, `tr Sigma_q + tr Sigma_c`, against `|mu_q - mu_c|^2` of relevant pairs, per expert:
  Var-ECE before and after, and the rank correlation.
- `queries`: rank correlation of a query's log variance with 1 - nDCG@10 of the uniform ensemble, per expert.

Posteriors come from pseudo-pairs of each corpus, no label is used. Intervals: bootstrap over queries.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import (
    SEED,
    add_calibration_arguments,
    add_expert_arguments,
    console,
    load_experts,
    load_set,
    pairs_of,
    save_result,
    show,
)
from uec_retriever.evaluation.calibration import calibration_cell, stated, variance_calibration
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.fitted import FittedExperts, fit_experts, linearise_texts
from uec_retriever.evaluation.logistic_map import cross_fitted
from uec_retriever.evaluation.metrics import NDCG, rank_metrics
from uec_retriever.evaluation.pair_scores import directed_scores
from uec_retriever.evaluation.resampling import rank_correlation
from uec_retriever.evaluation.scoring import top
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.linearised import Linearised
from uec_retriever.gaussian import Array

SETS = ("cranfield", "scifact_partial", "covidqa", "metatool")
STRUCTURES = ("diag", "kron")
CANDIDATES = 10


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, help="at most this many queries of each set")
    parser.add_argument("--documents", type=int, help="at most this many documents of each set")
    add_calibration_arguments(parser, pairs=640)
    add_expert_arguments(parser)
    arguments = parser.parse_args()
    experts = load_experts(arguments.experts)
    results = {}
    for name in arguments.sets:
        start = time.monotonic()
        collection = load_set(name, arguments.split, queries=arguments.limit).shortened(arguments.documents)
        results[name] = evaluate(collection, experts, arguments.pairs, arguments.temperature)
        console.print(f"{name}: {time.monotonic() - start:.0f} s")
    _tables(results)
    result = {
        "kind": "calibration",
        "split": arguments.split,
        "experts": [e.label for e in experts],
        "settings": {"candidates": CANDIDATES, "calibration_pairs": arguments.pairs},
        "sets": results,
    }
    save_result("calibration", result, arguments.out)


def evaluate(
    collection: Collection, experts: list[Expert], max_pairs: int, temperature: float | None
) -> dict[str, Any]:
    """Every reading of every similarity on one collection."""
    pairs = pairs_of(collection, max_pairs)
    queries = [q.text for q in collection.queries]
    linearised = [
        Linearised.concatenate([q, d])
        for q, d in zip(
            linearise_texts(experts, queries),
            linearise_texts(experts, list(collection.texts), role="document"),
            strict=True,
        )
    ]
    found: dict[str, Any] = {
        "documents": len(collection.ids), "queries": len(queries), "calibration pairs": len(pairs),
        "reliability": {}, "pairs": {}, "queries predict": {}, "chosen": {},
    }  # fmt: skip
    for structure in STRUCTURES:
        fitted = fit_experts(experts, pairs, structure, linearised, temperature=temperature)
        number = len(queries)
        cosines = np.mean([g.mean[:number] @ g.mean[number:].T for g in fitted.gaussians], axis=0)
        order = _ranked(collection, cosines)
        pool = _pool(collection, order)
        found["reliability"] |= _reliability(fitted, pool, first=structure == STRUCTURES[0])
        ranked = {
            q.id: [collection.ids[i] for i in row] for q, row in zip(collection.queries, order, strict=True)
        }
        ndcg = rank_metrics(collection.queries, ranked, [NDCG])[NDCG]
        found["pairs"] |= _relevant_pairs(collection, fitted)
        for expert, gaussian in zip(experts, fitted.gaussians, strict=True):
            told = rank_correlation(np.log(gaussian.trace[:number]), 1 - ndcg, SEED)
            found["queries predict"][f"{expert.label}, {structure}"] = asdict(told) if told else None
        found["chosen"][structure] = dict(fitted.chosen())
    return found


Pool = tuple[NDArray[np.int_], NDArray[np.int_], Array]


def _ranked(collection: Collection, cosines: Array) -> NDArray[np.int64]:
    """`[queries, 10]` positions of the first candidates, without those excluded for a query."""
    scores = np.array(cosines)
    for row, query in zip(scores, collection.queries, strict=True):
        row[[collection.positions[p] for p in query.excluded if p in collection.positions]] = -np.inf
    return top(scores, CANDIDATES)[0]


def _pool(collection: Collection, order: NDArray[np.int64]) -> Pool:
    """Query of each pair, its candidate (rows of all texts), and whether that is relevant."""
    rows = [
        (q, len(collection.queries) + int(i), float(query.relevance.get(collection.ids[i], 0) > 0))
        for q, query in enumerate(collection.queries)
        for i in order[q]
    ]
    query, candidate, outcome = zip(*rows, strict=True)
    return np.array(query), np.array(candidate), np.array(outcome)


def _reliability(fitted: FittedExperts, pool: Pool, *, first: bool) -> dict[str, Any]:
    query, candidate, outcome = pool
    structure = fitted.structure
    found: dict[str, Any] = {}
    similarities: dict[str, tuple[Array, Array, Array | None]] = {}
    if first:
        each = {
            e.label: np.einsum("nd,nd->n", g.mean[query], g.mean[candidate])
            for e, g in zip(fitted.manifest.experts, fitted.gaussians, strict=True)
        }
        for label, cosine in {**each, "uniform": np.mean(list(each.values()), axis=0)}.items():
            similarities[label] = (cosine, cosine, None)
    scores = directed_scores(fitted, query, candidate)
    assert scores.variance is not None
    similarities[f"UEC {structure}, no similarity"] = (scores.mean, scores.mean, None)
    similarities[f"UEC {structure}"] = (scores.score, scores.mean, scores.variance)
    for label, (score, mean, variance) in similarities.items():
        plain = cross_fitted(outcome, score, groups=query, seed=SEED)
        readings = {"stated": stated(score), "fitted": plain}
        if variance is not None:
            readings["fitted with variance"] = cross_fitted(outcome, mean, variance, groups=query, seed=SEED)
        for reading, confidence in readings.items():
            found[f"{label}, {reading}"] = calibration_cell(outcome, confidence, mean=mean, variance=variance)
        if variance is not None:
            told = rank_correlation(variance, np.abs(outcome - plain), SEED, groups=query)
            found[f"{label}, fitted"]["variance predicts error"] = asdict(told) if told else None
            before = directed_scores(fitted, query, candidate, calibrated=False)
            assert before.variance is not None
            found[f"{label}, stated"]["Var-ECE before"] = variance_calibration(
                before.variance, (outcome - mean) ** 2
            ).var_ece
    return found


def _relevant_pairs(collection: Collection, fitted: FittedExperts) -> dict[str, Any]:
    """The promise of calibration on pairs that are right: how far two texts that mean the same lie apart."""
    first = len(collection.queries)
    pairs = [
        (q, first + collection.positions[p])
        for q, query in enumerate(collection.queries)
        for p, grade in query.relevance.items()
        if grade > 0 and p in collection.positions
    ]
    found: dict[str, Any] = {}
    if not pairs:
        return found
    query, right = (np.array(side) for side in zip(*pairs, strict=True))
    for entry, gaussian, scale in zip(fitted.manifest.experts, fitted.gaussians, fitted.scales, strict=True):
        distance = ((gaussian.mean[query] - gaussian.mean[right]).astype(np.float64) ** 2).sum(axis=1)
        variance = (gaussian.trace[query] + gaussian.trace[right]).astype(np.float64)
        after = variance_calibration(variance, distance)
        told = rank_correlation(variance, distance, SEED, groups=query)
        found[f"{entry.label}, {fitted.structure}"] = {
            "relevant pairs": len(pairs),
            "mean squared distance": float(distance.mean()),
            "mean variance": float(variance.mean()),
            "Var-ECE before": variance_calibration(variance / scale, distance).var_ece,
            "Var-ECE": after.var_ece,
            "Var-ECE scaled": after.scaled,
            "rank correlation": asdict(told) if told else None,
        }
    return found


def _tables(results: Mapping[str, Any]) -> None:
    for key in ("ECE", "Brier", "Var-ECE"):
        labels = next(iter(results.values()))["reliability"]
        rows = [
            [label, *("-" if r["reliability"][label][key] is None else f"{r['reliability'][label][key]:.4f}" for r in results.values())]
            for label in labels
        ]  # fmt: skip
        show(f"{key} of the candidates' similarity", ["", *results], [r for r in rows if set(r[1:]) != {"-"}])
    for title, part in (("variance of relevant pairs ~ distance", "pairs"), ("variance of a query ~ 1 - nDCG@10", "queries predict")):  # fmt: skip
        rows = []
        for label in next(iter(results.values()))[part]:
            cells = [r[part].get(label) for r in results.values()]
            cells = [c.get("rank correlation", c) if c else None for c in cells]
            rows.append(
                [label, *(f"{c['mean']:.3f} [{c['low']:.3f}, {c['high']:.3f}]" if c else "-" for c in cells)]
            )
        show(f"rank correlation: {title}", ["", *results], rows)


if __name__ == "__main__":
    main()
