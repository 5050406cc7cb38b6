"""`uec recalibrate`: trust, deviations and temperature anew, without embedding a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

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
    print_json,
    refuse_unused,
    result_table,
    short,
)
from uec_retriever.cli.labelled import (
    DATA,
    DEFAULT_LIMIT,
    JUDGEMENTS,
    SPLIT,
    check_split,
    read_judgements,
    read_labelled,
    warn_of_reported,
)
from uec_retriever.cli.lexical import index_words, priors, tell_dropped_confidence
from uec_retriever.cli.recipe import ALL_PAIRS, DEFAULT_PAIRS, PAIRS, TEMPERATURE, sample_records

if TYPE_CHECKING:
    from uec_retriever.data.pairs import CalibrationPairs
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.location import Location
    from uec_retriever.engine.share import ShareReport
    from uec_retriever.store.manifest import Manifest

_QUALITY = {"share": "now", "constant": "at the trust of a new index"}


def recalibrate(
    context: typer.Context,
    index: INDEX,
    pairs: PAIRS = None,
    max_pairs: ALL_PAIRS = DEFAULT_PAIRS,
    temperature: TEMPERATURE = None,
    data: DATA = None,
    split: SPLIT = None,
    judgements: JUDGEMENTS = False,
    max_queries: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"At most this many queries of --data or --judgements, a random sample; {DEFAULT_LIMIT} if absent.",
        ),
    ] = None,
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
    """Set trust, deviations and temperature of an index anew, without embedding its texts again.

    It tells what changed. Worth it when the corpus has grown a lot (`uec info` says so), or when real questions with their answers have become known
    (`--pairs`). Another structure, layout or model needs `uec reindex`. A calibrated confidence is dropped: run
    `uec calibrate-confidence` again.

    How far words are trusted is set by real questions only: by `--pairs`, or, and nothing else then, by the judged queries
    of `--data`, or by `--judgements`. Few queries move it little. Results on the queries that set it are too good: keep others to report on.

    Example: `uec recalibrate --index idx --data my-questions --split train`
    """
    from uec_retriever.data.corpus import read_pairs

    check_split(data, split)
    if data is not None and judgements:
        raise WrongUsageError("give --data or --judgements, one of them")
    if data is None and not judgements and max_queries is not None:
        raise WrongUsageError("--max-queries goes with --data or --judgements")
    if data is not None or judgements:
        given_by = "--judgements" if judgements else "--data"
        refuse_unused(context, given_by, "pairs", "max_pairs", "temperature")
    if pairs:
        refuse_unused(context, "--pairs", "max_pairs")
    labelled = None if data is None else read_labelled(data, split, max_queries)
    given = read_pairs(pairs) if pairs else None
    location = locate(index, server, header, collection, tenant, database)
    engine = open_engine(location, expert, device, trust_remote_code)
    if judgements:
        labelled = read_judgements(engine, max_queries)
    before = engine.manifest
    if labelled is None:
        _calibrate(engine, given, max_pairs, temperature)
    report = _set_share(engine, location, labelled, given)
    warn_of_reported(split, "trust in words is")
    if json:
        told = {**asdict(engine.manifest), "notes": engine.manifest.notes, "before": asdict(before)}
        print_json({**told, "share": {"before": _share(before), **asdict(report)} if report else None})
        return
    _show(before, engine.manifest, report)


def _calibrate(engine: Engine, given: CalibrationPairs | None, limit: int, temperature: float | None) -> None:
    """Set trust, deviations and temperature of the dense experts on pairs, made from the index if none are given."""
    pairs = given or sample_records(engine, limit).pairs()
    with bar("Calibrating", 2 * len(pairs) * len(engine.experts)) as progress:
        engine.recalibrate(pairs, temperature=temperature, progress=progress)


def _set_share(
    engine: Engine,
    location: Location,
    labelled: Mapping[str, set[str]] | None,
    pairs: CalibrationPairs | None,
) -> ShareReport | None:
    """Set how far words are trusted, if there are real questions to do it by, and words if these are pairs."""
    if labelled is None and (pairs is None or engine.manifest.lexical is None):
        return None
    index_words(engine, location)
    with bar("Searching", len(labelled or pairs or ())) as progress:
        if labelled is not None:
            return engine.recalibrate_share(labelled, progress=progress)
        return engine.recalibrate_share(pairs=pairs, progress=progress)


def _show(before: Manifest, now: Manifest, report: ShareReport | None) -> None:
    """What became of the trust in the experts, and what that is good for."""
    shares = ", ".join(f"{label} {prior:.0%}" for label, prior in priors(now).items())
    output.print(f"temperature {short(now.temperature)}; prior trust: {shares}; on {now.reference}")
    if now.reference != before.reference or now.experts != before.experts:
        _tell_changes(before, now)
    if report is not None:
        output.print(
            f"trust in words: {_share(before):.1%} before, {report.share:.1%} now; {report.queries} queries with a right "
            f"answer among the candidates like {report.best:.0%} best"
        )
        quality = ", ".join(
            f"{value:.3f} {_QUALITY.get(name, name)}" for name, value in report.quality.items()
        )
        output.print(f"nDCG@10 on these queries, which chose it: {quality}")
    if before.confidence or before.coverage:
        tell_dropped_confidence()
    for note in now.notes:
        errors.print(f"note: {note}")


def _tell_changes(before: Manifest, now: Manifest) -> None:
    """What a calibration says, before and now."""
    for when, manifest in (("before", before), ("now", now)):
        texts = "" if manifest.records is None else f", of {manifest.records:,} texts"
        output.print(f"{when}: on {manifest.reference}{texts}", soft_wrap=True)
    rows = zip(_calibration(before).items(), _calibration(now).values(), strict=True)
    columns = ("what changed", "before", "now")
    output.print(result_table("", columns, [(name, old, new) for (name, old), new in rows]))


def _calibration(manifest: Manifest) -> dict[str, str]:
    """What a calibration says, each with its name for people."""
    told = {"temperature": short(manifest.temperature)}
    told |= {f"trust in {label}": f"{prior:.1%}" for label, prior in priors(manifest).items()}
    for entry in manifest.experts:
        told[f"variances of {entry.label}, times"] = short(entry.variance_factor)
        told[f"usual log variance of queries, {entry.label}"] = f"{entry.query_zero:.2f}"
        told[f"usual log variance of texts, {entry.label}"] = f"{entry.document_zero:.2f}"
    return told


def _share(manifest: Manifest) -> float:
    return manifest.lexical.share if manifest.lexical else 0.0
