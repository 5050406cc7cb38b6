"""Adding records to an index: only what is missing is encoded, and every chunk is stored whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from uec_retriever.data.records import Record, same_content, unique
from uec_retriever.data.truncation import SHOWN
from uec_retriever.engine.ensemble import EncodedTexts, Ensemble, count_truncated, truncated_rows
from uec_retriever.engine.results import AddReport
from uec_retriever.errors import IdConflictError, NumericalError
from uec_retriever.store.chroma import ChromaStore

CHUNK = 256
Progress = Callable[[float], None]


def add_records(
    ensemble: Ensemble,
    store: ChromaStore,
    records: Iterable[Record],
    *,
    update: bool,
    batch_size: int,
    progress: Progress | None,
) -> AddReport:
    """Add a stream of checked records, a chunk at a time.

    Args:
        ensemble: the experts.
        store: the index.
        records: of any number.
        update: replace records whose id is there with other content, instead of refusing.
        batch_size: texts in one forward pass.
        progress: called with the number of texts done since; a text under one of K experts counts 1 / K.

    Raises:
        IdConflictError: if an id is there with another text or metadata and not `update`.
        NumericalError: naming the record whose embedding is NaN or infinite.
    """
    report, stream = AddReport(), iter(records)
    for chunk in iter(lambda: list(islice(stream, CHUNK)), []):
        report += _add_chunk(ensemble, store, unique(chunk), update, batch_size, progress or _ignore)
    return report


def _add_chunk(
    ensemble: Ensemble,
    store: ChromaStore,
    chunk: Sequence[Record],
    update: bool,
    batch_size: int,
    progress: Progress,
) -> AddReport:
    there = {r.id: r for r in store.get([r.id for r in chunk])}
    changed = [r for r in chunk if r.id in there and not same_content(there[r.id], r)]
    if changed and not update:
        raise IdConflictError(
            f"{len(changed)} ids are in the index with another text or metadata, e.g. {changed[0].id!r}: "
            "replace them with update=True (--update on the command line), or use other ids"
        )
    fresh = [r for r in chunk if r.id not in there or _reads(there[r.id]) != _reads(r)]
    progress(len(chunk) - len(fresh))
    encoded: EncodedTexts | None = None
    if fresh:
        experts = len(ensemble.experts)
        try:
            encoded = ensemble.encode_documents(
                [r.embedding_text for r in fresh],
                batch_size=batch_size,
                progress=lambda n: progress(n / experts),
            )
        except NumericalError as error:
            if error.position is None:
                raise
            raise NumericalError(f"record {fresh[error.position].id!r}: {error}", error.position) from error
        strings = ensemble.codec.to_strings(ensemble.codec.code(encoded.gaussian))
        store.put(fresh, encoded.gaussian.mean, strings, replaced=there)
    retold = [r for r in changed if _reads(there[r.id]) == _reads(r)]
    if retold:
        store.replace_metadata(retold, replaced=there)
    return AddReport(
        added=len(chunk) - len(there),
        updated=len(changed),
        unchanged=len(there) - len(changed),
        truncated=count_truncated(ensemble.labels, encoded) if encoded else {},
        truncated_ids=tuple(fresh[i].id for i in truncated_rows(encoded)[:SHOWN]) if encoded else (),
    )


def _reads(record: Record) -> tuple[str, str | None]:
    """What cannot change without embedding or storing the text anew."""
    return record.text, record.embedded


def _ignore(done: float) -> None:
    """Progress that nobody watches."""
