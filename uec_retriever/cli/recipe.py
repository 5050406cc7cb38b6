"""How an index is made: options that `uec index`, `fit`, `recalibrate` and `reindex` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from uec_retriever.cli.common import NO_EXPERT, WrongUsageError, bar, must_exist, print_json, status
from uec_retriever.cli.indexed import kept_fields, tell_cost, tell_fitting, tell_kept

if TYPE_CHECKING:
    from uec_retriever.data.corpus import Corpus
    from uec_retriever.data.documents import Document
    from uec_retriever.data.pairs import PairSampler
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.existing import Existing
    from uec_retriever.engine.location import Location
    from uec_retriever.engine.recipe import Recipe
    from uec_retriever.engine.sync import PartlyRead
    from uec_retriever.experts.expert import Expert
    from uec_retriever.store.lexical_options import LexicalOptions

DEFAULT_PAIRS = 640  # for what is calibrated once and for all


class Structure(StrEnum):
    """Structures of the posterior."""

    kron = "kron"
    diag = "diag"


class Layout(StrEnum):
    """Layouts of the fused embedding."""

    block = "block"
    sum = "sum"


class Format(StrEnum):
    """Formats of a corpus in one file."""

    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"


CORPUS = Annotated[
    Path,
    typer.Option(
        callback=must_exist,
        help="BEIR, .jsonl, .csv, .tsv, .parquet (.gz, too), a file or folder of texts; - for stdin.",
        show_default=False,
    ),
]
FORMAT = Annotated[
    Format | None,
    typer.Option("--format", help="Of the corpus, if its name does not tell; jsonl for standard input."),
]
PAIRS = Annotated[
    Path | None,
    typer.Option(
        callback=must_exist,
        help="Calibration pairs, JSONL with 'query' and 'positive'; made from the corpus if absent.",
    ),
]
LIMIT = Annotated[
    int | None,
    typer.Option(
        "--max-pairs",
        min=32,
        help="At most this many pairs made from the corpus; if absent one for each 20 texts, 160 to 640.",
    ),
]
ALL_PAIRS = Annotated[
    int, typer.Option("--max-pairs", min=32, help="At most this many pairs made from the texts.")
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
        help="block (default): each expert keeps its coordinates; sum: the paper's, for experts of one base model."
    ),
]
TEMPERATURE = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="T of the coefficients: low trusts the surest expert, high all alike. Fitted if absent.",
    ),
]


def sample_documents(
    documents: Iterable[Document], limit: int | None, tell: Callable[[int], None] | None = None
) -> tuple[int, PairSampler]:
    """Read a corpus once: every line is checked before work begins.

    Args:
        documents: the corpus.
        limit: of the pairs to make; in proportion to the corpus if None.
        tell: called now and then with the number of documents read.

    Returns:
        The number of documents, and a sample of them to make calibration pairs of.
    """
    from uec_retriever.data.pairs import PairSampler

    sampler, total = PairSampler(limit), 0
    for document in documents:
        total += 1
        if tell is not None and total % 1000 == 0:
            tell(total)
        sampler.offer(document.body, document.title)
    return total, sampler


def sample_records(engine: Engine, limit: int | None) -> PairSampler:
    """A sample of the texts of an index, with their titles, to make calibration pairs of.

    Args:
        engine: of the index.
        limit: of the pairs to make; in proportion to the texts if None.
    """
    from uec_retriever.data.pairs import PairSampler

    sampler = PairSampler(limit)
    for page in engine.pages():
        for record in page:
            sampler.offer(record.text, record.title)
    return sampler


def make_recipe(
    pairs: Path | None,
    posteriors: list[Path] | None,
    structure: Structure | None,
    layout: Layout | None,
    temperature: float | None,
    lexical: LexicalOptions | bool | None,
) -> Recipe:
    """What the options say about how to make an index."""
    from uec_retriever.data.corpus import read_pairs
    from uec_retriever.engine.recipe import Recipe

    return Recipe(
        pairs=read_pairs(pairs) if pairs else None,
        posteriors=posteriors or [],
        structure=structure and structure.value,
        layout=cast(Any, layout and layout.value),
        temperature=temperature,
        lexical=lexical,
    )


def open_or_create(
    location: Location,
    experts: list[Expert],
    recipe: Recipe,
    sampler: Callable[[], PairSampler],
    *,
    device: str | None,
    trust_remote_code: bool,
    batch_size: int,
) -> tuple[Engine, float | None]:
    """The index if it is there and agrees with the recipe, else an empty one, made under a progress bar.

    Args:
        location: of the index.
        experts: none if the index is there.
        recipe: how to make it.
        sampler: gives the texts to make calibration pairs of, if they are needed.
        device: torch device.
        trust_remote_code: run code that comes with the models.
        batch_size: texts in one forward pass.

    Returns:
        The index, and the seconds that making it took, None if it was there.
    """
    from uec_retriever.engine.agreement import match_posteriors
    from uec_retriever.engine.create import fitting_work
    from uec_retriever.engine.engine import Engine

    loading: dict[str, Any] = {"device": device, "trust_remote_code": trust_remote_code}
    if Engine.exists(location):
        with status("Opening the index"):
            return Engine.open_or_create(location, experts, recipe, **loading), None
    if not experts:
        raise WrongUsageError(NO_EXPERT)
    pairs = recipe.pairs or sampler().pairs_or_general()
    recipe = replace(recipe, pairs=pairs)
    tell_fitting(experts, pairs, len(match_posteriors(experts, recipe.posteriors)))
    begun = monotonic()
    with bar("Fitting and calibrating", fitting_work(experts, recipe)) as progress:
        engine = Engine.create(location, experts, recipe, batch_size=batch_size, progress=progress)
    return engine, monotonic() - begun


def records_of(documents: Corpus) -> PartlyRead:
    """The records of a corpus, which tells of files that it could not read."""
    from uec_retriever.engine.sync import PartlyRead

    return PartlyRead((d.record for d in documents), documents.may_hold)


def report_cost(
    location: Location,
    documents: Corpus,
    recipe: Recipe,
    sampler: PairSampler,
    *,
    sync: bool,
    existing: Existing,
    json: bool,
) -> None:
    """Say what `uec index` would do."""
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.estimate import estimate

    there = Engine.exists(location)
    pairs = None if there else recipe.pairs or sampler.pairs_or_general()
    records = records_of(documents)
    found = estimate(records, pairs, location if there else None, existing=existing, sync=sync)
    if json:
        print_json({**asdict(found), **kept_fields(records.kept)})
    else:
        tell_cost(found, sync, existing)
        tell_kept(records.kept)
