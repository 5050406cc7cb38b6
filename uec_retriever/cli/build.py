"""`uec index`, `uec fit`, `uec reindex` and `uec recalibrate`: whatever encodes a corpus."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uec_retriever.cli.common import (
    BATCH,
    COLLECTION,
    DEVICE,
    EXPERT_HELP,
    INDEX,
    JSON,
    SERVER,
    TRUST,
    bar,
    errors,
    load_experts,
    output,
    print_json,
    quiet_libraries,
    short,
    status,
)
from uec_retriever.errors import InvalidInputError, ModelMismatchError

if TYPE_CHECKING:
    from uec_retriever.corpus import Columns, Corpus
    from uec_retriever.encoders.expert import Expert
    from uec_retriever.engine import Engine
    from uec_retriever.pairs import CalibrationPairs

_DEFAULT_PAIRS = 640


class Structure(StrEnum):
    """Structures of the posterior."""

    kron = "kron"
    diag = "diag"


class Layout(StrEnum):
    """Layouts of the fused embedding."""

    block = "block"
    sum = "sum"


CORPUS = Annotated[
    Path,
    typer.Option(
        help="BEIR corpus.jsonl or its folder, .csv, .tsv, .parquet, or a folder of .txt and .md files.",
        show_default=False,
    ),
]
PAIRS = Annotated[
    Path | None,
    typer.Option(
        help="Calibration pairs: JSONL with 'query' and 'positive'. Without it, pairs are made from the corpus "
        "(title and text, first sentence and rest)."
    ),
]
LIMIT = Annotated[int, typer.Option("--max-pairs", min=32, help="At most this many pairs made from the corpus.")]
TEXT = Annotated[str, typer.Option(help="Column or JSON key of the text.")]
TITLE = Annotated[str, typer.Option(help="Column or JSON key of the title, put before the text.")]
ID = Annotated[str, typer.Option(help="Column or JSON key of the id.")]
STRUCTURE = Annotated[Structure | None, typer.Option(help="Structure of posteriors fitted here: kron unless you say so.")]
LAYOUT = Annotated[
    Layout | None,
    typer.Option(help="block: each expert keeps its coordinates (default). sum: the paper's, for experts fine-tuned from one model."),
]
TEMPERATURE = Annotated[
    float | None,
    typer.Option(min=0, help="T of the coefficients: low trusts the surest expert, high all alike. Chosen on held-out pairs if absent."),
]


def index(
    index: INDEX,
    corpus: CORPUS,
    expert: Annotated[list[str] | None, typer.Option(help=EXPERT_HELP + " May be left out when the index exists.")] = None,
    structure: STRUCTURE = None,
    layout: LAYOUT = None,
    temperature: TEMPERATURE = None,
    posterior: Annotated[list[Path] | None, typer.Option(help="Fitted posterior file; finds its expert by itself. Repeatable.")] = None,
    pairs: PAIRS = None,
    max_pairs: LIMIT = _DEFAULT_PAIRS,
    update: Annotated[bool, typer.Option(help="Replace texts whose id is in the index with other content.")] = False,
    text_column: TEXT = "text",
    title_column: TITLE = "title",
    id_column: ID = "_id",
    server: SERVER = None,
    collection: COLLECTION = "uec",
    device: DEVICE = None,
    batch_size: BATCH = 32,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Make an index, or add to it what is new in the corpus.

    The first time, this fits the posterior of each expert (what makes it say how sure it is) and
    then embeds the corpus. Run it again with a longer corpus, or after an interruption: it only does what is
    missing.

    Example: `uec index --index idx --corpus corpus.jsonl --expert sentence-transformers/all-MiniLM-L6-v2
    --expert BAAI/bge-small-en-v1.5`
    """
    from uec_retriever.corpus import Columns, Corpus

    documents = Corpus(corpus, Columns(text_column, title_column, id_column))
    with status("Reading the corpus"):
        total, made = _survey(documents, pairs, max_pairs)
    engine = _open_existing(index, expert or [], server, collection, device, trust_remote_code)
    if engine is None:
        if not expert:
            raise InvalidInputError("a new index needs at least one --expert")
        experts = load_experts(expert, device, trust_remote_code)
        engine = _create(
            index,
            experts,
            made,
            posteriors=_match(experts, posterior or []),
            structure=(structure or Structure.kron).value,
            layout=(layout or Layout.block).value,
            temperature=temperature,
            server=server,
            collection=collection,
            batch_size=batch_size,
        )
    else:
        _agree(engine, structure, layout, temperature, posterior)
    with bar("Indexing", total) as progress:
        report = engine.add_records(
            (d.record for d in documents), update=update, batch_size=batch_size, progress=progress
        )
    _report(engine, report, documents, json)


def fit(
    expert: Annotated[str, typer.Option(help="A sentence-transformers model: hub id or folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Posterior file to write, .safetensors.", show_default=False)],
    corpus: Annotated[Path | None, typer.Option(help="Corpus to make calibration pairs from.")] = None,
    pairs: PAIRS = None,
    max_pairs: LIMIT = _DEFAULT_PAIRS,
    structure: STRUCTURE = None,
    tau: Annotated[float, typer.Option(min=1e-6, help="Temperature of the in-batch softmax.")] = 0.05,
    text_column: TEXT = "text",
    title_column: TITLE = "title",
    device: DEVICE = None,
    batch_size: BATCH = 32,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Fit the posterior of one expert, to give it to several indexes (`uec index --posterior FILE`).

    Best on pairs of the domain that the expert was trained for.
    """
    from uec_retriever.corpus import Columns, Corpus

    if (corpus is None) == (pairs is None):
        raise InvalidInputError("give --corpus or --pairs, one of them")
    documents = Corpus(corpus, Columns(text_column, title_column)) if corpus else None
    _, calibration = _survey(documents, pairs, max_pairs)
    [loaded] = load_experts([expert], device, trust_remote_code)
    from uec_retriever.fitting import fit_posterior
    from uec_retriever.laplace.files import save_posterior

    with bar("Fitting", 2 * len(calibration)) as progress:
        made = fit_posterior(
            loaded,
            calibration,
            structure=(structure or Structure.kron).value,
            tau=tau,
            batch_size=batch_size,
            progress=progress,
        )
    assert loaded.posterior is not None
    save_posterior(out, loaded.posterior, made.header)
    if json:
        print_json({**asdict(made.header), "file": str(out), "prior_precision": loaded.posterior.prior_precision})
        return
    output.print(
        f"{out}: {made.header.structure} posterior of {loaded.label}, layer {made.header.layer}, from "
        f"{made.header.pairs} pairs ({made.header.source}) and {made.header.heldout_pairs} held-out ones; "
        f"prior precision {short(loaded.posterior.prior_precision)}, scale {short(loaded.posterior.scale)}"
    )


def reindex(
    index: INDEX,
    to: Annotated[Path, typer.Option(help="Folder of the new index.", show_default=False)],
    expert: Annotated[list[str] | None, typer.Option(help=EXPERT_HELP + " Those of the old index if absent.")] = None,
    structure: STRUCTURE = None,
    layout: LAYOUT = None,
    temperature: TEMPERATURE = None,
    posterior: Annotated[list[Path] | None, typer.Option(help="Fitted posterior file. Repeatable.")] = None,
    pairs: PAIRS = None,
    max_pairs: LIMIT = _DEFAULT_PAIRS,
    server: SERVER = None,
    collection: COLLECTION = "uec",
    device: DEVICE = None,
    batch_size: BATCH = 32,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Embed the texts of an index anew into another folder: other experts, structure or layout.

    The old index stays as it is. Run it again after an interruption: it goes on.
    """
    quiet_libraries()
    from uec_retriever.engine import Engine
    from uec_retriever.pairs import pseudo_pairs

    old = Engine.open(
        index, url=server, collection=collection, device=device, trust_remote_code=trust_remote_code
    )
    new = _open_existing(to, expert or [], None, collection, device, trust_remote_code)
    if new is None:
        if pairs:
            _, calibration = _survey(None, pairs, max_pairs)
        else:
            calibration = pseudo_pairs((r.text for page in old.pages() for r in page), limit=max_pairs)
        experts = load_experts(expert, device, trust_remote_code) if expert else old.experts
        new = _create(
            to,
            experts,
            calibration,
            posteriors=_match(experts, posterior or []),
            structure=(structure or Structure.kron).value,
            layout=(layout.value if layout else old.manifest.layout),
            temperature=temperature,
            server=None,
            collection=collection,
            batch_size=batch_size,
        )
    else:
        _agree(new, structure, layout, temperature, posterior)
    with bar("Indexing", old.count()) as progress:
        report = old.copy_to(new, batch_size=batch_size, progress=progress)
    _report(new, report, None, json)


def recalibrate(
    index: INDEX,
    pairs: PAIRS = None,
    max_pairs: LIMIT = _DEFAULT_PAIRS,
    temperature: TEMPERATURE = None,
    server: SERVER = None,
    collection: COLLECTION = "uec",
    device: DEVICE = None,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Set trust, deviations and temperature of an index anew, without embedding its texts again.

    Worth it when the corpus has grown a lot, or when real questions with their answers have become known
    (`--pairs`). Another structure, layout or model needs `uec reindex`.
    """
    quiet_libraries()
    from uec_retriever.engine import Engine
    from uec_retriever.pairs import pseudo_pairs

    engine = Engine.open(
        index, url=server, collection=collection, device=device, trust_remote_code=trust_remote_code
    )
    if pairs:
        _, calibration = _survey(None, pairs, max_pairs)
    else:
        calibration = pseudo_pairs((r.text for page in engine.pages() for r in page), limit=max_pairs)
    with bar("Calibrating", 2 * len(calibration) * len(engine.experts)) as progress:
        manifest = engine.recalibrate(calibration, temperature=temperature, progress=progress)
    if json:
        print_json(asdict(manifest))
        return
    priors = ", ".join(f"{e.label} {e.prior:.0%}" for e in manifest.experts)
    output.print(f"temperature {short(manifest.temperature)}; prior trust: {priors}; on {manifest.reference}")


def _survey(documents: Corpus | None, pairs: Path | None, limit: int) -> tuple[int, CalibrationPairs]:
    """Count the documents and get calibration pairs, in one pass; checks every line before work begins."""
    from uec_retriever.corpus import read_pairs
    from uec_retriever.pairs import PairSampler

    sampler, total = PairSampler(limit), 0
    for document in documents or ():
        total += 1
        sampler.offer(document.body, document.title)
    return total, read_pairs(pairs) if pairs else sampler.pairs()


def _open_existing(
    index: Path, specs: list[str], server: str | None, collection: str, device: str | None, trust: bool
) -> Engine | None:
    """The index if it is there, made with the experts named; None if it has yet to be made."""
    with status("Opening the index"):
        quiet_libraries()
        from uec_retriever.engine import Engine

        if not Engine.exists(index, url=server, collection=collection):
            return None
    engine = Engine.open(index, url=server, collection=collection, device=device, trust_remote_code=trust)
    if specs:
        named = [e.fingerprint for e in load_experts(specs, device, trust)]
        if named != [e.fingerprint for e in engine.experts]:
            raise ModelMismatchError(
                f"the index {index} was made with {[e.model for e in engine.manifest.experts]}: leave --expert "
                "out to add to it, or make another one with 'uec reindex'"
            )
    return engine


def _create(
    index: Path,
    experts: list[Expert],
    pairs: CalibrationPairs,
    *,
    posteriors: dict[str, Path],
    server: str | None,
    **options: Any,
) -> Engine:
    from uec_retriever.engine import Engine

    held = len(pairs.split()[1])
    work = sum(2 * (held if e.label in posteriors else len(pairs)) for e in experts)
    with bar("Fitting and calibrating", work) as progress:
        return Engine.create(
            index, experts, pairs, posteriors=posteriors, url=server, progress=progress, **options
        )


def _match(experts: list[Expert], files: list[Path]) -> dict[str, Path]:
    """Posterior files belong to the expert whose fingerprint they carry."""
    from uec_retriever.laplace.files import load_posterior

    by_fingerprint = {e.fingerprint: e.label for e in experts}
    matched = {}
    for file in files:
        header = load_posterior(file)[1]
        if header.fingerprint not in by_fingerprint:
            raise ModelMismatchError(
                f"the posterior {file} was fitted for {header.model!r}, which is none of the experts "
                f"{[e.name for e in experts]}: fit one for them with 'uec fit'"
            )
        matched[by_fingerprint[header.fingerprint]] = file
    return matched


def _agree(
    engine: Engine,
    structure: Structure | None,
    layout: Layout | None,
    temperature: float | None,
    posterior: list[Path] | None,
) -> None:
    """Refuse options that an existing index does not have."""
    manifest = engine.manifest
    different = [
        f"--structure {structure.value}" if structure and {e.structure for e in manifest.experts} != {structure.value} else "",
        f"--layout {layout.value}" if layout and layout.value != manifest.layout else "",
        f"--temperature {temperature}" if temperature is not None and temperature != manifest.temperature else "",
        "--posterior" if posterior and not _same_posteriors(engine, posterior) else "",
    ]
    if any(different):
        raise InvalidInputError(
            f"the index exists and was made otherwise than {' '.join(filter(None, different))} says: leave that "
            "out to add to it, or make another one with 'uec reindex'"
        )


def _same_posteriors(engine: Engine, files: list[Path]) -> bool:
    import hashlib

    known = {e.posterior for e in engine.manifest.experts}
    return all(hashlib.sha256(f.read_bytes()).hexdigest() in known for f in files if f.is_file())


def _report(engine: Engine, report: Any, documents: Corpus | None, json: bool) -> None:
    skipped = documents.skipped if documents else []
    if json:
        print_json({**asdict(report), "skipped_empty": skipped, "count": engine.count()})
        return
    output.print(
        f"{report.added} added, {report.updated} updated, {report.unchanged} unchanged; "
        f"{engine.count()} texts in the index"
    )
    if skipped:
        errors.print(f"skipped {len(skipped)} documents without text: {', '.join(skipped[:5])}{' …' * (len(skipped) > 5)}")
    for label, number in report.truncated.items():
        errors.print(f"{label} cut {number} texts to its maximal length: split long documents to have all of them found")
