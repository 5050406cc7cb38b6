"""LangChain documents from what the engine found, and records from LangChain documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from uec_retriever.data import records
from uec_retriever.data.records import Record
from uec_retriever.engine.results import EXTRAS, Extra, Hit
from uec_retriever.errors import InvalidInputError, show

if TYPE_CHECKING:
    from uec_retriever import SearchResult

METADATA_KEYS = EXTRAS
"""Under which metadata key each opt-in value comes: what `include` may name, and where it is then."""


def to_documents(
    result: SearchResult,
    include: Sequence[Extra] = (),
    score_threshold: float | None = None,
    no_evidence: str | None = None,
) -> list[Document]:
    """Documents of the hits, best first, with the values of `include` in their metadata.

    Args:
        result: of a search.
        include: values to add, see `METADATA_KEYS`.
        score_threshold: drop hits whose score, in [0, 1], is lower.
        no_evidence: text of a document, of the lowest score, that is given where there would be none; None for none.

    Raises:
        InvalidInputError: for a threshold outside [0, 1], or if a text's own metadata has one of the keys that
            `include` asks for.
    """
    return [_with_extras(hit, result, include) for hit in result.best(score_threshold, no_evidence)]


def to_document(record: Hit | Record) -> Document:
    """The document that was added: its text, its metadata and its id, nothing of ours; it shares nothing with others."""
    metadata = {
        key: list(value) if isinstance(value, list) else value for key, value in record.metadata.items()
    }
    return Document(id=record.id, page_content=record.text, metadata=metadata)


def make_records(
    texts: Iterable[str],
    ids: Sequence[str | None] | None,
    metadatas: Sequence[Mapping[str, Any] | None] | None,
) -> tuple[list[Record], list[str]]:
    """Checked records, and the id of each text: the user's, or where that is None a content hash.

    A text given twice is one record, under one id that is returned twice.

    Args:
        texts: n non-empty strings.
        ids: n, if given.
        metadatas: n, flat, if given.

    Raises:
        InvalidInputError: for a bad text, id or metadata value, naming position and fix.
        IdConflictError: if one id stands for two different texts.
    """
    checked = records.check_records(texts, ids, metadatas)
    return records.unique(checked), [record.id for record in checked]


def split_documents(
    documents: Sequence[Document], ids: Sequence[str | None] | None = None
) -> tuple[list[str], list[str | None], list[dict[str, Any]]]:
    """Texts, ids (given, or the documents' own) and metadata of documents."""
    own = [document.id for document in documents]
    return (
        [d.page_content for d in documents],
        own if ids is None else list(ids),
        [d.metadata for d in documents],
    )


def _with_extras(hit: Hit, result: SearchResult, include: Sequence[Extra]) -> Document:
    document = to_document(hit)
    for name, value in result.extras(hit, include).items():
        key = METADATA_KEYS[name]
        if key in document.metadata:
            raise InvalidInputError(
                f"text {show(hit.id)} has metadata {show(key)} of its own: rename that, or leave {name!r} out of include"
            )
        document.metadata[key] = value
    return document
