"""`uec search`: for people, for machines, and TREC runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
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
    must_exist,
    open_engine,
    output,
    print_json,
    refuse_unused,
)
from uec_retriever.cli.hits import DEFAULT_LINES, Style, plain_result, show_result
from uec_retriever.cli.lexical import index_words
from uec_retriever.cli.questions import (
    Question,
    check_asked,
    check_run_ids,
    is_standard_input,
    listen,
    read_questions,
)
from uec_retriever.cli.usage import parse_where
from uec_retriever.data.printable import run_problem
from uec_retriever.engine.grouping import GroupBy, document_of
from uec_retriever.errors import CorpusError, InvalidInputError

if TYPE_CHECKING:
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.results import SearchResult

_BATCH = 64
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
    min_relevance: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Leave out hits whose probability of being a right answer is below."),
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
    group_by: Annotated[
        GroupBy | None, typer.Option(help="Documents that were split, each by its best piece.")
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            callback=must_exist,
            help="Questions, one a line or BEIR's; - answers each as it comes in.",
        ),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="TREC run file to write, with --queries.")] = None,
    snippet: Annotated[
        int, typer.Option(min=0, help="Lines of each text, around the words that match.")
    ] = DEFAULT_LINES,
    full: Annotated[bool, typer.Option("--full", help="Whole texts instead.")] = False,
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

    Prints the share of trust that each expert got for this query, and the hits with score (higher is better, in [0, 1]),
    deviation (how unsure the score is), id, where they are from, and the part of the text that matches, its words
    highlighted.

    Questions on standard input (`--queries -`) are answered one after another by the same process, which loads the models
    once: each line is a question, or a JSON object with `text` and `_id`; with `--json` each answer is one line.

    Examples: `uec search --index idx "what is a boundary layer"`,
    `uec search --index idx --queries - --json`, or for a BEIR query file
    `uec search --index idx -k 100 --queries queries.jsonl --run out.trec`
    """
    _check(context, json)
    options: dict[str, Any] = {
        "where": parse_where(where),
        "candidates": candidates,
        "temperature": temperature,
        "group_by": group_by,
    }
    one_by_one = run is None and is_standard_input(queries)
    asked = read_questions(queries) if queries is not None and not one_by_one else []
    if run is not None:
        check_run_ids(asked)
    location = locate(index, server, header, collection, tenant, database)
    engine = open_engine(location, expert, device, trust_remote_code)
    index_words(engine, location)
    if run is not None:
        _write_run(engine, asked, run, k, options)
        number = len(asked)
        if json:
            print_json({"run": str(run), "queries": number})
        else:
            output.print(f"{run}: {number} {'query' if number == 1 else 'queries'}, {k} hits each at most")
        return
    options |= {"min_confidence": min_confidence, "abstain": abstain, "coverage": coverage, "max_k": max_k}
    options["min_relevance"] = min_relevance
    confidence = engine.ensemble.confidence
    if confidence is None and (min_confidence, min_relevance) != (None, None):
        option = "--min-confidence" if min_relevance is None else "--min-relevance"
        raise InvalidInputError(
            f"{option} needs a confidence: run 'uec calibrate-confidence --index {index}' once"
        )
    style = Style(None if full else snippet, confidence.k if confidence else None)
    if queries is None:
        result = engine.search(str(query), k, **options)
        _tell(result, style, json)
        if result.abstained:
            raise typer.Exit(_ABSTAINED)
    elif asked:
        for start in range(0, len(asked), _BATCH):
            batch = asked[start : start + _BATCH]
            results = engine.search_batch([question.text for question in batch], k, **options)
            for question, result in zip(batch, results, strict=True):
                _tell(result, style, json, question)
    else:
        _answer(lambda text: engine.search(text, k, **options), style, json)


def _check(context: typer.Context, json: bool) -> None:
    """Refuse options that do not go together."""
    given = context.params
    queries, candidates = given["queries"], given["candidates"]
    check_asked(given["query"], queries, context.args)
    if given["run"] is not None:
        if queries is None:
            raise WrongUsageError("--run goes with --queries FILE")
        refuse_unused(
            context,
            "--run",
            "min_confidence",
            "min_relevance",
            "abstain",
            "coverage",
            "max_k",
            "snippet",
            "full",
        )
    if json:
        refuse_unused(context, "--json", "snippet", "full")
    if given["full"]:
        refuse_unused(context, "--full", "snippet")
    if given["coverage"] is not None:
        refuse_unused(context, "--coverage", "k", "group_by")
        if not 0 < given["coverage"] < 1:
            raise WrongUsageError("--coverage must be in (0, 1)")
    elif given["max_k"] is not None:
        raise WrongUsageError("--max-k goes with --coverage: give -k instead")
    elif candidates is not None and candidates < given["k"]:
        raise WrongUsageError(f"--candidates must be at least k, {given['k']}")
    if given["min_confidence"] is None and given["abstain"] == "flag":
        raise WrongUsageError("--abstain goes with --min-confidence")


def _answer(search: Callable[[str], SearchResult], style: Style, json: bool) -> None:
    """Answer the questions on standard input, each before the next is read.

    Raises:
        CorpusError: at the end, if a line held no question; the others are answered.
    """
    wrong = 0
    for question in listen():
        if isinstance(question, Question):
            _tell(search(question.text), style, json, question)
            continue
        wrong += 1
        if json:
            print_json({"_id": question.id, "line": question.line, "error": question.problem})
        else:
            errors.print(f"line {question.line} {question.problem}")
        sys.stdout.flush()
    if wrong:
        raise CorpusError(f"{wrong} of the lines held no question: the others are answered")


def _tell(result: SearchResult, style: Style, json: bool, question: Question | None = None) -> None:
    """Print a result at once, of several with the question it answers."""
    if json:
        print_json({**({"_id": question.id} if question else {}), **plain_result(result, style.k)})
    else:
        if question is not None:
            output.print(Text(f"{question.id}: {question.text}", style="bold"))
        show_result(result, style)
        if question is not None:
            output.print()
    sys.stdout.flush()


def _write_run(engine: Engine, asked: Sequence[Question], run: Path, k: int, options: dict[str, Any]) -> None:
    from uec_retriever.atomic import write_atomically

    lines: list[str] = []
    with bar("Searching", len(asked)) as progress:
        for start in range(0, len(asked), _BATCH):
            batch = asked[start : start + _BATCH]
            results = engine.search_batch([question.text for question in batch], k, **options)
            for question, result in zip(batch, results, strict=True):
                lines += _run_lines(question.id, result, by_document=options["group_by"] is not None)
            progress(len(batch))
    write_atomically(run, "".join(lines).encode())


def _run_lines(query_id: str, result: SearchResult, *, by_document: bool) -> list[str]:
    ids = [document_of(hit.record) if by_document else hit.id for hit in result]
    for identifier in ids:
        if problem := run_problem(identifier):
            raise CorpusError(
                f"the id {identifier!r} {problem}, which a TREC run cannot hold: index it under another id"
            )
    return [
        f"{query_id} Q0 {identifier} {rank} {hit.raw_score:.8f} uec\n"
        for rank, (identifier, hit) in enumerate(zip(ids, result, strict=True), start=1)
    ]
