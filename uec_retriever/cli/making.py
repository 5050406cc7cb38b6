"""What `uec index`, `uec fit`, `uec recalibrate` and `uec reindex` share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uec_retriever.cli.common import (
    bar,
    errors,
    load_experts,
    open_store,
    output,
    print_json,
    quiet_libraries,
    status,
)
from uec_retriever.errors import InvalidInputError, ModelMismatchError

if TYPE_CHECKING:
    from uec_retriever.data.corpus import Corpus
    from uec_retriever.data.pairs import CalibrationPairs
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.results import AddReport
    from uec_retriever.experts.expert import Expert

DEFAULT_PAIRS = 640


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
LIMIT = Annotated[
    int, typer.Option("--max-pairs", min=32, help="At most this many pairs made from the corpus.")
]
TEXT = Annotated[str, typer.Option(help="Column or JSON key of the text.")]
TITLE = Annotated[str, typer.Option(help="Column or JSON key of the title, put before the text.")]
ID = Annotated[str, typer.Option(help="Column or JSON key of the id.")]
STRUCTURE = Annotated[
    Structure | None, typer.Option(help="Structure of posteriors fitted here: kron unless you say so.")
]
LAYOUT = Annotated[
    Layout | None,
    typer.Option(
        help="block: each expert keeps its coordinates (default). sum: the paper's, for experts fine-tuned from one model."
    ),
]
TEMPERATURE = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="T of the coefficients: low trusts the surest expert, high all alike. Chosen on held-out pairs if absent.",
    ),
]


def survey(
    documents: Corpus | None, pairs: Path | None, limit: int
) -> tuple[int, Callable[[], CalibrationPairs]]:
    """Count the documents and see to calibration pairs, in one pass; checks every line before work begins.

    Returns:
        The number of documents, and what makes the pairs: an existing index needs none.
    """
    from uec_retriever.data.corpus import read_pairs
    from uec_retriever.data.pairs import PairSampler

    sampler, total = PairSampler(limit), 0
    for document in documents or ():
        total += 1
        sampler.offer(document.body, document.title)
    if pairs:
        made = read_pairs(pairs)
        return total, lambda: made
    return total, sampler.pairs


def open_existing(
    index: Path, specs: list[str], server: str | None, collection: str, device: str | None, trust: bool
) -> Engine | None:
    """The index if it is there, made with the experts named; None if it has yet to be made."""
    with status("Opening the index"):
        quiet_libraries()
        from uec_retriever.engine.engine import Engine
        from uec_retriever.engine.opening import check_same_experts

        if not Engine.exists(index, url=server, collection=collection):
            return None
        manifest = open_store(index, server, collection)[1].manifest
    given = load_experts(specs, device, trust)
    experts = check_same_experts(manifest, given, f"the index {index}") if given else {}
    return Engine.open(
        index, experts=experts, url=server, collection=collection, device=device, trust_remote_code=trust
    )


def create(
    index: Path,
    experts: list[Expert],
    pairs: CalibrationPairs,
    *,
    posteriors: dict[str, Path],
    server: str | None,
    **options: Any,
) -> Engine:
    """Make an empty index under a progress bar; options as `Engine.create`."""
    from uec_retriever.engine.engine import Engine

    held = len(pairs.split()[1])
    work = sum(2 * (held if e.label in posteriors else len(pairs)) for e in experts)
    with bar("Fitting and calibrating", work) as progress:
        return Engine.create(
            index, experts, pairs, posteriors=posteriors, url=server, progress=progress, **options
        )


def match_posteriors(experts: list[Expert], files: list[Path]) -> dict[str, Path]:
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


def require_agreement(
    engine: Engine,
    structure: Structure | None,
    layout: Layout | None,
    temperature: float | None,
    posterior: list[Path] | None,
) -> None:
    """Refuse options that an existing index does not have."""
    from uec_retriever.engine.opening import differences

    asked: dict[str, Any] = {
        "structure": structure and structure.value,
        "layout": layout and layout.value,
        "temperature": temperature,
    }
    different = [f"--{name} {asked[name]}" for name in differences(engine.manifest, **asked)]
    if posterior and not _same_posteriors(engine, posterior):
        different.append("--posterior")
    if different:
        raise InvalidInputError(
            f"the index exists and was made otherwise than {' '.join(different)} says: leave that "
            "out to add to it, or make another one with 'uec reindex'"
        )


def _same_posteriors(engine: Engine, files: list[Path]) -> bool:
    known = {e.posterior for e in engine.manifest.experts}
    return all(hashlib.sha256(f.read_bytes()).hexdigest() in known for f in files)


def report_added(engine: Engine, report: AddReport, documents: Corpus | None, json: bool) -> None:
    """Say what became of the documents: counts, those without text, those cut."""
    skipped = documents.skipped if documents else []
    if json:
        print_json({**asdict(report), "skipped_empty": skipped, "count": engine.count()})
        return
    output.print(
        f"{report.added} added, {report.updated} updated, {report.unchanged} unchanged; "
        f"{engine.count()} texts in the index"
    )
    if skipped:
        errors.print(
            f"skipped {len(skipped)} documents without text: {', '.join(skipped[:5])}{' …' * (len(skipped) > 5)}"
        )
    for label, number in report.truncated.items():
        errors.print(
            f"{label} cut {number} texts to its maximal length: split long documents to have all of them found"
        )
