"""LangChain documents from what the engine found, and records from LangChain documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.documents import Document

if TYPE_CHECKING:
    from uec_retriever import Hit, Record, SearchResult

Include = Literal["score", "deviation", "coefficients", "confidence"]
METADATA_KEYS: dict[Include, str] = {
    "score": "uec_score",
    "deviation": "uec_deviation",
    "coefficients": "uec_coefficients",
    "confidence": "uec_confidence",
}
"""Under which metadata key each opt-in value comes: what `include` may name, and where it is then."""


def found_documents(
    result: SearchResult, include: Iterable[Include] = (), score_threshold: float | None = None
) -> list[Document]:
    """Documents of the hits, best first, with the values of `include` in their metadata.

    Args:
        result: of a search.
        include: values to add, see `METADATA_KEYS`.
        score_threshold: drop hits whose score, in [0, 1], is lower.

    Raises:
        InvalidInputError: if a text's own metadata has one of the keys that `include` asks for.
    """
    include = list(include)
    return [_annotated(hit, result, include) for hit in good_hits(result, score_threshold)]


def good_hits(result: SearchResult, score_threshold: float | None) -> list[Hit]:
    """Hits whose score is at least the threshold, if there is one.

    Raises:
        InvalidInputError: for a threshold outside [0, 1].
    """
    check_threshold(score_threshold)
    return [hit for hit in result if score_threshold is None or hit.score >= score_threshold]


def check_threshold(score_threshold: float | None) -> None:
    """Refuse a threshold outside [0, 1], where all scores lie."""
    if score_threshold is not None and not 0 <= score_threshold <= 1:
        from uec_retriever.errors import InvalidInputError

        raise InvalidInputError(f"score_threshold must be in [0, 1], as scores are, got {score_threshold}")


def plain_document(record: Hit | Record) -> Document:
    """The document that was added: its text, its metadata and its id, nothing of ours."""
    return Document(id=record.id, page_content=record.text, metadata=dict(record.metadata))


def make_records(
    texts: Sequence[str],
    ids: Sequence[str | None] | None,
    metadatas: Sequence[Mapping[str, Any] | None] | None,
) -> tuple[list[Record], list[str]]:
    """Checked records, and the id of each text: the user's, or where that is None a content hash.

    A text given twice is one record, under one id that is returned twice.

    Raises:
        InvalidInputError: for a bad text, id or metadata value, naming position and fix.
        IdConflictError: if one id stands for two different texts.
    """
    from uec_retriever.data import records
    from uec_retriever.errors import InvalidInputError

    texts = list(texts)
    checked = records.make_records(texts, list(map(str, range(len(texts)))), metadatas)
    given = [None] * len(texts) if ids is None else list(ids)
    if len(given) != len(texts):
        raise InvalidInputError(f"{len(texts)} texts but {len(given)} ids: give one for each text")
    named = [
        records.content_id(r.text, r.metadata) if i is None else records.check_id(i, position)
        for position, (r, i) in enumerate(zip(checked, given, strict=True))
    ]
    return records.unique(replace(r, id=i) for r, i in zip(checked, named, strict=True)), named


def _annotated(hit: Hit, result: SearchResult, include: Sequence[Include]) -> Document:
    document = plain_document(hit)
    values: dict[Include, Any] = {
        "score": hit.score,
        "deviation": hit.deviation,
        "coefficients": result.coefficients,
        "confidence": result.confidence,
    }
    for name in include:
        key = METADATA_KEYS[name]
        if key in document.metadata:
            from uec_retriever.errors import InvalidInputError

            raise InvalidInputError(
                f"text {hit.id!r} has metadata {key!r} of its own: rename that, or leave {name!r} out of include"
            )
        document.metadata[key] = dict(values[name]) if isinstance(values[name], dict) else values[name]
    return document
