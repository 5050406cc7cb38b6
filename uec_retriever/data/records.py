"""Records as the user gives them and gets them back: ids, texts, metadata."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uec_retriever.checks.iterables import is_iterable
from uec_retriever.data.texts import check_texts, text_problem
from uec_retriever.data.values import is_nothing, plain_value, value_problem
from uec_retriever.errors import IdConflictError, InvalidInputError, show

Metadata = dict[str, Any]
RESERVED_PREFIXES = ("uec:", "chroma:")
ID_KEY = "uec:id"  # of filters alone: {ID_KEY: {"$in": ["id of a record"]}}
SOURCE_KEY = "uec:s"  # filters may name it: {SOURCE_KEY: "id of a document"}
_REFUSED_PREFIXES = ("#", "$")  # by Chroma, when a whole batch has been encoded
_PIECE = re.compile(r".#\d{4,}\Z", re.S)  # the end of the id of one
_SHOWN = 40  # characters of a text without an id, in messages


@dataclass(frozen=True)
class Record:
    """One text in an index.

    Attributes:
        id: the user's, or a hash of text and metadata.
        text: what is embedded and returned.
        metadata: the user's own, nothing of ours.
        embedded: what is embedded instead of `text`, e.g. a text with its title or metadata before it.
        payload: what a framework needs to restore its own object; kept, never embedded or shown.
        source: id of the document that the text is a part of; filters know it as `SOURCE_KEY`.
    """

    id: str
    text: str
    metadata: Metadata = field(default_factory=dict)
    embedded: str | None = None
    payload: str | None = field(default=None, repr=False)
    source: str | None = None

    @property
    def embedding_text(self) -> str:
        """What the experts get to see."""
        return self.text if self.embedded is None else self.embedded

    @property
    def title(self) -> str:
        """The title in its metadata; empty if there is none."""
        title = self.metadata.get("title")
        return title if isinstance(title, str) else ""


def make_records(
    texts: Iterable[str],
    ids: Sequence[str | None] | None = None,
    metadatas: Sequence[Mapping[str, Any] | None] | None = None,
    *,
    embedded: Sequence[str] | None = None,
    payloads: Sequence[str] | None = None,
    sources: Sequence[str | None] | None = None,
) -> list[Record]:
    """Check what the user wants to add, before anything is encoded or stored; a record given twice counts once.

    Args:
        texts: of the records.
        ids: theirs; where absent or None, made from text and metadata.
        metadatas: theirs, see `check_metadata`.
        embedded: what to embed instead of the texts.
        payloads: strings that come back with the records.
        sources: ids of the documents that the texts are parts of.

    Raises:
        InvalidInputError: for a bad text, id or metadata value, naming the record and the fix.
        IdConflictError: if one id stands for two different records.
    """
    return unique(check_records(texts, ids, metadatas, embedded=embedded, payloads=payloads, sources=sources))


def check_records(
    texts: Iterable[str],
    ids: Sequence[str | None] | None = None,
    metadatas: Sequence[Mapping[str, Any] | None] | None = None,
    *,
    embedded: Sequence[str] | None = None,
    payloads: Sequence[str] | None = None,
    sources: Sequence[str | None] | None = None,
) -> list[Record]:
    """A record for each text, those given twice too; the rest is as for `make_records`.

    Args:
        texts: of the records.
        ids: theirs; where absent or None, made from text and metadata.
        metadatas: theirs, see `check_metadata`.
        embedded: what to embed instead of the texts.
        payloads: strings that come back with the records.
        sources: ids of the documents that the texts are parts of.

    Raises:
        InvalidInputError: for a bad text, id or metadata value, naming the record and the fix.
    """
    checked = check_texts(texts)
    columns = (
        check_column(ids, "ids", checked),
        check_column(metadatas, "metadatas", checked),
        check_column(embedded, "texts to embed", checked),
        check_column(payloads, "payloads", checked),
        check_column(sources, "sources", checked),
    )
    if embedded is not None:
        check_texts(columns[2], "text to embed")
    records = []
    for position, (text, identifier, metadata, seen, payload, source) in enumerate(
        zip(checked, *columns, strict=True)
    ):
        known = None if identifier is None else check_id(identifier, position)
        owner = f"text {position} ({show(text, _SHOWN)})" if known is None else show(known)
        metadata = check_metadata(metadata, owner)
        if payload and (problem := text_problem(payload)):
            raise InvalidInputError(f"the payload of {owner} {problem}")
        if source is not None:
            check_id(source, position, "source")
        identifier = content_id(text, metadata) if known is None else known
        records.append(Record(identifier, text, metadata, None if seen == text else seen, payload, source))
    return records


def check_column(values: Iterable[Any] | None, what: str, texts: Sequence[str]) -> list[Any]:
    """One value for each text; None for all if none are given.

    Args:
        values: as many as there are texts, in any iterable but a string or a mapping.
        what: they are, in messages.
        texts: n.

    Raises:
        InvalidInputError: for anything else, or another number.
    """
    if values is None:
        return [None] * len(texts)
    if isinstance(values, str | bytes | Mapping) or not is_iterable(values):
        raise InvalidInputError(f"expected a list of {what}, one for each text, got {show(values)}")
    found = list(values)
    if len(found) != len(texts):
        raise InvalidInputError(f"{len(texts)} texts but {len(found)} {what}: give one for each text")
    return found


def unique(records: Iterable[Record]) -> list[Record]:
    """Records without repetitions, in order.

    Raises:
        IdConflictError: if one id stands for two different records.
    """
    found: dict[str, Record] = {}
    for record in records:
        if not same_content(found.setdefault(record.id, record), record):
            raise given_twice(record.id)
    return list(found.values())


def given_twice(identifier: str) -> IdConflictError:
    """That one id stands for two different records, as an error."""
    told = f"id {show(identifier)} is given twice for different texts or metadata: make ids unique, or leave them out"
    split = "; or, as one may be a piece of a long text, do not split (--no-split)" * bool(
        _PIECE.search(identifier)
    )
    return IdConflictError(f"{told} to have them made from the content{split}")


def check_not_empty(records: Sequence[Record]) -> None:
    """Refuse to make an index of nothing.

    Raises:
        InvalidInputError: without any record.
    """
    if not records:
        raise InvalidInputError(
            "the corpus is empty: it holds no text to make an index of. Look at what was to give the texts"
        )


def same_content(one: Record, other: Record) -> bool:
    """Whether `other` says what `one` does, types too; of floats Chroma may lose the last bit.

    Where `other` has no payload or source, as records of another framework, it says nothing of it.
    """
    return (
        one.text == other.text
        and one.embedded == other.embedded
        and other.payload in (None, one.payload)
        and other.source in (None, one.source)
        and one.metadata.keys() == other.metadata.keys()
        and all(_same_value(value, other.metadata[key]) for key, value in one.metadata.items())
    )


def _same_value(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same_value, one, other))
    return math.isclose(one, other, rel_tol=1e-15) if isinstance(one, float) else bool(one == other)


def content_id(text: str, metadata: Mapping[str, Any]) -> str:
    """32 hex digits of SHA-256 over text and metadata."""
    content = json.dumps([text, metadata], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def piece_id(identifier: str, position: int) -> str:
    """The id of a piece of a text that was split, the first of which is at position 0."""
    return f"{identifier}#{position:04}"


def check_id(identifier: object, position: int, what: str = "id") -> str:
    """An id as given, if Chroma can hold it."""
    problem = text_problem(identifier)
    if problem:
        raise InvalidInputError(f"{what} {position} {problem}")
    return str(identifier)  # one of NumPy as Python's


def check_ids(ids: object) -> list[str]:
    """Ids of records to look for, as they can be.

    Args:
        ids: any iterable of strings; a single string is refused.

    Raises:
        InvalidInputError: for what is no list, or an id that no record can have, naming its position.
    """
    if isinstance(ids, str):
        raise InvalidInputError("expected a list of ids, got a single one: put it into a list")
    if isinstance(ids, bytes | Mapping) or not is_iterable(ids):
        raise InvalidInputError(f"expected a list of ids, got {show(ids)}")
    return [check_id(identifier, position) for position, identifier in enumerate(ids)]


def check_metadata(metadata: object, owner: str) -> Metadata:
    """Metadata as Chroma can hold it and give it back.

    One rule for all who add texts: what says nothing (None, an empty list) is left out; values of NumPy become Python's,
    dates and times strings in ISO 8601; anything else that Chroma cannot hold is refused.

    Args:
        metadata: a flat mapping, or None.
        owner: whose they are, in messages.

    Raises:
        InvalidInputError: naming owner, key and fix.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(f"the metadata of {owner} is {type(metadata).__name__}, not a dictionary")
    checked = {}
    for key, given in metadata.items():
        where = f"the metadata of {owner}, key {show(key)}"
        if not isinstance(key, str) or not key:
            raise InvalidInputError(f"{where}: keys must be non-empty strings")
        if key.startswith(RESERVED_PREFIXES):
            raise InvalidInputError(
                f"{where}: keys that begin with 'uec:' or 'chroma:' are reserved, rename it"
            )
        if key.startswith(_REFUSED_PREFIXES):
            raise InvalidInputError(f"{where}: Chroma refuses keys that begin with '#' or '$', rename it")
        if key.strip() and (problem := text_problem(key)):
            raise InvalidInputError(f"{where}: the key {problem}")
        value = plain_value(given)
        if is_nothing(value):
            continue
        if problem := value_problem(value):
            raise InvalidInputError(f"{where}: {problem}")
        checked[key] = value
    return checked
