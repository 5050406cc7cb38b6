"""Words as an expert: options that the commands share, and what they tell of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from uec_retriever.cli.common import WrongUsageError, bar, errors, refuse_unused
from uec_retriever.store.lexical_options import WORDS, LexicalOptions

if TYPE_CHECKING:
    from uec_retriever.engine.engine import Engine
    from uec_retriever.engine.folder import IndexFolder
    from uec_retriever.engine.location import Location
    from uec_retriever.store.chroma import ChromaStore
    from uec_retriever.store.manifest import Manifest

NO_LANGUAGE = "none"
_MANY = 500  # texts whose words take long enough to index for a bar to be seen

NO_LEXICAL = Annotated[
    bool, typer.Option("--no-lexical", help="Without words as an expert, which new indexes have.")
]
LANGUAGE = Annotated[
    str | None,
    typer.Option(
        help="Of the stemmer and stop words, such as german; none for no stemming. English if absent.",
        metavar="LANG",
    ),
]


def read_lexical(
    context: typer.Context, no_lexical: bool, language: str | None, kept: LexicalOptions | None = None
) -> LexicalOptions | bool | None:
    """What the options say about words, for a `Recipe`; None if nothing.

    Args:
        context: of the command.
        no_lexical: whether there are to be none.
        language: theirs, as it is typed.
        kept: everything else about them.

    Raises:
        WrongUsageError: for both options, or a language without a stemmer.
    """
    if no_lexical:
        refuse_unused(context, "--no-lexical", "language")
        return False
    return None if language is None else replace(kept or LexicalOptions(), language=read_language(language))


def read_language(name: str) -> str | None:
    """The name of a language as it is typed; None for no stemming.

    Raises:
        WrongUsageError: for one without a stemmer, with those that there are.
    """
    from uec_retriever.data.words import languages

    if (known := name.lower()) == NO_LANGUAGE:
        return None
    if known not in languages():
        raise WrongUsageError(
            f"--language {name!r}: there is no stemmer of that name; say {NO_LANGUAGE} for no stemming, or one of "
            f"{', '.join(languages())}"
        )
    return known


def language_name(options: LexicalOptions) -> str:
    """The language of words, for people."""
    return options.language or "no language"


def priors(manifest: Manifest) -> dict[str, float]:
    """Expert label -> prior trust, summing to 1: words have their share, and the others divide the rest."""
    share = manifest.lexical.share if manifest.lexical else 0.0
    told = {e.label: (1 - share) * e.prior for e in manifest.experts}
    return told if manifest.lexical is None else {**told, WORDS: share}


def count_behind(store: ChromaStore, folder: IndexFolder, options: LexicalOptions) -> int | None:
    """How many texts the lexical index has yet to follow, about; None if it is not made yet. Changes nothing."""
    from uec_retriever.store.lexical.following import LexicalFollower

    file = folder.lexical_file(str(store.collection.id), options.analyzer.settings())
    return LexicalFollower(store, file, options.analyzer).behind()


def describe_behind(behind: int | None, count: int) -> str:
    """The state of a lexical index, for people.

    Args:
        behind: of `count_behind`.
        count: texts in the index.
    """
    if behind is None:
        return "not made yet: the next search makes it"
    if behind == 0:
        return f"follows all {count:,} texts"
    return f"{behind:,} texts behind: the next search catches up"


def index_words(engine: Engine, location: Location) -> None:
    """Bring the lexical index up to the texts before it is needed, under a bar if that takes long.

    Args:
        engine: of the index.
        location: of the index.
    """
    options = engine.manifest.lexical
    if options is None:
        return
    from uec_retriever.engine.folder import IndexFolder

    behind = count_behind(engine.store, IndexFolder(location), options)
    pending = engine.count() if behind is None else behind
    if pending >= _MANY:
        with bar("Indexing words", pending) as progress:
            engine.index_words(progress=progress)


def tell_dropped_confidence() -> None:
    """Say that an index has neither confidence nor coverage any more."""
    errors.print(
        "note: scores are others now, so the calibrated confidence and coverage are dropped: run 'uec calibrate-confidence' again",
        soft_wrap=True,
    )
