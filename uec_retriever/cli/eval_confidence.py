"""`uec eval confidence`: is what an index says of its searches true, and where was it sure and wrong?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from uec_retriever.cli.common import (
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
    finite,
    locate,
    must_exist,
    open_engine,
    output,
    status,
)
from uec_retriever.cli.eval_options import OUT, SEED, finish
from uec_retriever.cli.labelled import (
    DEFAULT_LIMIT,
    JUDGEMENTS,
    QRELS,
    QUERIES,
    LabelSource,
    check_unanswerable,
    read_judgements,
)
from uec_retriever.cli.lexical import index_words
from uec_retriever.data.printable import printable

_SPLIT = "test"
_NAME = "confidence"


def confidence(
    context: typer.Context,
    index: INDEX,
    data: Annotated[
        Path | None,
        typer.Option(
            callback=must_exist, help="BEIR folder of judged queries; its ids are those of the index."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help=f"Which qrels, with --data; {_SPLIT} if absent. Not those it was calibrated on."),
    ] = None,
    queries: QUERIES = None,
    qrels: QRELS = None,
    judgements: JUDGEMENTS = False,
    max_queries: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"At most this many of --data or --judgements, a random sample; {DEFAULT_LIMIT} if absent.",
        ),
    ] = None,
    unanswerable: Annotated[
        float | None,
        typer.Option(
            help="Share of queries whose answer is taken away, in [0, 1); that of the calibration if absent."
        ),
    ] = None,
    failures: Annotated[
        int,
        typer.Option(
            min=0,
            help="How many of the most confident failures to list, with their evidence.",
        ),
    ] = 5,
    out: OUT = None,
    seed: SEED = 0,
    expert: MOVED = None,
    server: SERVER = None,
    header: HEADER = None,
    tenant: TENANT = None,
    database: DATABASE = None,
    collection: COLLECTION = "uec",
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Compare the confidence, relevance and coverage of an index with the truth, on judged queries.

    Every query is searched once. Calibration error (ECE), accuracy when the least sure searches are left out (nAUC), hits
    and realised coverage of `--coverage`, all with 95 % intervals; and the searches that were sure and wrong, with what came
    first and what was right. `--out` writes them down, with a page of figures beside.

    Example: `uec eval confidence --index idx --data scifact --split test --out report`
    """
    check_unanswerable(unanswerable)
    source = LabelSource(data, split, queries, qrels, judgements, max_queries)
    source.check(context, needed=True)
    labelled = source.read(_SPLIT)
    location = locate(index, server, header, collection, tenant, database)
    engine = open_engine(location, expert, device, trust_remote_code)
    with status("Loading"):
        from uec_retriever.evaluation.confidence_queries import needed_confidence
        from uec_retriever.evaluation.confidence_study import run_confidence
        from uec_retriever.evaluation.provenance import provenance

        begun = provenance(seed)
    needed_confidence(engine)
    if labelled is None:
        labelled = read_judgements(engine, max_queries)
    index_words(engine, location)
    with bar("Searching", len(labelled)) as progress:
        found = run_confidence(
            engine, labelled, unanswerable=unanswerable, failures=failures, seed=seed, progress=progress
        )
    result = {**begun, "index": str(location), "split": (split or _SPLIT) if data else None, **found}
    for warning in found["warnings"] if json else ():
        errors.print(f"note: {warning}", soft_wrap=True)
    for sentence in () if json else result["headline"]:
        output.print(f"- {sentence}")
    finish(_NAME, result, out, json)
    if out:
        _write_page(out)
    if not json:
        _show_failures(result)


def _write_page(out: Path) -> None:
    with status("Drawing"):
        from uec_retriever.evaluation.report_page import read_results, write_report

        written = write_report(read_results([out / f"{_NAME}.json"]), out)
    errors.print(f"written to {written.page}, and {len(written.figures)} figures beside it", soft_wrap=True)


def _show_failures(result: Mapping[str, Any]) -> None:
    from uec_retriever.evaluation.report_page.evidence import FAILURES, failures
    from uec_retriever.evaluation.report_page.result_files import check_result

    listed = failures(check_result(finite(dict(result)), _NAME))
    if listed:
        output.print(f"\n{FAILURES}")
    for failure in listed:
        table = Table(box=None, show_header=False, pad_edge=False, title_justify="left")
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in failure.facts:
            table.add_row(name, Text(printable(value)))
        output.print(Text(f"\n{printable(failure.query)}", style="bold"))
        output.print(table)
