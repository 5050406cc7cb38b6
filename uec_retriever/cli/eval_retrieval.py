"""`uec eval retrieval`."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uec_retriever.cli.common import (
    DEVICE,
    JSON,
    TRUST,
    errors,
    finite,
    load_experts,
    output,
    print_json,
    quiet_libraries,
    result_table,
    status,
)
from uec_retriever.errors import InvalidInputError

if TYPE_CHECKING:
    from uec_retriever.evaluation.collection import Collection
    from uec_retriever.evaluation.members import Calibration
    from uec_retriever.experts.expert import Expert

_METHODS = "single,uniform,weighted,rrf,merged,diag,kron,sum,ablation,oracle"


def register(app: typer.Typer) -> None:
    """Add the command to `uec eval`."""
    app.command("retrieval")(retrieval)


def retrieval(
    data: Annotated[list[Path], typer.Option(help="BEIR folder. Repeat for more.", show_default=False)],
    expert: Annotated[
        list[str],
        typer.Option(help="A sentence-transformers model as LABEL=PATH. Repeat.", show_default=False),
    ],
    posterior: Annotated[
        list[str] | None,
        typer.Option(
            help="A posterior of 'uec fit' as LABEL=FILE, for every expert; repeat for both structures. "
            "Fitted on each corpus if absent."
        ),
    ] = None,
    merged: Annotated[
        list[str] | None,
        typer.Option(help="A model to search with on its own, say of merged parameters, as LABEL=PATH."),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(help="What to compare, separated by commas; sum and ablation go with diag and kron."),
    ] = _METHODS,
    split: Annotated[str, typer.Option(help="Which qrels. Choose on train, report on test.")] = "test",
    temperature: Annotated[
        str,
        typer.Option(
            help="T of UEC: a number, 'references' (likelihood of held-out pairs) or 'train' (nDCG@10 on train "
            "queries, where there are any)."
        ),
    ] = "references",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="SET=group asks a set's questions inside their own groups. Repeat."),
    ] = None,
    merge: Annotated[
        bool, typer.Option(help="Ask every set's questions against the merged corpus of all, too.")
    ] = False,
    queries: Annotated[
        int | None, typer.Option(min=1, help="At most this many queries of each set, a random sample.")
    ] = None,
    documents: Annotated[
        int | None, typer.Option(min=1, help="At most this many documents, all relevant ones among them.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=16, help="At most this many pseudo-pairs of a corpus.")] = 640,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps encodings; the next run continues from there.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for retrieval.json.")] = None,
    seed: Annotated[int, typer.Option(help="Of samples and bootstrap.")] = 0,
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Compare single experts, ensembles, rank fusion and UEC on the same embeddings, searched exactly.

    nDCG@10 (the file also has Recall, MAP, MRR, abstention and coefficients) with 95 % bootstrap intervals. Weights are
    chosen on the train split, or on pseudo-pairs of the corpus where there is none.

    Example: `uec eval retrieval --data scifact --expert mini=MODEL --expert static=MODEL --out results`
    """
    files, others, scopes = (
        _named(o, s) for o, s in (("posterior", posterior), ("merged", merged), ("scope", scope))
    )
    experts = load_experts(expert, device, trust_remote_code)
    with status("Reading the collections"):
        quiet_libraries()
        from uec_retriever.atomic import write_atomically
        from uec_retriever.evaluation.encoding import EncodingCache
        from uec_retriever.evaluation.report import provenance
        from uec_retriever.evaluation.retrieval import RetrievalOptions, run_retrieval, train_collections
        from uec_retriever.experts.expert import Expert

        begun = provenance(seed)
        options = RetrievalOptions(
            methods=[m.strip() for m in methods.split(",")],
            temperature=_temperature(temperature),
            scopes={name: values[-1] for name, values in scopes.items()},
            pairs=pairs,
            seed=seed,
        )
        collections = _collections(data, split, queries, documents, seed)
        keep = EncodingCache(cache)
        experts = [keep.expert(e) for e in experts]
        models = {
            label: keep.expert(
                Expert.load(paths[-1], label=label, device=device, trust_remote_code=trust_remote_code)
            )
            for label, paths in others.items()
        }
        trains: Mapping[str, Sequence[Collection]] = {}
        if split != "train":
            trains = train_collections(data, collections)
        calibration = _calibration(experts, files, collections, pairs, seed) if files else None
        if merge:
            collections, trains = _with_merged(collections, trains)
    with status("Evaluating") as spinner:
        result = run_retrieval(
            collections,
            experts,
            options,
            calibration=calibration,
            merged=models,
            train=trains,
            progress=lambda name: spinner.update(name) if spinner else None,
        )
    full = finite({**begun, "models": {e.label: e.name for e in [*experts, *models.values()]}, **result})
    if out:
        text = json_module.dumps(full, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(out / "retrieval.json", text.encode())
        errors.print(f"written to {out / 'retrieval.json'}")
    if json:
        print_json(full)
    else:
        _show(result)


def _named(option: str, specs: Sequence[str] | None) -> dict[str, list[str]]:
    """Label -> what it stands for, in the order given."""
    found: dict[str, list[str]] = {}
    for spec in specs or ():
        label, separator, value = spec.partition("=")
        if not (label and separator and value):
            raise InvalidInputError(
                f"--{option} {spec!r}: say LABEL={'SCOPE' if option == 'scope' else 'PATH'}"
            )
        found.setdefault(label, []).append(value)
    return found


def _temperature(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # a way to choose it; the options refuse others


def _collections(
    data: Sequence[Path], split: str, queries: int | None, documents: int | None, seed: int
) -> list[Collection]:
    from uec_retriever.evaluation.collection import load_collection

    return [load_collection(folder, split).sample(queries, seed).shortened(documents) for folder in data]


def _calibration(
    experts: Sequence[Expert],
    files: Mapping[str, Sequence[str]],
    collections: Sequence[Collection],
    pairs: int,
    seed: int,
) -> Calibration:
    """Given posteriors; their references are pseudo-pairs of all collections, as many of each."""
    from uec_retriever.evaluation.members import Calibration, collection_pairs, join_pairs, load_members

    members = load_members(experts, {label: [Path(p) for p in paths] for label, paths in files.items()})
    each = max(16, pairs // len(collections))
    return Calibration(members, join_pairs([collection_pairs(c, each, seed) for c in collections]))


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


def _show(result: Mapping[str, Any]) -> None:
    from uec_retriever.evaluation.retrieval import retrieval_rows

    columns, rows = retrieval_rows(result)
    title = f"nDCG@10 [95 % interval], {result['split']} split"
    output.print(result_table(title, columns, rows))
    output.print(f"* the paired 95 % interval of the difference to {result['baseline']} leaves out 0")
