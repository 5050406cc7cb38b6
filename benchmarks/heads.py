"""Which head where: the last layer against the identity head, for models that have both, at equal pairs.

    python -m benchmarks.heads                                          # all three tasks
    python -m benchmarks.heads --tasks classification --limit 300       # one of them, small

Retrieval: posteriors on pseudo-pairs of each corpus, test split. Domains: four fine-tuned MiniLMs, each fitted on pairs of
its own domain (`benchmarks.domain_experts`; with `--work` of that benchmark nothing is trained or encoded anew).
Classification: which texts belong to no class, AUROC of the variances. Each text goes through a model once: the identity
head's features are the last layer's embeddings.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.classification_data import ClassificationOptions
from benchmarks.classification_study import study_classification
from benchmarks.common import (
    SEED,
    add_expert_arguments,
    console,
    data_folder,
    load_experts,
    load_set,
    save_result,
    show,
)
from benchmarks.domain_study import DOMAIN_OF, GROUPED, add_study_arguments, set_up
from benchmarks.domains import domain_pairs
from benchmarks.retrieval import IN_GROUPS, SETS
from uec_retriever.evaluation.bootstrap import interval, mean_cell, resample_means
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.encoding_cache import EncodingCache
from uec_retriever.evaluation.expert_set import ExpertSet, fit_experts, fit_on_corpus
from uec_retriever.evaluation.methods import RetrievalOptions
from uec_retriever.evaluation.metrics import NDCG
from uec_retriever.evaluation.retrieval_study import Measurements, RetrievalStudy
from uec_retriever.experts.expert import Expert
from uec_retriever.experts.head import Role
from uec_retriever.experts.identity import IdentityHead
from uec_retriever.experts.text_embedding import Batch, TextEmbedding

TASKS = ("classification", "retrieval", "domains")
METHODS = ["single", "uniform", "diag", "kron", "sum", "oracle"]
COMPARED = ("UEC diag", "UEC kron", "UEC kron sum")
NOTE = "difference: identity head minus last layer; [...]: 95 % paired bootstrap interval over queries"


class Means(TextEmbedding):
    """The embeddings of an expert, without the features of its last layer.

    Args:
        expert: preferably of an `EncodingCache`.
    """

    costly = False

    def __init__(self, expert: Expert) -> None:
        self.name = expert.name
        self._expert = expert

    @property
    def fingerprint(self) -> str:
        """The model's own, marked."""
        return f"identity head of {self._expert.fingerprint}"

    @property
    def dimension(self) -> int:
        """D."""
        return self._expert.dimension

    def embed(
        self, texts: Sequence[str], role: Role, *, batch_size: int, prompts: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """All of the texts at once (see `TextEmbedding.embed`)."""
        found = self._expert.linearise(texts, role, batch_size=batch_size, prompts=prompts)
        yield range(len(texts)), found.embeddings.numpy()


def identity_of(expert: Expert) -> Expert:
    """The same model with an identity head."""
    return Expert(IdentityHead(Means(expert)), expert.name, label=expert.label)


def main() -> None:
    """Run, print, save."""
    arguments = _arguments()
    result: dict[str, Any] = {
        "kind": "tables",
        "title": "Last layer or identity head",
        "split": "test",
        "settings": _settings(arguments),
        "tables": [],
    }
    run: dict[str, Callable[[argparse.Namespace], list[dict[str, Any]]]] = {
        "classification": classification,
        "retrieval": retrieval,
        "domains": domains,
    }
    for task in arguments.tasks:
        for table in run[task](arguments):
            result["tables"].append(table)
            show(table["title"], table["columns"], table["rows"])
    save_result(arguments.name, result, arguments.out)


def classification(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """AUROC of each variance for texts of no class, under both heads."""
    cache = EncodingCache(arguments.work / "encodings")
    last = [cache.expert(e) for e in load_experts(arguments.experts)]
    options = ClassificationOptions(arguments.limit, arguments.labels, rounds=2, seed=SEED)
    rows = []
    for name in arguments.classification_sets:
        found = [
            study_classification(data_folder() / name, experts, options)[0]["out_of_scope"]
            for experts in (last, [identity_of(e) for e in last])
        ]
        rows += [
            [name, signal.removeprefix("variance: "), *(_auroc(one[signal]) for one in found)]
            for signal in found[0]
            if signal.startswith("variance: ")
        ]
    columns = ["set", "variance of", "last layer", "identity head"]
    return [
        {
            "name": "out_of_scope",
            "title": "AUROC of the variance: texts of no class against texts of one",
            "columns": columns,
            "rows": rows,
            "note": "[...]: 95 % bootstrap interval over texts",
        }
    ]


def retrieval(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """nDCG@10 of UEC under both heads, posteriors of each corpus."""
    cache = EncodingCache(arguments.work / "encodings")
    last = [cache.expert(e) for e in load_experts(arguments.experts)]
    options = RetrievalOptions(METHODS, scopes=dict.fromkeys(IN_GROUPS, "group"), seed=SEED)
    options = replace(options, methods=[m for m in METHODS if m != "sum"])
    pairs = []
    for name in arguments.sets:
        console.print(name)
        collection = load_set(name, "test", queries=arguments.queries).shorten(arguments.documents)
        pairs.append(
            [_fit_and_measure(collection, e, options) for e in (last, [identity_of(e) for e in last])]
        )
    return [_compare("retrieval", "nDCG@10, experts that are generalists", pairs)]


def _fit_and_measure(
    collection: Collection, experts: Sequence[Expert], options: RetrievalOptions
) -> Measurements:
    fitted = fit_on_corpus(collection, experts, options.pairs, SEED, options.structures())
    return RetrievalStudy(fitted, options).measure(collection)


def domains(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """nDCG@10 of UEC under both heads, experts of one domain each, T by train queries."""
    study = set_up(arguments)
    other = [identity_of(e) for e in study.experts.experts]
    pairs = {domain: domain_pairs(domain, arguments.pairs) for domain in study.folders}
    identity = ExpertSet(other, fit_experts(other, pairs), study.experts.references)
    options = RetrievalOptions(
        METHODS, temperature="train", scopes=dict.fromkeys(GROUPED, "group"), seed=SEED
    )
    studies = [RetrievalStudy(s, options) for s in (study.experts, identity)]
    measured = []
    for collection in study.tests:
        console.print(collection.name)
        measured.append([s.measure(collection, study.trains) for s in studies])
    trained = [m for m in measured if m[0].collection.name in DOMAIN_OF]
    return [
        _compare("domains", "nDCG@10, experts of one domain each, all sets", measured),
        _compare("domains_trained", "nDCG@10, experts of one domain each, sets of these domains", trained),
        _trust(trained),
    ]


def _compare(name: str, title: str, pairs: Sequence[Sequence[Measurements]]) -> dict[str, Any]:
    """A row for each method and set: both heads and their paired difference; the mean of the sets last."""
    rows = []
    for method in (m for m in COMPARED if m in pairs[0][0].values):
        cells = [mean_cell(b.values[method][NDCG], a.values[method][NDCG], SEED) for a, b in pairs]
        for (one, _), cell in zip(pairs, cells, strict=True):
            rows.append([method, one.collection.name, *_difference(cell)])
        last, identity = (
            sum(float(m.values[method][NDCG].mean()) for m in side) / len(pairs)
            for side in zip(*pairs, strict=True)
        )
        gaps = [b.values[method][NDCG] - a.values[method][NDCG] for a, b in pairs]
        whole = interval(identity - last, np.mean([resample_means(gap, SEED) for gap in gaps], axis=0))
        shown = f"{whole.mean:+.4f} [{whole.low:+.4f}, {whole.high:+.4f}]"
        rows.append([method, "mean", f"{last:.4f}", f"{identity:.4f}", shown])
    columns = ["method", "set", "last layer", "identity head", "difference"]
    return {"name": name, "title": title, "columns": columns, "rows": rows, "note": NOTE}


def _difference(cell: dict[str, Any]) -> list[str]:
    d = cell["difference"]
    return [
        f"{cell['mean'] - d['mean']:.4f}",
        f"{cell['mean']:.4f}",
        f"{d['mean']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]",
    ]


def _trust(pairs: Sequence[Sequence[Measurements]]) -> dict[str, Any]:
    """Mean coefficient of the expert of the set's own domain, under both heads."""
    rows = []
    for method in (m for m in COMPARED if m in pairs[0][0].coefficients):
        for one, other in pairs:
            right = DOMAIN_OF[one.collection.name]
            shares = [f"{float(m.coefficients[method][right].mean()):.2f}" for m in (one, other)]
            rows.append([method, one.collection.name, *shares])
    columns = ["method", "set", "last layer", "identity head"]
    return {
        "name": "trust",
        "title": "trust in the right expert",
        "columns": columns,
        "rows": rows,
        "note": "mean of pi",
    }


def _auroc(cell: dict[str, float]) -> str:
    return f"{cell['AUROC']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {k: v for k, v in vars(arguments).items() if not isinstance(v, Path)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",  # both have --out
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="of retrieval")
    parser.add_argument(
        "--classification-sets", nargs="+", default=["clinc150"], help="with out-of-scope texts"
    )
    parser.add_argument("--limit", type=int, help="at most this many texts of no class, and as many of one")
    parser.add_argument("--labels", type=int, help="at most this many classes")
    parser.add_argument("--name", default="heads", help="of the JSON file")
    add_expert_arguments(parser)
    add_study_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
