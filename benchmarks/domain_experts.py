"""Domain experts: four fine-tuned MiniLMs as one ensemble, on their own domains and on others.

    python -m benchmarks.domain_experts
    python -m benchmarks.domain_experts --questions 40 --documents 80 --queries 10    # small

The UEC paper's language experts (MIRACL), in small. Each expert is fine-tuned on the train qrels of its domain
(`benchmarks.domains`) and has its posterior fitted on pairs of that domain alone. Zeros and priors come from one
common reference set, the union of all experts' pairs; temperatures and the weights of the peers are chosen on train
queries that no expert was trained on. Words are a fifth expert, whose share nothing here chooses; the table `gain` says
what experts gain without them and with them (`benchmarks.domain_words`). Reported: test queries
against their own corpus (policyqa inside the policy; `domain_experts.json`) and, without policyqa, whose questions name
no company, against all corpora merged (`domain_experts_merged.json`). Models and encodings stay in `--work`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.common import SEED, console, save_result, show
from benchmarks.comparison import compare_table
from benchmarks.domain_study import (
    DOMAIN_OF,
    GROUPED,
    DomainStudy,
    add_study_arguments,
    domain_expert,
    set_up,
)
from benchmarks.domain_words import RightExpert, gain_table, words_variants
from benchmarks.domains import DOMAINS
from benchmarks.merging import task_arithmetic, weighted_average
from benchmarks.retrieval import WITH_WORDS, word_ablations
from devtools.models import MINILM, real_model
from uec_retriever.evaluation.collection import (
    Collection,
    merge_collections,
    with_queries,
)
from uec_retriever.evaluation.methods import FAMILIES, RetrievalOptions
from uec_retriever.evaluation.metrics import NDCG, rank_metrics
from uec_retriever.evaluation.retrieval import summarise
from uec_retriever.evaluation.retrieval_study import RetrievalStudy
from uec_retriever.evaluation.uae import embed_corpus, search
from uec_retriever.experts.expert import Expert

SCALES = (0.25, 0.4, 0.6, 1.0)


def main() -> None:
    """Run, print, save."""
    arguments = _arguments()
    study = set_up(arguments)
    tests, trains = study.tests, study.trains
    merged = _merged_models(arguments, study)
    whole = merge_collections([c for c in tests if c.name not in GROUPED], "all")
    asked = with_queries(whole, [c for c in trains if c.name not in GROUPED])
    choosing = asked.by_domain()
    options = RetrievalOptions(
        [family for family in FAMILIES if family != "hybrid"],
        temperature="train",
        scopes=dict.fromkeys(GROUPED, "group"),
        variants={**words_variants(), **word_ablations()},
        seed=SEED,
    )
    methods = RetrievalStudy(study.experts, options, merged=merged)
    right = RightExpert(study.experts, options)
    settings = {k: v for k, v in vars(arguments).items() if not isinstance(v, Path)}
    for name, collections in ((arguments.name, tests), (f"{arguments.name}_merged", whole.by_domain())):
        measured = []
        for collection in collections:
            console.print(collection.name)
            measured.append(right.add(methods.measure(collection, choosing)))
        result = summarise(measured, options)
        for found, collection in zip(result["sets"].values(), collections, strict=True):
            [domain] = collection.domains
            found["domain"] = DOMAIN_OF.get(domain, domain)
        trained = [key for key, found in result["sets"].items() if found["domain"] in DOMAINS]
        result["tables"] = [gain_table(measured, trained), compare_table(measured, WITH_WORDS, "words")]
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


def _merged_models(arguments: argparse.Namespace, study: DomainStudy) -> dict[str, Expert]:
    """Parameter merging: uniform, weighted in proportion to each expert's train nDCG@10, task arithmetic with the best scale."""
    if arguments.merging == "none":
        return {}
    base = SentenceTransformer(str(real_model(MINILM)), device="cpu")
    models = [SentenceTransformer(str(folder), device="cpu") for folder in study.folders.values()]
    found = {"merged uniform": weighted_average(models)}
    if arguments.merging == "all":
        scores = [_train_score(m, study.trains, arguments) for m in models]
        found["merged weighted"] = weighted_average(models, scores)
        scaled = {s: task_arithmetic(base, models, s) for s in SCALES}
        best = max(SCALES, key=lambda s: _train_score(scaled[s], study.trains, arguments))
        console.print(f"task arithmetic: scale {best} by train queries")
        found["merged task arithmetic"] = scaled[best]
    return {
        label: study.cache.expert(domain_expert(m, label, arguments.max_length)) for label, m in found.items()
    }


def _train_score(
    model: SentenceTransformer, trains: Sequence[Collection], arguments: argparse.Namespace
) -> float:
    """Mean nDCG@10 of train queries, each set's among the passages that answer some of them."""
    model.max_seq_length = arguments.max_length
    values = []
    for collection in trains:
        small = collection.sample(arguments.merging_queries, SEED).shorten(1)
        scope = "group" if collection.name in GROUPED else "corpus"
        ranking = search(model, small, embed_corpus(model, small), scope).ranking
        values.append(float(rank_metrics(small.queries, ranking.ids(small), [NDCG])[NDCG].mean()))
    return float(np.mean(values))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_study_arguments(parser)
    parser.add_argument("--merging", choices=("none", "uniform", "all"), default="all")
    parser.add_argument(
        "--merging-queries", type=int, default=40, help="train queries of each set for merging"
    )
    parser.add_argument("--name", default="domain_experts", help="of the JSON files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
