"""Does the retriever know when it fails? Abstention signals and calibrated confidence on real queries.

    python -m benchmarks.confidence                      # the four sets, test split
    python -m benchmarks.confidence --indexes FOLDER     # keep the indexes there, and use those that are there
    python -m benchmarks.confidence --documents 600 --pairs 200    # small: judged passages stay

Each query is searched as it is, and once more with its right texts (and what nearly repeats them)
left out of the candidates, so that nothing can be found. For each raw signal and each calibrator:

- `nauc`: abstention nAUC of nDCG@10, MTEB's definition (`uec_retriever.evaluation.abstention`), queries as they are;
- `auroc_hit`: P(a query with a hit among the first ten has more confidence than one without);
- `auroc_mixed`: the same over queries with and without their answers, half of each;
- `auroc_off_topic`: P(a query of the set has more confidence than one of another set);
- `ece`, `brier`: of probabilities, for queries as they are (`_hit`) and for the mixture (`_mixed`).

The table `prior` says what that of `benchmarks.confidence_prior` adds where there are no labels
(`benchmarks.confidence_ablation`); it is one that was fitted without the collection.

Calibrators are fitted on pseudo-queries of the corpus (no labels), or on train labels where there are
some. Signals and pseudo-queries were chosen on the train splits of covidqa, metatool, pubmedqa and qasper, and on
techqa, hotpotqa and musique, none of which is reported here on those queries. What was left out is in RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.common import (
    RESULTS,
    SEED,
    console,
    data_folder,
    load_set,
    pairs_of,
    save_result,
    show,
)
from benchmarks.confidence_ablation import WITHOUT, Ablation, ablate, ablation_table
from benchmarks.confidence_table import signals_table
from devtools.models import MINILM, WORDLLAMA, real_model
from uec_retriever.checks.rows import read_row
from uec_retriever.confidence.fit import Kind, Outcomes, expected_calibration_error, fit_confidence
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.off_topic import OFF_TOPIC
from uec_retriever.confidence.prior import WITH_WORDS, Prior
from uec_retriever.confidence.queries import LabelledQuery, index_pairs, labelled_queries, pair_queries
from uec_retriever.confidence.signals import SIGNALS
from uec_retriever.data.corpus import Corpus
from uec_retriever.engine.confidence import ConfidenceOptions, search_queries, without_suspects
from uec_retriever.engine.engine import Engine
from uec_retriever.errors import CorpusError, InvalidInputError
from uec_retriever.evaluation.abstention import nauc
from uec_retriever.evaluation.bootstrap import interval, resample
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.metrics import NDCG, rank_metrics
from uec_retriever.experts.expert import Expert

SETS = ("cranfield", "scifact_partial", "covidqa", "metatool")
K, CANDIDATES = 10, 30
OFF_TOPIC_QUERIES = 300
SHARES = (0.5, 0.0)
LABELS = "train labels"
METRICS = ("nauc", "auroc_hit", "auroc_mixed", "auroc_off_topic")
CALIBRATION = ("ece_hit", "brier_hit", "ece_mixed", "brier_mixed")
Floats = NDArray[np.float64]
HEURISTICS: dict[str, Callable[[Outcomes], Floats]] = {  # MTEB's other two, beside the score of the best hit
    "deviation of the first ten": lambda part: np.array([f[:, 0].std() for f in part.features]),
    "the first less the second": lambda part: np.array([-np.diff(f[:2, 0]).sum() for f in part.features]),
}


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--queries", type=int, help="at most this many test queries of each set")
    parser.add_argument("--documents", type=int, help="passages of each set; those judged always stay")
    parser.add_argument("--pairs", type=int, default=640, help="at most this many calibration pairs")
    parser.add_argument("--train", type=int, default=400, help="at most this many labelled train queries")
    parser.add_argument(
        "--pseudo", type=int, default=400, help="at most this many pseudo-queries; 0 for none"
    )
    parser.add_argument("--indexes", type=Path, help="folder to keep the indexes in")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    parser.add_argument("--name", default="confidence", help="of the JSON file")
    arguments = parser.parse_args()
    experts = [Expert.load(str(real_model(name)), label=name, device="cpu") for name in (MINILM, WORDLLAMA)]
    loaded = {name: load_splits(name, arguments) for name in arguments.sets}
    collections = {name: test for name, (test, _) in loaded.items()}
    results: dict[str, Any] = {}
    ablations: dict[str, dict[str, Ablation]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.indexes or Path(temporary)
        for name, collection in collections.items():
            start = time.monotonic()
            foreign = [q.text for other, c in collections.items() if other != name for q in c.queries]
            with open_or_make(folder / name, collection, experts, arguments.pairs) as engine:
                results[name], ablations[name] = evaluate(
                    engine, collection, foreign, loaded[name][1], arguments.pseudo
                )
            console.print(f"{name}: {time.monotonic() - start:.0f} s")
    for metric in (*METRICS, *CALIBRATION):
        _table(metric, results)
    table = ablation_table(ablations)
    show(table["title"], table["columns"], table["rows"])
    result = {
        "kind": "tables",
        "split": "test",
        "k": K,
        "sets": results,
        "tables": [signals_table(results), table],
    }
    save_result(arguments.name, result, arguments.out)


def load_splits(name: str, arguments: argparse.Namespace) -> tuple[Collection, Collection | None]:
    """Test and train queries of a set over the same passages; None without train labels."""
    test = load_set(name, "test", queries=arguments.queries)
    try:
        train = load_set(name, "train", queries=arguments.train)
    except CorpusError:
        console.print(f"{name} has no train labels")
        return test.shorten(arguments.documents), None
    both = replace(test, queries=[*test.queries, *train.queries]).shorten(arguments.documents)
    return replace(both, queries=test.queries), replace(both, split="train", queries=train.queries)


def open_or_make(path: Path, collection: Collection, experts: list[Expert], pairs: int) -> Engine:
    """The index of a collection, made with posteriors from pseudo-pairs unless it is there."""
    if Engine.exists(path):
        return Engine.open(path, experts={e.label: e for e in experts})
    engine = Engine.create(path, experts, pairs_of(collection, pairs))
    corpus = Corpus(data_folder() / collection.name)
    engine.add_records(d.record for d in corpus if d.record.id in collection.positions)
    return engine


def evaluate(
    engine: Engine, collection: Collection, foreign: Sequence[str], train: Collection | None, pseudo: int
) -> tuple[dict[str, Any], dict[str, Ablation]]:
    """Every signal and calibrator on one collection; calibration -> what the lexical signal adds to it."""
    outcomes = search(engine, label_queries(collection))
    generator = np.random.default_rng(SEED)
    chosen = generator.permutation(len(foreign))[:OFF_TOPIC_QUERIES]
    off_topic = search(engine, [LabelledQuery(foreign[i], (), off_topic=True) for i in chosen])
    parts = [
        outcomes.among(outcomes.kinds == Kind.ANSWERABLE),
        outcomes.among(outcomes.kinds == Kind.LEFT_OUT),
        off_topic,
    ]
    hits = parts[0].hits
    results = engine.search_batch([q.text for q in collection.queries], K, candidates=CANDIDATES)
    ranked = {q.id: [hit.id for hit in found] for q, found in zip(collection.queries, results, strict=True)}
    ndcg = rank_metrics(collection.queries, ranked, (NDCG,))[NDCG]
    scored = {
        f"signal: {name}": tuple(np.array([s[name] for s in part.signals]) for part in parts)
        for name in SIGNALS
    } | {f"heuristic: {name}": tuple(map(heuristic, parts)) for name, heuristic in HEURISTICS.items()}
    models, reports = _calibrators(engine, collection.name, train, pseudo)
    for name, model in models.items():
        scored[name] = tuple(np.array([model.probability(s) for s in part.signals]) for part in parts)
    rows = {name: _measure(each, hits, ndcg, probabilities=name in models) for name, each in scored.items()}
    ablations = {
        name: ablate(scored[name][:2], scored[name + WITHOUT][:2], hits, ndcg)
        for name in models
        if name + WITHOUT in models
    }
    result = {
        "documents": engine.count(),
        "queries": len(hits),
        "off_topic_queries": len(off_topic.hits),
        "hit_rate": float(hits.mean()),
        "ndcg@10": float(ndcg.mean()),
        "reports": reports,
        "scores": rows,
    }
    return result, ablations


def label_queries(collection: Collection) -> list[LabelledQuery]:
    """Queries of a collection with their right texts."""
    texts = dict(zip(collection.ids, collection.texts, strict=True))
    right = {q.text: [d for d, grade in q.relevance.items() if grade > 0] for q in collection.queries}
    by_text = {q.text: q for q in labelled_queries(right, texts)}
    return [by_text[q.text] for q in collection.queries]


def search(engine: Engine, queries: Sequence[LabelledQuery]) -> Outcomes:
    """Each query with its answers among the candidates and without."""
    return search_queries(engine.ensemble, engine.store, engine.words, queries, ConfidenceOptions(K))


def _calibrators(
    engine: Engine, name: str, train: Collection | None, pseudo: int
) -> tuple[dict[str, ConfidenceModel], dict[str, Any]]:
    questions: dict[str, list[LabelledQuery]] = {}
    if pseudo:
        questions["pseudo"] = pair_queries(index_pairs(engine.pages(), limit=pseudo, seed=SEED))
    if train is not None:
        questions[LABELS] = label_queries(train)
    models: dict[str, ConfidenceModel] = {}
    reports: dict[str, Any] = {}
    for source, asked in questions.items():
        asked = [*asked, *(LabelledQuery(text, (), off_topic=True) for text in OFF_TOPIC)]
        outcomes = without_suspects(search(engine, asked))
        calibrations: list[tuple[str, float, Prior | None]] = [
            (f"{source}, {share:.0%} unanswerable", share, None if source == LABELS else prior_without(name))
            for share in SHARES
        ]
        if source != LABELS:
            calibrations += [(label + WITHOUT, share, None) for label, share, _ in calibrations]
        for label, share, prior in calibrations:
            try:
                models[label], report = fit_confidence(
                    outcomes,
                    k=K,
                    candidates=CANDIDATES,
                    records=engine.count(),
                    source=source,
                    unanswerable=share,
                    seed=SEED,
                    prior=prior,
                )
            except InvalidInputError as error:
                console.print(f"{name}, {label}: {error}")
                continue
            reports[label] = {
                **asdict(report),
                "weights": dict(zip(models[label].signals, models[label].weights, strict=True)),
            }
    return models, reports


def prior_without(name: str) -> Prior:
    """The prior that knows nothing of a collection."""
    priors = json.loads((RESULTS / "confidence_prior.json").read_text())["priors"]
    return read_row(Prior, priors[name]) if name in priors else WITH_WORDS


def _measure(
    parts: tuple[Floats, ...], hits: NDArray[np.bool_], ndcg: Floats, *, probabilities: bool
) -> dict[str, Any]:
    """All metrics of one score; `parts` holds it for queries as they are, left out, and off topic."""
    whole, left_out, off_topic = parts
    both, outcome = np.concatenate([whole, left_out]), np.concatenate([hits, np.zeros(len(left_out), bool)])
    draws = resample(lambda rows: nauc(ndcg[rows], whole[rows]), len(whole), SEED, 500)
    area = interval(nauc(ndcg, whole), draws)
    found: dict[str, Any] = {
        "nauc": area.mean,
        "nauc_interval": (area.low, area.high),
        "auroc_hit": _auroc(hits, whole),
        "auroc_mixed": _auroc(outcome, both),
        "auroc_off_topic": _auroc(
            np.repeat([True, False], [len(whole), len(off_topic)]), np.concatenate([whole, off_topic])
        ),
    }
    if probabilities:
        for name, labels, values in (("hit", hits, whole), ("mixed", outcome, both)):
            found[f"ece_{name}"] = expected_calibration_error(labels, values)
            found[f"brier_{name}"] = float(np.mean((values - labels) ** 2))
            found[f"brier_{name}_constant"] = float(labels.mean() * (1 - labels.mean()))
    return found


def _auroc(labels: NDArray[np.bool_], values: Floats) -> float | None:
    return float(roc_auc_score(labels, values)) if 0 < labels.sum() < len(labels) else None


def _table(metric: str, results: Mapping[str, Any]) -> None:
    names = list(dict.fromkeys(name for r in results.values() for name in r["scores"]))
    rows = []
    for name in names:
        values = [r["scores"].get(name, {}).get(metric) for r in results.values()]
        if all(v is None for v in values):
            continue
        known = [v for v in values if v is not None]
        rows.append([name, *("-" if v is None else f"{v:.3f}" for v in values), f"{np.mean(known):.3f}"])
    show(f"{metric}, test split", ["", *results, "mean of known"], rows)


if __name__ == "__main__":
    main()
