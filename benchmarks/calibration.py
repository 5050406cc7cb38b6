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
from benchmarks.probability import rank_correlation, readings, variance_calibration
from benchmarks.probability_report import probability_report
from uec_retriever.convolution import convolve_block
from uec_retriever.engine.ensemble import fuse_queries
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.collection_encoder import CollectionEncoder, EncodedCollection
from uec_retriever.evaluation.exact import mask_passages, rank
from uec_retriever.evaluation.expert_set import STRUCTURES, ExpertSet, fit_experts
from uec_retriever.evaluation.methods import weighted_cosines
from uec_retriever.evaluation.metrics import NDCG, rank_metrics
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array
from uec_retriever.similarity import paired_moments, probit_score
from uec_retriever.store.manifest import Manifest

SETS = ("cranfield", "scifact_partial", "covidqa", "metatool")
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
        collection = load_set(name, arguments.split, queries=arguments.limit).shorten(arguments.documents)
        results[name] = evaluate(collection, experts, arguments.pairs, arguments.temperature)
        console.print(f"{name}: {time.monotonic() - start:.0f} s")
    _tables(results)
    result = {
        "kind": "tables",
        "title": "Calibration",
        "split": arguments.split,
        "experts": [e.label for e in experts],
        "settings": {"candidates": CANDIDATES, "calibration_pairs": arguments.pairs},
        "sets": results,
        **probability_report(results),
    }
    save_result("calibration", result, arguments.out)


def evaluate(
    collection: Collection, experts: list[Expert], max_pairs: int, temperature: float | None
) -> dict[str, Any]:
    """Every reading of every similarity on one collection."""
    pairs = pairs_of(collection, max_pairs)
    fitted = ExpertSet(experts, fit_experts(experts, pairs), pairs.split()[1])
    encoded = CollectionEncoder(fitted, STRUCTURES).encode(collection)
    uniform = weighted_cosines(encoded, np.full(len(experts), 1 / len(experts)))
    sizes = (len(collection.queries), len(collection.ids))
    ranking = rank({"": uniform}, *sizes, CANDIDATES, barred=mask_passages(collection, "corpus"))[""]
    query, place = np.nonzero(ranking.documents >= 0)
    candidate = ranking.documents[query, place]
    grades = [q.relevance for q in collection.queries]
    pairs_found = zip(query.tolist(), candidate.tolist(), strict=True)
    outcome = np.array([float(grades[q].get(collection.ids[c], 0) > 0) for q, c in pairs_found])
    found: dict[str, Any] = {
        "documents": sizes[1], "queries": sizes[0], "calibration pairs": len(pairs),
        "reliability": _plain_reliability(experts, encoded, query, candidate, outcome),
        "pairs": {}, "queries predict": {}, "chosen": {},
    }  # fmt: skip
    ndcg = rank_metrics(collection.queries, ranking.ids(collection), [NDCG])[NDCG]
    for structure in STRUCTURES:
        manifest = fitted.calibrate(structure, temperature)
        chosen = fitted.describe(manifest, structure)
        scales = list(chosen["variance scale"].values())
        found["reliability"] |= _reliability(structure, manifest, encoded, scales, query, candidate, outcome)
        found["pairs"] |= _relevant_pairs(structure, collection, encoded, chosen["variance scale"])
        for expert, gaussian in zip(experts, encoded.queries.gaussians[structure], strict=True):
            told = rank_correlation(np.log(gaussian.trace), 1 - ndcg, SEED)
            found["queries predict"][f"{expert.label}, {structure}"] = asdict(told) if told else None
        found["chosen"][structure] = chosen
    return found


Rows = NDArray[np.int_]


def _plain_reliability(
    experts: list[Expert], encoded: EncodedCollection, query: Rows, candidate: Rows, outcome: Array
) -> dict[str, Any]:
    """Of cosines: each expert's, and the uniform ensemble's."""
    sides = zip(encoded.queries.means, encoded.documents.means, strict=True)
    each = [np.einsum("nd,nd->n", q[query], d[candidate]) for q, d in sides]
    similarities = dict(zip([e.label for e in experts], each, strict=True))
    similarities["uniform"] = np.mean(each, axis=0)
    return {
        f"{label}, {reading}": cell
        for label, cosine in similarities.items()
        for reading, cell in readings(outcome, cosine, cosine, None, SEED, query).items()
    }


def _reliability(
    structure: str,
    manifest: Manifest,
    encoded: EncodedCollection,
    scales: list[float],
    query: Rows,
    candidate: Rows,
    outcome: Array,
) -> dict[str, Any]:
    """Of UEC: the query's coefficients, the candidate's plain blocks."""
    asked, found = encoded.queries.gaussians[structure], encoded.documents.gaussians[structure]
    _, pi = fuse_queries(asked, manifest)

    def moments(unscale: list[float]) -> tuple[Array, Array]:
        sides = (
            [g[rows].scale_variance(1 / s) for g, s in zip(side, unscale, strict=True)]
            for side, rows in ((asked, query), (found, candidate))
        )
        return paired_moments(convolve_block(next(sides), pi[query]), convolve_block(next(sides)))

    mean, variance = (v.astype(np.float64) for v in moments([1.0] * len(scales)))
    _, before = moments(scales)
    cells = {
        f"UEC {structure}{label}, {reading}": cell
        for label, score, own in (
            (", no similarity", mean, None),
            ("", probit_score(mean, variance), variance),
        )
        for reading, cell in readings(outcome, score, mean, own, SEED, query).items()
    }
    told = variance_calibration(before, (outcome - mean) ** 2)
    cells[f"UEC {structure}, stated"]["Var-ECE before"] = told.var_ece
    return cells


def _relevant_pairs(
    structure: str, collection: Collection, encoded: EncodedCollection, scales: Mapping[str, float]
) -> dict[str, Any]:
    """The promise of calibration on pairs that are right: how far two texts that mean the same lie apart."""
    pairs = [
        (q, collection.positions[p])
        for q, query in enumerate(collection.queries)
        for p, grade in query.relevance.items()
        if grade > 0 and p in collection.positions
    ]
    found: dict[str, Any] = {}
    if not pairs:
        return found
    query, right = (np.array(side) for side in zip(*pairs, strict=True))
    sides = zip(encoded.queries.gaussians[structure], encoded.documents.gaussians[structure], strict=True)
    for (label, scale), (asked, known) in zip(scales.items(), sides, strict=True):
        distance = ((asked.mean[query] - known.mean[right]).astype(np.float64) ** 2).sum(axis=1)
        variance = (asked.trace[query] + known.trace[right]).astype(np.float64)
        after = variance_calibration(variance, distance)
        told = rank_correlation(variance, distance, SEED, groups=query)
        found[f"{label}, {structure}"] = {
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
