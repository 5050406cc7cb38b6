"""Documents as they are found in files: a row of a table, a JSON object, a file of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uec_retriever.data.files.folder import FileText
from uec_retriever.data.files.markup import Markup
from uec_retriever.data.records import Record, check_id, check_metadata, content_id
from uec_retriever.data.texts import join_title, text_problem
from uec_retriever.data.types import flat, typed_metadata
from uec_retriever.errors import InvalidInputError, show


@dataclass(frozen=True)
class Columns:
    """Names of the columns, or JSON keys, that hold a document.

    Attributes:
        text: the text, required.
        title: put before the text where there is one.
        id: the id, or else a column called `id`; made from the content if both are absent.
    """

    text: str = "text"
    title: str = "title"
    id: str = "_id"


@dataclass(frozen=True)
class Document:
    """A document of a corpus: its record, and its parts before they were joined.

    Attributes:
        record: with title and text.
        title: put before the text.
        body: the text.
        markup: what its structure is written in.
    """

    record: Record
    title: str
    body: str
    markup: Markup = "plain"


@dataclass(frozen=True)
class Blank:
    """A document without any text.

    Attributes:
        id: its own; "" if it has none.
    """

    id: str


def row_document(row: dict[str, Any], columns: Columns, types: Mapping[str, str]) -> Document | Blank:
    """A row as a document.

    Args:
        row: its values by name; it is used up.
        columns: which of them hold text, title and id.
        types: key of metadata -> its type.

    Raises:
        InvalidInputError: for one that cannot be a record.
    """
    body = as_string(row.pop(columns.text, None), columns.text)
    title = as_string(row.pop(columns.title, None), columns.title)
    key = columns.id if columns.id in row else "id"
    identifier = as_string(row.pop(key, None), "id", numbers=True)
    text = join_title(title, body)
    if not text:
        return Blank(identifier)
    nested = row.pop("metadata", None) or {}
    if not isinstance(nested, Mapping):
        raise InvalidInputError(f"'metadata' is {type(nested).__name__}, not an object")
    metadata = {**row, **nested}
    if title:
        metadata["title"] = title
    return _document(identifier, text, metadata, types, title, body, "plain")


def file_document(file: FileText, types: Mapping[str, str]) -> Document | Blank:
    """A file as a document.

    Args:
        file: of a folder.
        types: key of metadata -> its type.

    Raises:
        InvalidInputError: for one that cannot be a record.
    """
    text = f"{file.title}\n\n{file.text}".strip() if file.text.strip() else ""
    if not text:
        return Blank(file.name)
    return _document(file.name, text, file.metadata, types, file.title, file.text, file.markup)


def as_string(value: object, key: str, *, numbers: bool = False) -> str:
    """A value that has to be a string, "" for None.

    Args:
        value: as it was found.
        key: of it, for messages.
        numbers: whether integers become strings, as ids do.

    Raises:
        InvalidInputError: for anything else.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if numbers and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidInputError(f"{key!r} is {type(value).__name__}, not a string")


def _document(
    identifier: str,
    text: str,
    metadata: Mapping[str, Any],
    types: Mapping[str, str],
    title: str,
    body: str,
    markup: Markup,
) -> Document:
    if problem := text_problem(text):
        raise InvalidInputError(f"the text {problem}")
    if identifier:
        check_id(identifier, 0)
    checked = check_metadata(typed_metadata(flat(metadata), types), show(identifier) if identifier else "it")
    return Document(Record(identifier or content_id(text, checked), text, checked), title, body, markup)
