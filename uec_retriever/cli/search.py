"""`uec search`: for people, for machines, and TREC runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.cells import cell_len
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
    WrongUsageError,
    bar,
    errors,
    locate,
    open_engine,
    output,
    parse_where,
    print_json,
    refuse_unused,
)
from uec_retriever.cli.excerpt import cut_excerpt
from uec_retriever.cli.lexical import index_words
from uec_retriever.data.printable import printable, run_problem
from uec_retriever.data.texts import text_problem
from uec_retriever.errors import CorpusError

if TYPE_CHECKING:
    from uec_retriever.confidence.conformal import CoveragePromise
    from uec_retriever.confidence.model import ConfidenceModel
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.results import Hit, SearchResult

_BATCH = 64
_LINES = 2  # of the text of a hit
_ID_WIDTHS = (8, 24)
_OTHER_WIDTH = 18  # of score, deviation and the space between the columns
_MATCHED = "bold green"
_ABSTAINED = 3
CommandAbstain = Literal["empty", "flag"]


def search(
    context: typer.Context,
    index: INDEX,
    query: Annotated[str | None, typer.Argument(help="What to look for.", show_default=False)] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    where: Annotated[
        str | None, typer.Option(help='Metadata filter as JSON, e.g. \'{"year": {"$gte": 2020}}\'.')
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="How many to fetch and rescore; max(30, 2k) if absent.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="T of the coefficients, instead of the index's.")
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Abstain below this confidence: exit with code 3."),
    ] = None,
    abstain: Annotated[
        CommandAbstain,
        typer.Option(help="Whether an abstaining search prints no hits, or flags those it has."),
    ] = "empty",
    coverage: Annotated[
        float | None,
        typer.Option(
            help="As many hits as are needed for a right one to be among them that often, in (0, 1), instead of -k."
        ),
    ] = None,
    max_k: Annotated[int | None, typer.Option(min=1, help="At most this many hits, with --coverage.")] = None,
    queries: Annotated[
        Path | None, typer.Option(help="BEIR queries.jsonl, to search for all of them.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="TREC run file to write, with --queries.")] = None,
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
    """Search an index.

    Prints the hits with score (higher is better, in [0, 1]) and deviation (how unsure the score is), and
    the share of trust that each expert got for this query, words among them: those of the query are highlighted.

    Examples: `uec search --index idx "what is a boundary layer"`, or for a whole BEIR query file
    `uec search --index idx -k 100 --queries queries.jsonl --run out.trec`
    """
    _check(context.params)
    if queries is not None:
        refuse_unused(context, "--queries", "min_confidence", "abstain", "coverage", "max_k")
    if coverage is not None:
        refuse_unused(context, "--coverage", "k")
    options: dict[str, Any] = {
        "where": parse_where(where),
        "candidates": candidates,
        "temperature": temperature,
    }
    location = locate(index, server, header, collection, tenant, database)
    engine = open_engine(location, expert, device, trust_remote_code)
    index_words(engine, location)
    if queries is not None and run is not None:
        number = _write_run(engine, queries, run, k, options)
        if json:
            print_json({"run": str(run), "queries": number})
        else:
            output.print(f"{run}: {number} {'query' if number == 1 else 'queries'}, {k} hits each at most")
        return
    result = engine.search(
        str(query),
        k,
        **options,
        min_confidence=min_confidence,
        abstain=abstain,
        coverage=coverage,
        max_k=max_k,
    )
    if json:
        print_json(
            {
                "query": result.query,
                "coefficients": result.coefficients,
                "confidence": result.confidence,
                "confidence_reason": result.confidence_reason,
                "verdict": result.verdict,
                "abstained": result.abstained,
                "promise": result.promise and {**asdict(result.promise), "holds": result.promise.holds},
                "truncated": list(result.truncated),
                "hits": [_plain(result, h) for h in result],
            }
        )
    else:
        _show(result, engine.ensemble.confidence)
    if result.abstained:
        raise typer.Exit(_ABSTAINED)


def _check(given: Mapping[str, Any]) -> None:
    """Refuse options that do not go together."""
    query, queries, candidates = given["query"], given["queries"], given["candidates"]
    if (query is None) == (queries is None) or (queries is None) != (given["run"] is None):
        raise WrongUsageError("give a query, or --queries FILE with --run FILE")
    if query is not None and (problem := text_problem(query)):
        raise WrongUsageError(f"the query {problem}")
    if given["coverage"] is None and given["max_k"] is not None:
        raise WrongUsageError("--max-k goes with --coverage: give -k instead")
    if given["min_confidence"] is None and given["abstain"] == "flag":
        raise WrongUsageError("--abstain goes with --min-confidence")
    if given["coverage"] is None and candidates is not None and candidates < given["k"]:
        raise WrongUsageError(f"--candidates must be at least k, {given['k']}")


def _plain(result: SearchResult, hit: Hit) -> dict[str, Any]:
    """A hit for machines, without what only frameworks read; `matched` has starts and ends in characters of the text."""
    told = {"id": hit.id, "text": hit.text, "metadata": hit.metadata, "matched": result.matched(hit)}
    return {
        **told,
        "score": hit.score,
        "raw_score": hit.raw_score,
        "deviation": hit.deviation,
        "relevance": hit.relevance,
    }


def _show(result: SearchResult, model: ConfidenceModel | None) -> None:
    shares = "   ".join(f"{label} {share:.0%}" for label, share in result.coefficients.items())
    output.print(f"trust in the experts: {shares}")
    if result.confidence is not None and model is not None:
        output.print(
            f"confidence that the first {model.k} hold a right answer: {result.confidence:.0%}, "
            f"{result.verdict}"
        )
    elif model is not None:
        output.print(f"no confidence: {result.confidence_reason}")
    if result.promise is not None:
        _show_promise(result.promise)
    for label in result.truncated:
        errors.print(f"{label} cut the query to its maximal length: it did not see its end")
    if result.abstained or not result.hits:
        output.print("abstained: the confidence is too low" if result.abstained else "nothing found")
    if not result.hits:
        return
    table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
    for column in ("#", "score", "±"):
        table.add_column(column, justify="right", no_wrap=True, min_width=5 if column != "#" else 2)
    table.add_column("id", overflow="fold", min_width=_ID_WIDTHS[0], max_width=_ID_WIDTHS[1])
    table.add_column("text", overflow="ellipsis", ratio=1)
    ids = [printable(hit.id) for hit in result]
    widest = min(_ID_WIDTHS[1], max(_ID_WIDTHS[0], *map(cell_len, ids)))
    width = output.width - widest - max(2, len(str(len(ids)))) - _OTHER_WIDTH
    for rank, (shown_id, hit) in enumerate(zip(ids, result, strict=True), start=1):
        # the deviation is in units of the raw score; on the [0, 1] scale it is half
        row = (str(rank), f"{hit.score:.3f}", f"{hit.deviation / 2:.3f}")
        table.add_row(*row, Text(shown_id), _excerpt(hit.text, result.matched(hit), width))
    output.print(table)


def _show_promise(promise: CoveragePromise) -> None:
    if promise.holds:
        output.print(
            f"a right one is among these hits for {promise.coverage:.0%} of queries like the {promise.queries} labelled ones, whose "
            "answer is in the index"
        )
    else:
        output.print(
            f"a coverage of {promise.coverage:.0%} is not promised: {promise.reason}", soft_wrap=True
        )


def _excerpt(text: str, matched: Sequence[tuple[int, int]], width: int) -> Text:
    """A few lines of a text, its matches highlighted."""
    part, places = cut_excerpt(text, matched, _LINES * width)
    shown = Text(printable(part))
    for start, end in places:
        shown.stylize(_MATCHED, start, end)
    lines = shown.wrap(output, max(1, width))
    if len(lines) > _LINES:
        lines[_LINES - 1].truncate(width - 1)
        lines[_LINES - 1].append("…")
    return Text("\n").join(lines[:_LINES])


def _write_run(engine: Engine, queries: Path, run: Path, k: int, options: dict[str, Any]) -> int:
    from uec_retriever.atomic import write_atomically
    from uec_retriever.data.corpus import read_queries

    pending = list(read_queries(queries))
    lines: list[str] = []
    with bar("Searching", len(pending)) as progress:
        for start in range(0, len(pending), _BATCH):
            batch = pending[start : start + _BATCH]
            results = engine.search_batch([text for _, text in batch], k, **options)
            for (identifier, _), result in zip(batch, results, strict=True):
                lines += _run_lines(identifier, result)
            progress(len(batch))
    write_atomically(run, "".join(lines).encode())
    return len(pending)


def _run_lines(query_id: str, result: SearchResult) -> list[str]:
    for hit in result:
        if problem := run_problem(hit.id):
            raise CorpusError(
                f"the id {hit.id!r} {problem}, which a TREC run cannot hold: index it under another id"
            )
    return [
        f"{query_id} Q0 {hit.id} {rank} {hit.raw_score:.8f} uec\n" for rank, hit in enumerate(result, start=1)
    ]
