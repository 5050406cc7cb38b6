"""`uec eval retrieval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uec_retriever.cli.common import DEVICE, JSON, TRUST, load_experts, must_exist, quiet_libraries, status
from uec_retriever.cli.eval_options import EXPERT, OUT, QUERIES, SEED, SPLIT, finish, split_labels

if TYPE_CHECKING:
    from uec_retriever.evaluation.collection import Collection
    from uec_retriever.evaluation.expert_set import ExpertSet
    from uec_retriever.experts.expert import Expert

_METHODS = "single,uniform,weighted,rrf,merged,diag,kron,sum,words,hybrid,ablation,oracle"


def retrieval(
    data: Annotated[
        list[Path],
        typer.Option(callback=must_exist, help="BEIR folder. Repeat for more.", show_default=False),
    ],
    expert: EXPERT,
    posterior: Annotated[
        list[str] | None,
        typer.Option(
            help="A posterior of 'uec fit' as LABEL=FILE, repeated for all; fitted on each corpus if absent."
        ),
    ] = None,
    merged: Annotated[
        list[str] | None,
        typer.Option(help="A model to search with on its own, say of merged parameters, as LABEL=PATH."),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(help=f"{_METHODS.replace(',', ', ')}: all if absent.", show_default=False),
    ] = _METHODS,
    split: SPLIT = "test",
    temperature: Annotated[
        str,
        typer.Option(help="T: a number, 'references' (held-out pairs) or 'train' (its nDCG@10)."),
    ] = "references",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="SET=group asks a set's questions inside their own groups. Repeat."),
    ] = None,
    merge: Annotated[
        bool, typer.Option(help="Ask every set's questions against the merged corpus of all, too.")
    ] = False,
    queries: QUERIES = None,
    documents: Annotated[
        int | None, typer.Option(min=1, help="At most this many documents, all relevant ones among them.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=16, help="At most this many pseudo-pairs of a corpus.")] = 640,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps encodings; the next run continues from there.")
    ] = None,
    out: OUT = None,
    seed: SEED = 0,
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Compare single experts, ensembles, rank fusion and UEC on the same embeddings, searched exactly.

    nDCG@10 (the file also has Recall, MAP, MRR, abstention and coefficients) with 95 % bootstrap intervals. Weights are
    chosen on the train split, or on pseudo-pairs of the corpus where there is none.

    Example: `uec eval retrieval --data scifact --expert mini=MODEL --expert static=MODEL --out results`
    """
    files, others = split_labels("--posterior", posterior), split_labels("--merged", merged)
    scopes = split_labels("--scope", scope, "SCOPE")
    experts: Sequence[Expert] = load_experts(expert, device, trust_remote_code)
    with status("Reading the collections"):
        quiet_libraries()
        from uec_retriever.evaluation.collection import load_collection
        from uec_retriever.evaluation.encoding_cache import EncodingCache
        from uec_retriever.evaluation.methods import RetrievalOptions
        from uec_retriever.evaluation.provenance import provenance
        from uec_retriever.evaluation.retrieval import run_retrieval, train_collections
        from uec_retriever.experts.expert import Expert

        begun = provenance(seed)
        options = RetrievalOptions(
            methods=[m.strip() for m in methods.split(",")],
            temperature=_temperature(temperature),
            scopes={name: values[-1] for name, values in scopes.items()},
            pairs=pairs,
            seed=seed,
        )
        collections = [load_collection(f, split).sample(queries, seed).shorten(documents) for f in data]
        keep = EncodingCache(cache)
        experts = [keep.expert(e) for e in experts]
        loading = {"device": device, "trust_remote_code": trust_remote_code}
        models = {
            label: keep.expert(Expert.load(paths[-1], label=label, **loading))  # type: ignore[arg-type]
            for label, paths in others.items()
        }
        trains: Mapping[str, Sequence[Collection]] = {}
        if split != "train":
            trains = train_collections(data, collections)
        fitted = _load_fitted(experts, files, collections, pairs, seed) if files else None
        if merge:
            collections, trains = _with_merged(collections, trains)
    with status("Evaluating") as spinner:
        result = run_retrieval(
            collections,
            fitted or experts,
            options,
            merged=models,
            train=trains,
            progress=lambda name: spinner.update(name) if spinner else None,
        )
    named = {e.label: e.name for e in [*experts, *models.values()]}
    finish("retrieval", {**begun, "models": named, **result}, out, json)


def _temperature(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # a way to choose it; the options refuse others


def _load_fitted(
    experts: Sequence[Expert],
    files: Mapping[str, Sequence[str]],
    collections: Sequence[Collection],
    pairs: int,
    seed: int,
) -> ExpertSet:
    """Given posteriors; their references are pseudo-pairs of all collections, as many of each."""
    from uec_retriever.evaluation.expert_set import (
        ExpertSet,
        collection_pairs,
        join_pairs,
        load_experts_fitted,
    )

    fitted = load_experts_fitted(experts, {label: [Path(p) for p in paths] for label, paths in files.items()})
    each = max(16, pairs // len(collections))
    return ExpertSet(experts, fitted, join_pairs([collection_pairs(c, each, seed) for c in collections]))


def _with_merged(
    collections: list[Collection], trains: Mapping[str, Sequence[Collection]]
) -> tuple[list[Collection], dict[str, Sequence[Collection]]]:
    """Each set in the merged corpus, beside the sets; chosen on all train queries there."""
    from uec_retriever.evaluation.collection import merge_collections, with_queries

    whole = merge_collections(collections)
    parts = whole.by_domain()
    labelled = [c for found in trains.values() for c in found]
    tuning = with_queries(whole, labelled).by_domain() if labelled else []
    return [*collections, *parts], {**trains, **{c.name: tuning for c in parts}}
