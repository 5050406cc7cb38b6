"""What benchmarks on domain experts share: collections, experts with posteriors of their own domain, calibration."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sentence_transformers import SentenceTransformer

from benchmarks.common import SEED, console, data_folder
from benchmarks.domains import (
    DOMAINS,
    add_training_arguments,
    domain_pairs,
    domain_questions,
    train_experts,
)
from uec_retriever.evaluation.collection import Collection, load_collection
from uec_retriever.evaluation.encoding_cache import CachedExpert, EncodingCache
from uec_retriever.evaluation.expert_set import ExpertSet, fit_experts, join_pairs
from uec_retriever.experts.expert import Expert
from uec_retriever.training.data import split_heldout
from uec_retriever.training.options import TrainingOptions

UNTRAINED = ("cranfield", "techqa_130", "hotpotqa_100")
GROUPED = ("policyqa",)
DOMAIN_OF = {name: domain for domain, members in DOMAINS.items() for name in members}


@dataclass(frozen=True, eq=False)
class DomainStudy:
    """Everything before the comparison.

    Attributes:
        tests: test queries of every set, each with its own corpus.
        trains: train queries of the trained domains' sets that no expert was trained on.
        folders: domain -> model folder.
        experts: with posteriors of each from pairs of its domain, and the union of all pairs.
        cache: keeps what went through a model.
    """

    tests: list[Collection]
    trains: list[Collection]
    folders: dict[str, Path]
    experts: ExpertSet
    cache: EncodingCache


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the training, of sizes and of `--out`."""
    add_training_arguments(parser)
    parser.add_argument("--queries", type=int, default=150, help="test queries of each set, at most")
    parser.add_argument(
        "--train-queries", type=int, default=80, help="train queries of each set for choosing"
    )
    parser.add_argument("--documents", type=int, help="passages of each set; those judged always stay")
    parser.add_argument("--pairs", type=int, default=400, help="calibration pairs of each expert, at most")
    parser.add_argument("--references", type=int, default=100, help="reference pairs of each domain, at most")
    parser.add_argument(
        "--untrained",
        nargs="*",
        default=list(UNTRAINED),
        choices=UNTRAINED,
        help="sets of domains no expert knows",
    )
    parser.add_argument("--out", type=Path, help="folder for the JSON")


def set_up(arguments: argparse.Namespace) -> DomainStudy:
    """Train what is missing, load the sets, fit the posteriors."""
    folders = train_experts(
        arguments.work, arguments.questions, arguments.epochs, arguments.lr, arguments.max_length
    )
    names = [name for domain in DOMAINS.values() for name in domain]
    tests, trains = _collections(arguments, [*names, *arguments.untrained])
    cache = EncodingCache(arguments.work / "encodings")
    experts: list[CachedExpert] = [
        cache.expert(
            domain_expert(SentenceTransformer(str(folder), device="cpu"), domain, arguments.max_length)
        )
        for domain, folder in folders.items()
    ]
    pairs = {domain: domain_pairs(domain, arguments.pairs) for domain in DOMAINS}
    console.print("fitting posteriors")
    references = join_pairs(list(pairs.values()), arguments.references)
    return DomainStudy(
        tests, trains, folders, ExpertSet(experts, fit_experts(experts, pairs), references), cache
    )


def domain_expert(model: SentenceTransformer, label: str, max_length: int) -> Expert:
    """A model as an expert, its texts cut as in training."""
    model.max_seq_length = max_length
    return Expert(model, label, label=label)


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
        both = replace(test, queries=[*test.queries, *unseen]).shorten(arguments.documents)
        tests.append(replace(both, queries=test.queries))
        if unseen:
            trains.append(replace(both, split="train", queries=unseen))
    return tests, trains


def _seen(domain: str, limit: int) -> set[str]:
    """Questions that an expert's weights were trained on; those that chose its checkpoint are not among them."""
    training, _ = split_heldout(domain_questions(domain, limit), TrainingOptions().heldout, SEED)
    return {q.id for q in training}
