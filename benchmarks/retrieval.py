"""Every method side by side on real collections: single experts, ensembles, hybrids, UEC, ablations, oracles.

    python -m benchmarks.retrieval                      # all retrieval sets, MiniLM and WordLlama
    python -m benchmarks.retrieval --experts all-MiniLM-L6-v2 wordllama-256 all-mpnet-base-v2
    python -m benchmarks.retrieval --sets metatool --queries 50 --documents 100

Posteriors are fitted on pseudo-pairs of each corpus, no label is used; the temperature is chosen on held-out
pseudo-pairs (`--temperature train`: on train queries where there are any), the weights of `weighted` on train
queries, or pseudo-pairs; the weights of the convex hybrids on the train queries of all sets that have some, as k1, b and
the lexical share were (`benchmarks.words`). Documents and queries are encoded once, all methods score the same vectors exactly (no
approximate index). Report on `test`; `--split train` is for choosing. `uec eval retrieval` does the same on any data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.common import (
    PROVENANCE,
    SEED,
    add_expert_arguments,
    console,
    data_folder,
    load_experts,
    load_set,
    pairs_of,
    save_result,
    show,
)
from benchmarks.comparison import compare_table
from benchmarks.framework_fusion import langchain_fusion, llama_index_fusion
from benchmarks.framework_hybrids import add_framework_hybrids
from uec_retriever.cli.eval_options import show_tables
from uec_retriever.evaluation.choosing import LabelledSet
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.collection_encoder import CollectionEncoder
from uec_retriever.evaluation.encoding_cache import EncodingCache
from uec_retriever.evaluation.expert_set import ExpertSet, fit_on_corpus
from uec_retriever.evaluation.hybrid import choose_weights_of_words
from uec_retriever.evaluation.methods import FAMILIES, RRF, UEC, RetrievalOptions
from uec_retriever.evaluation.metrics import NDCG, rank_metrics
from uec_retriever.evaluation.retrieval import summarise, train_collections
from uec_retriever.evaluation.retrieval_study import Measurements, RetrievalStudy
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.lexical import LexicalShare

SETS = (
    "cranfield", "scifact_partial", "covidqa", "metatool", "pubmedqa", "qasper_dev_evidence", "policyqa", "techqa_130",
    "hotpotqa_100", "musique_100",
)  # fmt: skip
IN_GROUPS = ("policyqa",)  # its questions make sense only inside one policy
FIXED_TEMPERATURE = 0.2
WITH_WORDS = "UEC kron + words"
BY_VARIANCE = LexicalShare(0.5, -5.11, 8.0)  # the best of those that `benchmarks.words` tries


def main() -> None:
    """Run, print, save."""
    arguments = _arguments()
    cache = EncodingCache(arguments.cache)
    experts = [cache.expert(expert) for expert in load_experts(arguments.experts)]
    options = RetrievalOptions(
        methods=arguments.methods,
        temperature=arguments.temperature,
        scopes={name: "group" for name in IN_GROUPS},
        variants=variants([s for s in ("diag", "kron") if s in arguments.methods]),
        pairs=arguments.max_pairs,
        seed=SEED,
    )
    measured: list[Measurements] = []
    seconds: dict[str, float] = {}
    collections = [
        load_set(name, arguments.split, queries=arguments.queries).shorten(arguments.documents)
        for name in arguments.sets
    ]
    folders = [data_folder() / name for name in arguments.sets]
    train = {} if arguments.split == "train" else train_collections(folders, collections)
    options = replace(options, hybrid_weights=choose_hybrid_weights(experts, options, train))
    for collection in collections:
        start, name = time.monotonic(), collection.name
        fitted = fit_on_corpus(collection, experts, options.pairs, SEED, options.structures())
        study = RetrievalStudy(fitted, options)
        measured.append(add_framework_hybrids(study.measure(collection, train.get(name, ()))))
        seconds[name] = time.monotonic() - start
        console.print(f"{name}: {seconds[name]:.0f} s")
    result: dict[str, Any] = {**summarise(measured, options), "seconds": seconds}
    if WITH_WORDS in measured[0].kinds:
        result["tables"] = [compare_table(measured, WITH_WORDS, "words")]
    show_tables({**result, **PROVENANCE}, "retrieval")
    if arguments.framework_fusion:
        result["framework fusion"] = {m.collection.name: framework_fusion(m) for m in measured}
        systems = list(next(iter(result["framework fusion"].values())))
        fused = [
            [system, *(f"{found[system]:.4f}" for found in result["framework fusion"].values())]
            for system in systems
        ]
        show(f"{NDCG} of reciprocal rank fusion", ["", *arguments.sets], fused)
    save_result(arguments.name, result, arguments.out)


def variants(structures: Sequence[str]) -> dict[str, UEC]:
    """What the families do not have: without prior, under a low temperature, and other shares of words."""
    found = {}
    for s in structures:
        found[f"UEC {s}, no prior"] = UEC(s, prior=False)
        found[f"UEC {s}, T = {FIXED_TEMPERATURE}"] = UEC(s, temperature=FIXED_TEMPERATURE)
    if "kron" in structures:
        found[f"{WITH_WORDS}, by variance"] = UEC(words=BY_VARIANCE)
        found |= word_ablations()
    return found


def word_ablations() -> dict[str, UEC]:
    """UEC kron with words, a part of it left out: what the dense experts divide stays theirs."""
    return {
        f"{WITH_WORDS}, no similarity": UEC(words=LexicalShare(), similarity=False),
        f"{WITH_WORDS}, no coefficients": UEC(words=LexicalShare(), coefficients=False),
    }


def choose_hybrid_weights(
    experts: Sequence[Expert], options: RetrievalOptions, train: Mapping[str, Sequence[Collection]]
) -> dict[str, float]:
    """The weight of words in each convex hybrid, one for all sets; none where there are no train queries."""
    if "hybrid" not in options.methods or not train:
        return {}
    labels = [e.label for e in experts]

    def encode() -> Iterator[LabelledSet]:
        asked = [c for found in train.values() for c in found]
        known = ExpertSet(experts, {}, pairs_of(asked[0]))
        encoder = CollectionEncoder(known, (), lexical=(options.lexical, options.analyzer))
        for collection in asked:
            sampled = collection.sample(options.train_queries, options.seed)
            yield LabelledSet(sampled, encoder.encode(sampled), options.scopes.get(collection.name, "corpus"))

    found = choose_weights_of_words(options.hybrids(labels), labels, encode())
    console.print("weights of words:", found)
    return found


def framework_fusion(measured: Measurements) -> dict[str, float]:
    """nDCG@10 of our fusion and of the frameworks' own, on the same rankings of the single experts."""
    collection = measured.collection
    rankings = [measured.rankings[label].documents for label in measured.labels]

    def ndcg(found: Sequence[Sequence[int]]) -> float:
        ranked = {
            q.id: [collection.ids[i] for i in row[:100]]
            for q, row in zip(collection.queries, found, strict=True)
        }
        return float(rank_metrics(collection.queries, ranked, (NDCG,))[NDCG].mean())

    return {
        RRF: float(measured.values[RRF][NDCG].mean()),
        "LangChain EnsembleRetriever": ndcg(langchain_fusion(rankings)),
        "LlamaIndex QueryFusionRetriever": ndcg([found for found, _ in llama_index_fusion(rankings)]),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--split", default="test")
    parser.add_argument("--methods", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--temperature", type=_temperature, default="references")
    parser.add_argument("--queries", type=int, help="at most this many queries of each set")
    parser.add_argument(
        "--documents", type=int, help="at most this many documents of each set, all relevant ones among them"
    )
    parser.add_argument("--max-pairs", type=int, default=640)
    parser.add_argument("--cache", type=Path, help="folder that keeps encodings for the next run")
    parser.add_argument(
        "--framework-fusion",
        action="store_true",
        help="fuse by LangChain's and LlamaIndex's own classes too (groups langchain and llama-index)",
    )
    add_expert_arguments(parser)
    parser.add_argument("--name", default="retrieval", help="of the JSON file")
    return parser.parse_args()


def _temperature(text: str) -> float | str:
    return text if text in ("references", "train") else float(text)


if __name__ == "__main__":
    main()
