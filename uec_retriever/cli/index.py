"""`uec index` and `uec reindex`: embed a corpus, or the texts of another index."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from uec_retriever.cli.common import (
    BATCH,
    COLLECTION,
    DATABASE,
    DEVICE,
    ENGINE,
    EXPERT_HELP,
    GPUS,
    HEADER,
    INDEX,
    JSON,
    SERVER,
    TENANT,
    TRUST,
    WORKERS,
    bar,
    errors,
    kept_types,
    load_experts,
    locate,
    must_exist,
    open_engine,
    refuse_unused,
    require_index,
)
from uec_retriever.cli.indexed import Run, add_corpus, report_added
from uec_retriever.cli.lexical import LANGUAGE, NO_LEXICAL, read_lexical
from uec_retriever.cli.reading import (
    NO_SPLIT,
    SKIP_BAD,
    SPLIT_TOKENS,
    TYPES,
    read_corpus,
    read_types,
    report_reading,
)
from uec_retriever.cli.recipe import (
    CORPUS,
    FORMAT,
    ID,
    LAYOUT,
    LIMIT,
    PAIRS,
    STRUCTURE,
    TEMPERATURE,
    TEXT,
    TITLE,
    make_recipe,
    open_or_create,
    records_of,
    report_cost,
    sample_records,
)
from uec_retriever.cli.usage import WrongUsageError, check_corpus_folder, check_other_folder
from uec_retriever.engine.existing import Existing

if TYPE_CHECKING:
    from uec_retriever.engine.add import Execute


def index(
    context: typer.Context,
    index: INDEX,
    corpus: CORPUS,
    expert: Annotated[list[str] | None, typer.Option(help=EXPERT_HELP)] = None,
    structure: STRUCTURE = None,
    layout: LAYOUT = None,
    temperature: TEMPERATURE = None,
    language: LANGUAGE = None,
    no_lexical: NO_LEXICAL = False,
    posterior: Annotated[
        list[Path] | None,
        typer.Option(
            callback=must_exist, help="Fitted posterior file; finds its expert by itself. Repeatable."
        ),
    ] = None,
    pairs: PAIRS = None,
    max_pairs: LIMIT = None,
    sync: Annotated[
        bool,
        typer.Option(
            "--sync",
            help="Make the index equal to the corpus: at the end, delete what is no longer in it.",
        ),
    ] = False,
    existing: Annotated[
        Existing, typer.Option(help="For ids that are there with other content.")
    ] = "replace",
    update: Annotated[bool, typer.Option("--update", hidden=True)] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be done, and how many tokens that is; do nothing."),
    ] = False,
    text_column: TEXT = "text",
    title_column: TITLE = "title",
    id_column: ID = "_id",
    format: FORMAT = None,
    types: TYPES = None,
    skip_bad: SKIP_BAD = False,
    no_split: NO_SPLIT = False,
    split_tokens: SPLIT_TOKENS = None,
    server: SERVER = None,
    header: HEADER = None,
    tenant: TENANT = None,
    database: DATABASE = None,
    collection: COLLECTION = "uec",
    device: DEVICE = None,
    batch_size: BATCH = 32,
    engine: ENGINE = "local",
    workers: WORKERS = 2,
    gpus: GPUS = 0,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Make an index, or add to it what is new in the corpus.

    The first time, this fits the posterior of each expert (what makes it say how sure it is) and
    then embeds the corpus. Fitting costs about as much as embedding 240 to 960 texts, about a tenth of a corpus from
    3,000 texts on. Run it again with a longer corpus, or after an interruption: it only does what is
    missing. A text whose id is there with other content takes its place; what is in the index and not in the corpus stays
    and is told, unless `--sync` has it deleted.

    An expert is a sentence-transformers model, by hub id or folder; `openai:MODEL@URL` on a server that speaks OpenAI's
    /v1/embeddings, its key in OPENAI_API_KEY; or one of ONNX, model2vec or FastEmbed. `LABEL=MODEL` names it. An index that
    is there needs none.

    Long texts are split where they are structured, into pieces that every expert sees whole; `--no-split` leaves them.

    Words are an expert beside the models: `--language` says whose stems they are matched by, `--no-lexical` leaves them out.

    Example: `uec index --index idx --corpus corpus.jsonl --expert sentence-transformers/all-MiniLM-L6-v2
    --expert BAAI/bge-small-en-v1.5`
    """
    if pairs:
        refuse_unused(context, "--pairs", "max_pairs")
    if no_split:
        refuse_unused(context, "--no-split", "split_tokens")
    if sync:
        refuse_unused(context, "--sync", "existing")
    if update:
        errors.print(
            "note: --update is deprecated, as texts of the same id are replaced anyway: leave it out"
        )
    lexical = read_lexical(context, no_lexical, language)
    execute = _choose_execute(context, engine, workers, gpus)
    from uec_retriever.data.corpus import Corpus
    from uec_retriever.data.documents import Columns

    location = locate(index, server, header, collection, tenant, database)
    check_corpus_folder(index, corpus)
    if not expert and not dry_run:
        require_index(location)
    columns = Columns(text_column, title_column, id_column)
    documents = Corpus(corpus, columns, format and f".{format.value}", read_types(types), skip_bad)
    if sync and skip_bad and not documents.has_files:
        raise WrongUsageError(
            "--sync with --skip-bad would delete the texts of rows that cannot be read: give one of them"
        )
    documents.leave_out(index)
    documents.kept_types = kept_types(location)
    total, sampler = read_corpus(documents, max_pairs)  # every line is checked before work begins
    report_reading(documents)
    recipe = make_recipe(pairs, posterior, structure, layout, temperature, lexical)
    experts = load_experts(expert or [], device, trust_remote_code)
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.kept_types import keep_types
    from uec_retriever.experts.splitting import make_splitter

    def open_index() -> tuple[Engine, float | None]:
        return open_or_create(
            location,
            experts,
            recipe,
            lambda: sampler,
            device=device,
            trust_remote_code=trust_remote_code,
            batch_size=batch_size,
        )

    opened = open_index() if Engine.exists(location) and not (dry_run and no_split) else None
    if not no_split:
        documents.splitter = make_splitter(opened[0].experts if opened else experts, split_tokens)
        total, sampler = read_corpus(documents, max_pairs, "Splitting long texts")
    if dry_run:
        report_cost(location, documents, recipe, sampler, sync=sync, existing=existing, json=json)
        return
    found, fitting = opened or open_index()
    keep_types(found, documents.types)
    run = add_corpus(
        found,
        records_of(documents),
        total,
        sync=sync,
        existing=existing,
        batch_size=batch_size,
        execute=execute,
    )
    report_added(found, run, documents, json, fitting)


def reindex(
    context: typer.Context,
    index: INDEX,
    to: Annotated[Path, typer.Option(help="Folder of the new index.", show_default=False)],
    expert: Annotated[list[str] | None, typer.Option(help=EXPERT_HELP)] = None,
    structure: STRUCTURE = None,
    layout: LAYOUT = None,
    temperature: TEMPERATURE = None,
    language: LANGUAGE = None,
    no_lexical: NO_LEXICAL = False,
    posterior: Annotated[
        list[Path] | None, typer.Option(callback=must_exist, help="Fitted posterior file. Repeatable.")
    ] = None,
    pairs: PAIRS = None,
    max_pairs: LIMIT = None,
    server: SERVER = None,
    header: HEADER = None,
    tenant: TENANT = None,
    database: DATABASE = None,
    collection: COLLECTION = "uec",
    device: DEVICE = None,
    batch_size: BATCH = 32,
    engine: ENGINE = "local",
    workers: WORKERS = 2,
    gpus: GPUS = 0,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Embed the texts of an index anew into another folder: other experts, structure or layout.

    Without `--expert`, those of the old index. Texts that a server embedded for it are not sent to it again.

    The old index stays as it is. Run it again after an interruption: it goes on. Words stay the expert that they are, with
    language and trust; an old index without words gets them in the new one, unless `--no-lexical` says otherwise.
    Judgements and types of metadata go along.
    """
    if pairs:
        refuse_unused(context, "--pairs", "max_pairs")
    check_other_folder("--to", to, index)
    read_lexical(context, no_lexical, language)
    execute = _choose_execute(context, engine, workers, gpus)
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.kept_types import keep_types
    from uec_retriever.engine.location import Location

    old_location = locate(index, server, header, collection, tenant, database)
    old = open_engine(old_location, None, device, trust_remote_code)
    target = Location(to, collection=collection)
    kept = old.manifest.lexical
    lexical = read_lexical(context, no_lexical, language, kept)
    recipe = make_recipe(pairs, posterior, structure, layout, temperature, lexical)
    experts = load_experts(expert or [], device, trust_remote_code)
    if not Engine.exists(target):
        recipe = replace(recipe, layout=recipe.layout or cast(Any, old.manifest.layout))
        recipe = replace(recipe, lexical=kept if lexical is None else lexical)
        experts = experts or old.keeping_experts
    new, fitting = open_or_create(
        target,
        experts,
        recipe,
        lambda: sample_records(old, max_pairs),
        device=device,
        trust_remote_code=trust_remote_code,
        batch_size=batch_size,
    )
    keep_types(new, kept_types(old_location))
    before, begun = new.count(), monotonic()
    with bar("Indexing", old.count()) as progress:
        report = old.copy_to(new, batch_size=batch_size, progress=progress, execute=execute)
    report_added(new, Run(report, before, monotonic() - begun), None, json, fitting)


def _choose_execute(context: typer.Context, engine: str, workers: int, gpus: float) -> Execute | None:
    """Where texts are encoded; None for here."""
    if engine == "local":
        refuse_unused(context, "--engine local", "workers", "gpus")
        return None
    from uec_retriever.engine.ray_encoder import RayEncoder

    return RayEncoder(workers=workers, gpus=gpus)
