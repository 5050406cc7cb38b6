"""The prior of a confidence without labels, fitted on real queries of other collections, and what it is good for there.

    python -m benchmarks.confidence_prior                      # seven collections, two ensembles
    python -m benchmarks.confidence_prior --indexes FOLDER     # keep the indexes there, and use those that are there
    python -m benchmarks.confidence_prior --sets metatool qasper_dev_evidence --documents 60 --queries 30    # small

Train queries where a collection has some, and all queries of those that nothing else is reported on; each is searched
with its right texts among the candidates and without. The prior of all of them is what `confidence.prior` holds; for
each collection there is one that was fitted without it, and what the table says of a collection is by that one:

- `own`: fitted on pseudo-queries of its corpus alone;
- `prior`: the prior alone;
- `both`: their log odds averaged, as an index does.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.common import SEED, console, load_experts, save_result, show
from benchmarks.confidence import CANDIDATES, K, label_queries, load_splits, open_or_make, search
from devtools.models import MINILM, WORDLLAMA
from uec_retriever.confidence.fit import (
    Kind,
    Outcomes,
    expected_calibration_error,
    fit_confidence,
)
from uec_retriever.confidence.logistic import Logistic, fit_logistic
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.off_topic import OFF_TOPIC
from uec_retriever.confidence.prior import WITH_WORDS, Prior
from uec_retriever.confidence.queries import LabelledQuery, index_pairs, pair_queries
from uec_retriever.engine.confidence import without_suspects
from uec_retriever.engine.engine import Engine
from uec_retriever.evaluation.abstention import nauc
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.metrics import NDCG, rank_metrics

SETS = (
    "covidqa",
    "metatool",
    "pubmedqa",
    "qasper_dev_evidence",
    "hotpotqa_100",
    "musique_100",
    "techqa_130",
)
ENSEMBLES = ((WORDLLAMA,), (MINILM, WORDLLAMA))
DEPTHS = (1, 2, 3, 5, 10)
METRICS = ("nAUC", "AUROC mixed", "ECE mixed")
TITLE = "Confidence without labels, on queries of collections that the prior was fitted without"
SIGNALS = WITH_WORDS.signals
Floats = NDArray[np.float64]
_DIGITS = 4


@dataclass(frozen=True, eq=False)
class Searched:
    """A collection under an ensemble.

    Attributes:
        name: of the collection.
        outcomes: of its queries, with and without their answers.
        ndcg: `[n]` nDCG@10 of its queries.
        own: outcomes of pseudo-queries of its corpus, and queries off topic.
        records: texts in the index.
    """

    name: str
    outcomes: Outcomes
    ndcg: Floats
    own: Outcomes
    records: int


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument(
        "--documents", type=int, default=2200, help="passages of each set; those judged always stay"
    )
    parser.add_argument("--queries", type=int, default=400, help="at most this many queries of each set")
    parser.add_argument("--pairs", type=int, default=640, help="at most this many calibration pairs")
    parser.add_argument("--pseudo", type=int, default=400, help="at most this many pseudo-queries")
    parser.add_argument("--indexes", type=Path, help="folder to keep the indexes in")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--name", default="confidence_prior", help="of the JSON file")
    arguments = parser.parse_args()
    arguments.train = arguments.queries
    found: dict[str, list[Searched]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for names in ENSEMBLES:
            label = " + ".join(names)
            experts = load_experts(names)
            for name in arguments.sets:
                test, train = load_splits(name, arguments)
                path = (arguments.indexes or Path(temporary)) / label / name
                with open_or_make(path, train or test, experts, arguments.pairs) as engine:
                    found.setdefault(label, []).append(search_all(engine, train or test, arguments.pseudo))
                console.print(f"{label}, {name}: searched")
    everything = [one for part in found.values() for one in part]
    priors = {name: fit_prior([s for s in everything if s.name != name]) for name in arguments.sets}
    columns = ["", *arguments.sets, "mean"]
    rows = [row for label, part in found.items() for row in table(label, part, priors)]
    show(TITLE, columns, rows)
    prior = fit_prior(everything)
    console.print(prior)
    result: dict[str, Any] = {
        "kind": "tables",
        "split": "train",
        "prior": asdict(prior),
        "priors": {name: asdict(one) for name, one in priors.items()},
        "tables": [{"name": "found", "title": TITLE, "columns": columns, "rows": rows}],
    }
    save_result(arguments.name, result, arguments.out)


def search_all(engine: Engine, collection: Collection, pseudo: int) -> Searched:
    """All that is to be known of a collection under an ensemble."""
    results = engine.search_batch([q.text for q in collection.queries], K, candidates=CANDIDATES)
    ranked = {q.id: [hit.id for hit in hits] for q, hits in zip(collection.queries, results, strict=True)}
    asked = pair_queries(index_pairs(engine.pages(), limit=pseudo, seed=SEED))
    asked += [LabelledQuery(text, (), off_topic=True) for text in OFF_TOPIC]
    return Searched(
        collection.name,
        search(engine, label_queries(collection)),
        rank_metrics(collection.queries, ranked, (NDCG,))[NDCG],
        without_suspects(search(engine, asked)),
        engine.count(),
    )


def fit_prior(searched: Sequence[Searched]) -> Prior:
    """The prior of some collections, each of which counts alike."""
    tables = [np.array([[row[name] for name in SIGNALS] for row in s.outcomes.signals]) for s in searched]
    kinds = [s.outcomes.kinds == Kind.ANSWERABLE for s in searched]
    answerable = raw(fit_logistic(np.concatenate(tables), np.concatenate(kinds), alike(map(len, tables))))
    deep, outcomes = [], []
    for table, kind, one in zip(tables, kinds, searched, strict=True):
        right = [row for row, is_answerable in zip(one.outcomes.right, kind, strict=True) if is_answerable]
        for k in DEPTHS:
            deep.append(np.column_stack([table[kind], np.full(len(right), np.log(k))]))
            outcomes.append(np.array([row[:k].any() for row in right]))
    found = raw(fit_logistic(np.concatenate(deep), np.concatenate(outcomes), alike(map(len, outcomes))))
    return Prior(SIGNALS, answerable[0], answerable[1], found[0][:-1], found[1], found[0][-1])


def alike(sizes: Sequence[int] | map[int]) -> Floats:
    """Weights of rows, of mean 1, by which parts of several sizes count alike."""
    known = list(sizes)
    weights = np.concatenate([np.full(size, 1 / size) for size in known])
    return np.asarray(weights / weights.mean())


def raw(fitted: Logistic) -> tuple[tuple[float, ...], float]:
    """Weights and intercept for features as they are."""
    weights = fitted.weights / fitted.scales
    intercept = fitted.intercept - float(weights @ fitted.means)
    return tuple(round(w, _DIGITS) for w in weights.tolist()), round(intercept, _DIGITS)


def table(label: str, searched: Sequence[Searched], priors: dict[str, Prior]) -> list[list[str]]:
    """Rows: a metric and a confidence, in every collection."""
    measured: dict[str, list[tuple[float, ...]]] = {"own": [], "prior": [], "both": []}
    for one in searched:
        own, _ = fit_confidence(
            one.own, k=K, candidates=CANDIDATES, records=one.records, source="pseudo", seed=SEED
        )
        prior = priors[one.name]
        signals = one.outcomes.signals
        told = {
            "own": probabilities(own, signals),
            "prior": np.array([1 / (1 + np.exp(-prior.logit(s, K, own.unanswerable))) for s in signals]),
            "both": probabilities(replace(own, prior=prior), signals),
        }
        for name, values in told.items():
            measured[name].append(metrics(one, values))
    return [
        [
            f"{label}: {metric}, {name}",
            *(f"{values[column]:.3f}" for values in rows),
            f"{np.mean([values[column] for values in rows]):.3f}",
        ]
        for column, metric in enumerate(METRICS)
        for name, rows in measured.items()
    ]


def probabilities(model: ConfidenceModel, signals: Sequence[Any]) -> Floats:
    """`[n]` of n searches."""
    return np.array([model.probability(s) for s in signals])


def metrics(searched: Searched, values: Floats) -> tuple[float, float, float]:
    """Those of `METRICS`."""
    outcomes = searched.outcomes
    answerable: NDArray[np.bool_] = outcomes.kinds == Kind.ANSWERABLE
    rows = outcomes.queries[answerable]
    return (
        nauc(searched.ndcg[rows], values[answerable]),
        float(roc_auc_score(outcomes.hits, values)),
        expected_calibration_error(outcomes.hits, values),
    )


if __name__ == "__main__":
    main()
