"""Domain experts: four fine-tuned MiniLMs as one ensemble, on their own domains and on others.

    python -m benchmarks.domain_experts
    python -m benchmarks.domain_experts --questions 40 --documents 80 --queries 10    # small

The UEC paper's language experts (MIRACL), in small. Each expert is fine-tuned on the train qrels of its domain
(`benchmarks.domains`) and has its posterior fitted on pairs of that domain alone. Zeros and priors come from one
common reference set, the union of all experts' pairs; temperatures and the weights of the peers are chosen on train
queries that no expert was trained on. Reported: test queries against their own corpus (policyqa inside the policy;
`domain_experts.json`) and, without policyqa, whose questions name no company, against all corpora merged
(`domain_experts_merged.json`). Models and encodings stay in
`--work`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.common import SEED, console, data_folder, save_result, show
from benchmarks.domains import (
    DOMAINS,
    add_training_arguments,
    domain_pairs,
    domain_questions,
    train_experts,
)
from devtools.models import MINILM, real_model
from uec_retriever.encoders.expert import Expert
from uec_retriever.evaluation.collection import (
    Collection,
    load_collection,
    merge_collections,
    with_queries,
)
from uec_retriever.evaluation.encoding import EncodingCache
from uec_retriever.evaluation.members import Calibration, fit_members, join_pairs
from uec_retriever.evaluation.merging import task_arithmetic, weighted_average
from uec_retriever.evaluation.metrics import NDCG, rank_metrics
from uec_retriever.evaluation.rankers import embed_corpus, search
from uec_retriever.evaluation.retrieval import RetrievalOptions, RetrievalStudy, summarise
from uec_retriever.training.data import split_heldout
from uec_retriever.training.options import TrainingOptions

UNTRAINED = ("cranfield", "techqa_130", "hotpotqa_100")
GROUPED = ("policyqa",)
DOMAIN_OF = {name: domain for domain, members in DOMAINS.items() for name in members}
SCALES = (0.25, 0.4, 0.6, 1.0)


def main() -> None:
    """Run, print, save."""
    arguments = _arguments()
    folders = train_experts(
        arguments.work, arguments.questions, arguments.epochs, arguments.lr, arguments.max_length
    )
    names = [name for domain in DOMAINS.values() for name in domain]
    tests, trains = _collections(arguments, [*names, *UNTRAINED])
    cache = EncodingCache(arguments.work / "encodings")
    experts = [
        cache.expert(_expert(SentenceTransformer(str(folder), device="cpu"), domain, arguments))
        for domain, folder in folders.items()
    ]
    pairs = {domain: domain_pairs(domain, arguments.pairs) for domain in DOMAINS}
    console.print("fitting posteriors")
    calibration = Calibration(
        fit_members(experts, pairs), join_pairs(list(pairs.values()), arguments.references)
    )
    merged = _merged_models(arguments, folders, trains, cache)
    whole = merge_collections([c for c in tests if c.name not in GROUPED], "all")
    asked = with_queries(whole, [c for c in trains if c.name not in GROUPED])
    choosing = asked.by_domain()
    options = RetrievalOptions(temperature="train", scopes=dict.fromkeys(GROUPED, "group"), seed=SEED)
    study = RetrievalStudy(calibration, options, merged=merged)
    settings = {k: v for k, v in vars(arguments).items() if not isinstance(v, Path)}
    for name, collections in (("domain_experts", tests), ("domain_experts_merged", whole.by_domain())):
        measured = []
        for collection in collections:
            console.print(collection.name)
            measured.append(study.measure(collection, choosing))
        result = summarise(measured, options)
        for found, collection in zip(result["sets"].values(), collections, strict=True):
            [domain] = collection.domains
            found["domain"] = DOMAIN_OF.get(domain, domain)
        _print(result)
        save_result(name, {**result, "split": "test", "settings": settings}, arguments.out)


def _print(result: Mapping[str, Any]) -> None:
    """Means alone, sets in rows; intervals are in the JSON."""
    methods = list(result["mean"])
    rows = [
        [name, *(f"{found['methods'][m]['metrics'][NDCG]['mean']:.3f}" for m in methods)]
        for name, found in result["sets"].items()
    ]
    rows.append(["mean", *(f"{result['mean'][m][NDCG]['mean']:.4f}" for m in methods)])
    for start in range(0, len(methods), 7):
        part = slice(1 + start, 8 + start)
        show("nDCG@10, test split", ["set", *methods[start : start + 7]], [[r[0], *r[part]] for r in rows])


def _collections(
    arguments: argparse.Namespace, names: Sequence[str]
) -> tuple[list[Collection], list[Collection]]:
    """Test collections, and those of the trained domains with train queries that no expert has seen."""
    tests, trains = [], []
    seen = {domain: _seen(domain, arguments.questions) for domain in DOMAINS}
    for name in names:
        test = load_collection(data_folder() / name, "test").sample(arguments.queries, SEED)
        unseen = []
        if name in DOMAIN_OF:
            train = load_collection(data_folder() / name, "train")
            fresh = [q for q in train.queries if f"{name}/{q.id}" not in seen[DOMAIN_OF[name]]]
            unseen = list(replace(train, queries=fresh).sample(arguments.train_queries, SEED).queries)
        both = replace(test, queries=[*test.queries, *unseen]).shortened(arguments.documents)
        tests.append(replace(both, queries=test.queries))
        if unseen:
            trains.append(replace(both, split="train", queries=unseen))
    return tests, trains


def _seen(domain: str, limit: int) -> set[str]:
    """Questions that an expert's weights were trained on; those that chose its checkpoint are not among them."""
    training, _ = split_heldout(domain_questions(domain, limit), TrainingOptions().heldout, SEED)
    return {q.id for q in training}


def _expert(model: SentenceTransformer, label: str, arguments: argparse.Namespace) -> Expert:
    model.max_seq_length = arguments.max_length
    return Expert(model, label, label=label)


def _merged_models(
    arguments: argparse.Namespace,
    folders: dict[str, Path],
    trains: Sequence[Collection],
    cache: EncodingCache,
) -> dict[str, Expert]:
    """Parameter merging: uniform, weighted in proportion to each expert's train nDCG@10, task arithmetic with the best scale."""
    base = SentenceTransformer(str(real_model(MINILM)), device="cpu")
    models = [SentenceTransformer(str(folder), device="cpu") for folder in folders.values()]
    found = {"merged uniform": weighted_average(models)}
    if arguments.merging == "all":
        scores = [_train_score(m, trains, arguments) for m in models]
        found["merged weighted"] = weighted_average(models, scores)
        scaled = {s: task_arithmetic(base, models, s) for s in SCALES}
        best = max(SCALES, key=lambda s: _train_score(scaled[s], trains, arguments))
        console.print(f"task arithmetic: scale {best} by train queries")
        found["merged task arithmetic"] = scaled[best]
    return {label: cache.expert(_expert(m, label, arguments)) for label, m in found.items()}


def _train_score(
    model: SentenceTransformer, trains: Sequence[Collection], arguments: argparse.Namespace
) -> float:
    """Mean nDCG@10 of train queries, each set's among the passages that answer some of them."""
    model.max_seq_length = arguments.max_length
    values = []
    for collection in trains:
        small = collection.sample(arguments.merging_queries, SEED).shortened(1)
        scope = "group" if collection.name in GROUPED else "corpus"
        ranking = search(model, small, embed_corpus(model, small), scope)
        values.append(float(rank_metrics(small.queries, ranking.ids(small), [NDCG])[NDCG].mean()))
    return float(np.mean(values))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training_arguments(parser)
    parser.add_argument("--queries", type=int, default=150, help="test queries of each set, at most")
    parser.add_argument(
        "--train-queries", type=int, default=80, help="train queries of each set for choosing"
    )
    parser.add_argument("--documents", type=int, help="passages of each set; those judged always stay")
    parser.add_argument("--pairs", type=int, default=400, help="calibration pairs of each expert, at most")
    parser.add_argument("--references", type=int, default=100, help="reference pairs of each domain, at most")
    parser.add_argument("--merging", choices=("uniform", "all"), default="all")
    parser.add_argument(
        "--merging-queries", type=int, default=40, help="train queries of each set for merging"
    )
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
