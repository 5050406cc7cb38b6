"""`uec words`: have words be an expert of an index that is there, or not."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from uec_retriever.cli.common import (
    COLLECTION,
    DATABASE,
    HEADER,
    INDEX,
    JSON,
    SERVER,
    TENANT,
    bar,
    locate,
    output,
    print_json,
    refuse_unused,
    status,
)
from uec_retriever.cli.lexical import (
    LANGUAGE,
    count_behind,
    describe_behind,
    language_name,
    read_language,
    tell_dropped_confidence,
)
from uec_retriever.cli.startup import without_collecting
from uec_retriever.store.lexical_options import LexicalOptions

if TYPE_CHECKING:
    from uec_retriever.store.manifest import Manifest


def words(
    context: typer.Context,
    index: INDEX,
    language: LANGUAGE = None,
    off: Annotated[
        bool, typer.Option("--off", help="Search without words, and remove what is indexed of them.")
    ] = False,
    server: SERVER = None,
    header: HEADER = None,
    tenant: TENANT = None,
    database: DATABASE = None,
    collection: COLLECTION = "uec",
    json: JSON = False,
) -> None:
    """Have words be an expert of an index that was made without them, or of another language.

    Embeds nothing anew and loads no model: only the words of the texts are indexed, beside Chroma. Doing it twice changes
    nothing. Scores change with it, so a calibrated confidence is dropped: run `uec calibrate-confidence` again.

    Example: `uec words --index idx --language german`
    """
    if off:
        refuse_unused(context, "--off", "language")
    chosen = None if language is None else read_language(language)
    with status("Opening the index"), without_collecting():
        from uec_retriever.engine.open import open_store
        from uec_retriever.engine.words import Words

        folder, store, _ = open_store(locate(index, server, header, collection, tenant, database))
        count = store.count()
    with folder.write_lock():
        before = store.read_manifest()
        options = None if off else before.lexical or LexicalOptions()
        if options is not None and language is not None:
            options = replace(options, language=chosen)
        leg = Words(store, folder)
        leg.change(before, options)
        indexed = 0
        if options is not None:
            pending = count_behind(store, folder, options)
            with bar("Indexing words", count if pending is None else pending) as progress:

                def advance(number: int) -> None:
                    nonlocal indexed
                    indexed += number
                    progress(number)

                leg.follow(options, advance)
    behind = count_behind(store, folder, options) if options else None
    store.close()
    if json:
        told = None if options is None else {**asdict(options), "behind": behind}
        print_json({"lexical": told, "changed": options != before.lexical, "indexed": indexed})
        return
    _show(before, options)
    if options is not None:
        done = f"the words of {indexed:,} texts were indexed; " if indexed else ""
        output.print(f"{done}their index {describe_behind(behind, count)}")


def _show(before: Manifest, options: LexicalOptions | None) -> None:
    """Say what words are now, and what they were before."""
    changed = options != before.lexical
    if options is None:
        output.print(f"words are {'no longer an' if changed else 'no'} expert of this index")
    else:
        when = f"instead of {language_name(before.lexical)}" if before.lexical else "from now on"
        output.print(
            f"words are an expert of this index{'' if changed else ' already'}: {language_name(options)}"
            f"{f' {when}' if changed else ''}, prior trust {options.share:.0%}"
        )
    if changed and (before.confidence or before.coverage):
        tell_dropped_confidence()
