"""`uec index` and `uec reindex`: embed a corpus, or the texts of another index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    load_experts,
    quiet_libraries,
    status,
)
from uec_retriever.cli.making import (
    CORPUS,
    DEFAULT_PAIRS,
    ID,
    LAYOUT,
    LIMIT,
    PAIRS,
    STRUCTURE,
    TEMPERATURE,
    TEXT,
    TITLE,
    Layout,
    Structure,
    create,
    match_posteriors,
    open_existing,
    report_added,
    require_agreement,
    survey,
)
from uec_retriever.errors import InvalidInputError


def index(
    index: INDEX,
    corpus: CORPUS,
    expert: Annotated[
        list[str] | None, typer.Option(help=EXPERT_HELP + " May be left out when the index exists.")
    ] = None,
    structure: STRUCTURE = None,
    layout: LAYOUT = None,
    temperature: TEMPERATURE = None,
    posterior: Annotated[
        list[Path] | None, typer.Option(help="Fitted posterior file; finds its expert by itself. Repeatable.")
    ] = None,
    pairs: PAIRS = None,
    max_pairs: LIMIT = DEFAULT_PAIRS,
    update: Annotated[
        bool, typer.Option(help="Replace texts whose id is in the index with other content.")
    ] = False,
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
    from uec_retriever.data.corpus import Columns, Corpus

    documents = Corpus(corpus, Columns(text_column, title_column, id_column))
    with status("Reading the corpus"):
        total, made = survey(documents, pairs, max_pairs)
    engine = open_existing(index, expert or [], server, collection, device, trust_remote_code)
    if engine is None:
        if not expert:
            raise InvalidInputError("a new index needs at least one --expert")
        experts = load_experts(expert, device, trust_remote_code)
        engine = create(
            index,
            experts,
            made(),
            posteriors=match_posteriors(experts, posterior or []),
            structure=(structure or Structure.kron).value,
            layout=(layout or Layout.block).value,
            temperature=temperature,
            server=server,
            collection=collection,
            batch_size=batch_size,
        )
    else:
        require_agreement(engine, structure, layout, temperature, posterior)
        if pairs:
            raise InvalidInputError("the index is calibrated already: 'uec recalibrate --pairs' changes that")
    with bar("Indexing", total) as progress:
        report = engine.add_records(
            (d.record for d in documents), update=update, batch_size=batch_size, progress=progress
        )
    report_added(engine, report, documents, json)


def reindex(
    index: INDEX,
    to: Annotated[Path, typer.Option(help="Folder of the new index.", show_default=False)],
    expert: Annotated[
        list[str] | None, typer.Option(help=EXPERT_HELP + " Those of the old index if absent.")
    ] = None,
    structure: STRUCTURE = None,
    layout: LAYOUT = None,
    temperature: TEMPERATURE = None,
    posterior: Annotated[list[Path] | None, typer.Option(help="Fitted posterior file. Repeatable.")] = None,
    pairs: PAIRS = None,
    max_pairs: LIMIT = DEFAULT_PAIRS,
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
    from uec_retriever.data.pairs import pseudo_pairs
    from uec_retriever.engine.engine import Engine

    old = Engine.open(
        index, url=server, collection=collection, device=device, trust_remote_code=trust_remote_code
    )
    new = open_existing(to, expert or [], None, collection, device, trust_remote_code)
    if new is None:
        if pairs:
            calibration = survey(None, pairs, max_pairs)[1]()
        else:
            calibration = pseudo_pairs((r.text for page in old.pages() for r in page), limit=max_pairs)
        experts = load_experts(expert, device, trust_remote_code) if expert else old.experts
        new = create(
            to,
            experts,
            calibration,
            posteriors=match_posteriors(experts, posterior or []),
            structure=(structure or Structure.kron).value,
            layout=(layout.value if layout else old.manifest.layout),
            temperature=temperature,
            server=None,
            collection=collection,
            batch_size=batch_size,
        )
    else:
        require_agreement(new, structure, layout, temperature, posterior)
    with bar("Indexing", old.count()) as progress:
        report = old.copy_to(new, batch_size=batch_size, progress=progress)
    report_added(new, report, None, json)
