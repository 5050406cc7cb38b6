"""`uec calibrate-confidence`: have searches say how far their hits are to be trusted."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from uec_retriever.cli.common import (
    BATCH,
    COLLECTION,
    DATABASE,
    DEVICE,
    HEADER,
    INDEX,
    JSON,
    MOVED,
    SERVER,
    TENANT,
    TRUST,
    bar,
    errors,
    locate,
    open_engine,
    output,
    print_json,
    status,
)
from uec_retriever.cli.labelled import (
    DATA,
    DEFAULT_LIMIT,
    JUDGEMENTS,
    QRELS,
    QUERIES,
    SPLIT,
    LabelSource,
    check_unanswerable,
    read_judgements,
    warn_of_reported,
)
from uec_retriever.cli.lexical import index_words

DEFAULT_QUERIES = 400
_POOR = 0.6  # AUROC


def calibrate_confidence(
    context: typer.Context,
    index: INDEX,
    queries: QUERIES = None,
    qrels: QRELS = None,
    data: DATA = None,
    split: SPLIT = None,
    judgements: JUDGEMENTS = False,
    k: Annotated[int, typer.Option("-k", min=1, help="Hits among which a right answer is to be.")] = 10,
    unanswerable: Annotated[
        float,
        typer.Option(help="Share of queries without an answer in the index that you expect, in [0, 1)."),
    ] = 0.5,
    max_queries: Annotated[
        int | None,
        typer.Option(
            min=32,
            help=f"At most this many; if absent {DEFAULT_QUERIES} made from the index, or {DEFAULT_LIMIT} of --data or --judgements.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of their sample.")] = 0,
    expert: MOVED = None,
    server: SERVER = None,
    header: HEADER = None,
    tenant: TENANT = None,
    database: DATABASE = None,
    collection: COLLECTION = "uec",
    device: DEVICE = None,
    batch_size: BATCH = 32,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Have searches say how probable it is that a right answer is among their hits.

    Needs no labels: titles and first sentences of the index's own texts serve as queries, with and without
    their answer among the candidates. Real queries are harder; `--data`, `--judgements`, or `--queries` and `--qrels`, give yours.
    Do it again when the texts have changed a lot, and after `uec recalibrate`. `--data`, or `--queries` and `--qrels`, calibrate
    coverage, too (`uec search --coverage`): with other queries than `uec recalibrate` was given.

    AUROC: how well confidence tells searches that succeed from those that fail (.5 not at all, 1 perfectly).
    ECE: how far it is from the share that succeeds.
    """
    check_unanswerable(unanswerable)
    source = LabelSource(data, split, queries, qrels, judgements, max_queries)
    source.check(context)
    labelled = source.read()
    location = locate(index, server, header, collection, tenant, database)
    engine = open_engine(location, expert, device, trust_remote_code)
    if judgements:
        labelled = read_judgements(engine, max_queries)
    index_words(engine, location)
    with status("Making queries"):
        from uec_retriever.confidence.queries import index_pairs

        limit = max_queries or DEFAULT_QUERIES
        pairs = index_pairs(engine.pages(), limit=limit, seed=seed) if labelled is None else None
    with bar(
        "Searching", (2 if labelled and not judgements else 1) * len(labelled or pairs or ())
    ) as progress:
        report = engine.calibrate_confidence(
            pairs,
            labelled=labelled,
            k=k,
            unanswerable=unanswerable,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
        )
        covered = (
            None if labelled is None or judgements else engine.calibrate_coverage(labelled, progress=progress)
        )
    warn_of_reported(split, "confidence is")
    from uec_retriever.engine.coverage import rounded_down

    if json:
        print_json({**asdict(report), "coverage": covered and asdict(covered)})
        return
    output.print(
        f"{report.queries} queries, {report.hit_rate:.0%} of the answerable ones with a right answer among the "
        f"first {k}; on queries left out of the fit AUROC {report.auroc:.2f}, ECE {report.ece:.2f}, "
        f"Brier score {report.brier:.3f} (constant: {report.brier_constant:.3f})"
    )
    if covered is None:
        made = "judgements of what was shown" if judgements else "queries that were made"
        output.print(
            f"{made} promise no coverage: for 'uec search --coverage' give labelled queries (--data)"
        )
    else:
        output.print(
            f"coverage up to {rounded_down(covered.highest)} can be promised to queries whose answer is here, on "
            f"{covered.queries} of them ({covered.unanswered} others left out): "
            f"{covered.recall:.0%} of them have it among {covered.candidates} candidates"
        )
    if report.auroc < _POOR:
        errors.print(
            "the confidence hardly tells good searches from bad ones here: do not rely on it, or calibrate it on more real "
            "queries (--data)"
        )
