"""Adding records to an index: only what is missing is encoded, and every chunk is stored whole, in order."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from uec_retriever.data.progress import FineProgress
from uec_retriever.data.records import Record
from uec_retriever.data.truncation import SHOWN
from uec_retriever.engine.comparison import Change, Comparison
from uec_retriever.engine.ensemble import EncodedTexts, Ensemble, count_truncated, truncated_rows
from uec_retriever.engine.existing import Existing, check_existing
from uec_retriever.engine.kept import forget
from uec_retriever.engine.results import AddReport
from uec_retriever.errors import InvalidInputError, TextError, show
from uec_retriever.store.chroma import ChromaStore

CHUNK = 256
_DELETED = 1000  # at a time
_logger = logging.getLogger(__name__)
_UNEVEN = "execute must give what each chunk of texts is, no less and no more: not all texts are stored"
Texts = Sequence[str]
Execute = Callable[[Ensemble, Iterable[Texts], int, FineProgress], Generator[EncodedTexts | None, None, None]]
"""Encodes chunks of texts as documents: experts, chunks, texts in one forward pass, progress -> what each chunk is, in
order; None for a chunk without texts. It may read chunks ahead."""


def add_records(
    ensemble: Ensemble,
    store: ChromaStore,
    records: Iterable[Record],
    *,
    existing: Existing = "replace",
    whole: bool = True,
    batch_size: int,
    progress: FineProgress | None,
    execute: Execute | None = None,
    stored: Callable[[int], None] | None = None,
) -> AddReport:
    """Add a stream of checked records, a chunk at a time.

    A record that comes twice counts once; of those that are stored only ids are held, to know it.

    Args:
        ensemble: the experts.
        store: the index.
        records: of any number.
        existing: what becomes of those whose id is there with other content: `replace`, `refuse` or `skip`.
        whole: whether records with a source are all that there is of their document, see `Comparison`. What is stale of it
            is deleted at the end, when all is stored that takes its place.
        batch_size: texts in one forward pass.
        progress: called with the number of texts done since; a text under one of K experts counts 1 / K.
        execute: encodes chunks elsewhere; here if None.
        stored: called with the number of texts that were stored since.

    Raises:
        IdConflictError: if one id stands for two different records, or is there with other content and `existing` is
            `refuse`.
        InvalidInputError: for another `existing`; if `execute` does not give what each chunk is.
        TextError: naming the record that cannot be embedded.
    """
    check_existing(existing)
    report, tell = AddReport(), progress or _ignore
    comparison = Comparison(store, existing, whole=whole, size=CHUNK)
    exhausted = False
    waiting: deque[Change] = deque()  # for their encodings

    def texts() -> Iterator[Texts]:
        nonlocal report, exhausted
        for change in comparison.changes(records):
            report += AddReport(unchanged=change.unchanged, skipped=change.skipped)
            tell(change.passed)
            if change.fresh or change.retold:
                waiting.append(change)
                yield [r.embedding_text for r in change.fresh]
        exhausted = True

    with contextlib.closing((execute or _here)(ensemble, texts(), batch_size, tell)) as encodings:
        try:
            for encoded in encodings:
                if not waiting:
                    raise InvalidInputError(_UNEVEN)
                report += _store(ensemble, store, waiting[0], encoded)
                change = waiting.popleft()
                forget(ensemble, change.fresh)
                if stored is not None:
                    stored(len(change.fresh))
        except TextError as error:
            if error.position is None:
                raise
            identifier = waiting[0].fresh[error.position].id
            raise type(error)(f"record {show(identifier)}: {error}", error.position) from error
    if waiting or not exhausted:
        raise InvalidInputError(_UNEVEN)
    report += _delete(store, comparison.stale)
    _tell_of_replaced(report)
    return report


def _delete(store: ChromaStore, stale: Sequence[str]) -> AddReport:
    """Delete what is stale, first parts of documents last: while there is one, the next call finds the others."""
    parts = range(len(stale), 0, -_DELETED)
    deleted = sum(store.delete(stale[max(end - _DELETED, 0) : end]) for end in parts)
    return AddReport(deleted=deleted, deleted_ids=tuple(stale[:SHOWN]))


def _tell_of_replaced(report: AddReport) -> None:
    if report.deleted:
        _logger.info(
            "%d parts of documents that have other content now were deleted, e.g. %s",
            report.deleted,
            ", ".join(map(show, report.deleted_ids)),
        )
    if report.updated:
        _logger.info(
            "%d texts replaced others of the same id, e.g. %s",
            report.updated,
            ", ".join(map(show, report.updated_ids)),
        )


def _store(ensemble: Ensemble, store: ChromaStore, change: Change, encoded: EncodedTexts | None) -> AddReport:
    truncated: dict[str, int] = {}
    rows: list[int] = []
    if encoded is not None:
        strings = ensemble.codec.to_strings(ensemble.codec.code(encoded.gaussian))
        store.put(change.fresh, encoded.gaussian.mean, strings, replaced=change.there)
        truncated, rows = count_truncated(ensemble.labels, encoded), truncated_rows(encoded)
    if change.retold:
        store.replace_metadata(change.retold, replaced=change.there)
    updated = [r.id for r in change.fresh if r.id in change.there] + [r.id for r in change.retold]
    return AddReport(
        added=sum(r.id not in change.there for r in change.fresh),
        updated=len(updated),
        updated_ids=tuple(updated[:SHOWN]),
        truncated=truncated,
        truncated_ids=tuple(change.fresh[i].id for i in rows[:SHOWN]),
    )


def _here(
    ensemble: Ensemble, chunks: Iterable[Texts], batch_size: int, progress: FineProgress
) -> Generator[EncodedTexts | None, None, None]:
    experts = len(ensemble.experts)
    for texts in chunks:
        yield encode(ensemble, texts, batch_size, lambda n: progress(n / experts))


def encode(
    ensemble: Ensemble, texts: Texts, batch_size: int, progress: Callable[[int], None] | None = None
) -> EncodedTexts | None:
    """A chunk of documents, encoded; None for one without texts."""
    if not texts:
        return None
    return ensemble.encode_documents(texts, batch_size=batch_size, progress=progress)


def _ignore(done: float) -> None:
    """FineProgress that nobody watches."""
