"""`uec info` and `uec delete`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from uec_retriever.cli.common import (
    COLLECTION,
    DATABASE,
    HEADER,
    INDEX,
    JSON,
    SERVER,
    TENANT,
    WrongUsageError,
    locate,
    must_exist,
    output,
    print_json,
    short,
    status,
)
from uec_retriever.cli.lexical import count_behind, describe_behind, language_name, priors
from uec_retriever.cli.startup import without_collecting
from uec_retriever.cli.usage import parse_where
from uec_retriever.confidence.conformal import CoverageModel, read_coverage
from uec_retriever.confidence.model import ConfidenceModel, read_confidence, staleness
from uec_retriever.data.sources import open_source
from uec_retriever.errors import InvalidInputError


def info(
    index: INDEX,
    server: SERVER = None,
    header: HEADER = None,
    tenant: TENANT = None,
    database: DATABASE = None,
    collection: COLLECTION = "uec",
    json: JSON = False,
) -> None:
    """What made an index, how many texts it holds, and its size on disk. Loads no model."""
    with status("Opening the index"), without_collecting():
        from uec_retriever.engine.open import open_store

        folder, store, manifest = open_store(locate(index, server, header, collection, tenant, database))
    from uec_retriever.engine.kept_types import read_types_file

    types = read_types_file(folder.types_file(str(store.collection.id)))
    count, size = store.count(), folder.size()
    confidence, lexical = read_confidence(manifest.confidence), manifest.lexical
    behind = count_behind(store, folder, lexical) if lexical else None
    coverage = read_coverage(manifest.coverage)
    stale = staleness(confidence.records, count) if confidence else None
    outgrown = manifest.staleness(count)
    if json:
        told = {
            **asdict(manifest),
            "confidence": confidence and {**asdict(confidence), "stale": stale is not None},
        }
        told["types"] = types
        told["coverage"] = _rests_on(coverage) if coverage else None
        told["lexical"] = {**asdict(lexical), "behind": behind} if lexical else None
        told |= {"fingerprint": manifest.fingerprint, "notes": manifest.notes, "stale": outgrown is not None}
        print_json({**told, "count": count, "bytes": size})
        return
    output.print(f"{count:,} texts, {_megabytes(size)} on disk, {manifest.dimension} dimensions")
    output.print(f"layout {manifest.layout}, temperature {short(manifest.temperature)}")
    of = f", when there were {manifest.records:,} texts" if manifest.records is not None else ""
    output.print(f"calibrated on {manifest.reference}{of}")
    for note in [outgrown] * (outgrown is not None) + manifest.notes:
        output.print(f"note: {note}")
    if types:
        output.print(f"types given for metadata: {', '.join(f'{key} {kind}' for key, kind in types.items())}")
    _show_confidence(confidence, stale)
    if coverage is not None:
        _show_coverage(coverage, count)
    if lexical is None:
        output.print("words are no expert: 'uec words' adds them, without embedding anything anew")
    else:
        state = describe_behind(behind, count)
        output.print(f"words: {language_name(lexical)}, share {lexical.share:.0%}; their index {state}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("expert", "dimensions", "posterior", "prior"):
        table.add_column(column, overflow="fold")
    shares = {label: f"{prior:.0%}" for label, prior in priors(manifest).items()}
    for entry in manifest.experts:
        table.add_row(entry.label, str(entry.dimension), entry.structure, shares.pop(entry.label))
    for label, share in shares.items():
        table.add_row(label, "", "BM25", share)
    output.print(table)
    for entry in manifest.experts:
        output.print(f"model of {entry.label}: {entry.model}", soft_wrap=True)  # it is copied: whole
    output.print("made with " + ", ".join(f"{n} {v}" for n, v in manifest.versions.items()))


def delete(
    index: INDEX,
    id: Annotated[
        list[str] | None,
        typer.Option("--id", help="Id of a text, or of a document: all its pieces. Repeatable."),
    ] = None,
    where: Annotated[
        str | None, typer.Option(help='Metadata filter as JSON, e.g. \'{"path": "old.pdf"}\'.')
    ] = None,
    ids_from: Annotated[
        Path | None,
        typer.Option(callback=must_exist, help="File with one id on each line; - for standard input."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting by filter.")] = False,
    server: SERVER = None,
    header: HEADER = None,
    tenant: TENANT = None,
    database: DATABASE = None,
    collection: COLLECTION = "uec",
    json: JSON = False,
) -> None:
    """Delete texts by id or by filter. Loads no model. To delete a whole index, delete its folder.

    The id of a long document, such as the name of a file, stands for all its pieces.
    """
    ids = list(id or [])
    if ids_from:
        try:
            with open_source(ids_from) as file:
                lines = file.read().decode().split("\n")
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"cannot read ids from {ids_from}: {error}") from error
        ids += [line.strip() for line in lines if line.strip()]
    condition = parse_where(where)
    if condition and json and not yes:
        raise WrongUsageError("deleting by filter without asking needs --yes")
    if condition == {}:
        raise WrongUsageError(
            f"--where {where} says nothing, so that every text would match: give a condition such as "
            '\'{"source": "old.pdf"}\'; to delete a whole index, delete its folder'
        )
    if bool(ids) == bool(condition):
        raise WrongUsageError("give --id (or --ids-from), or --where, one of them")
    with status("Opening the index"), without_collecting():
        from uec_retriever.engine.answers import records_of
        from uec_retriever.engine.comparison import with_parts
        from uec_retriever.engine.open import open_store
        from uec_retriever.engine.words import Words

        folder, store, manifest = open_store(locate(index, server, header, collection, tenant, database))
    matching = store.ids(condition) if condition else with_parts(store, ids)
    absent = len(set(ids)) - len(records_of(store, list(set(ids)))) if ids else 0
    if condition and matching and not yes:
        typer.confirm(f"Delete {len(matching)} texts?", abort=True)
    with folder.write_lock():
        deleted = store.delete(matching)
        store.compact()
        lexical = manifest.lexical
        if lexical and count_behind(store, folder, lexical) is not None:  # no word of what is deleted stays
            Words(store, folder).follow(lexical)
    if json:
        print_json({"deleted": deleted, "count": store.count()})
    else:
        told = f"; {absent} of the ids {'was' if absent == 1 else 'were'} not there" if absent else ""
        output.print(f"{deleted} deleted; {store.count()} texts in the index{told}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _rests_on(coverage: CoverageModel) -> dict[str, float | str]:
    """What a coverage rests on, without the nonconformity of each query."""
    names = ("queries", "source", "records", "candidates", "nonconformity", "recall")
    return {**{name: getattr(coverage, name) for name in names}, "highest": 1 - coverage.lowest_error}


def _show_confidence(confidence: ConfidenceModel | None, stale: str | None) -> None:
    if confidence is None:
        output.print("confidence not calibrated: 'uec calibrate-confidence' does it")
        return
    output.print(
        f"confidence (first {confidence.k}) calibrated on {confidence.queries} {confidence.source}, when there "
        f"were {confidence.records} texts; {confidence.unanswerable:.0%} of queries assumed unanswerable"
    )
    if stale is not None:
        output.print(f"note: {stale}")


def _show_coverage(coverage: CoverageModel, count: int) -> None:
    then = (
        f", when there were {coverage.records} texts: calibrate it anew" if coverage.records != count else ""
    )
    from uec_retriever.engine.coverage import rounded_down

    highest = rounded_down(1 - coverage.lowest_error)
    output.print(
        f"coverage up to {highest} calibrated on {coverage.queries} {coverage.source}{then}",
        soft_wrap=True,
    )
