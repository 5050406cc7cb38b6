"""Location: where an index is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from uec_retriever.errors import InvalidInputError, show

DEFAULT_COLLECTION = "uec"
_PART = re.compile(r"[A-Za-z0-9._-]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Location:
    """Where an index is: a folder, and the Chroma that holds its texts.

    The folder holds the posterior files and, unless there is a server or a client, the database too.

    What many writers may do:

    - **A folder, or a `PersistentClient`**: one process writes at a time, any number of its threads and engines take
      turns; another process is refused with `IndexBusyError`. Any number of processes search in a folder meanwhile:
      they see its changes a moment later. With a client of your own they see those alone that were there when it
      first looked.
    - **A server**: any number of processes add, update and delete at once; each batch is stored whole or not at all. Of
      two that write one id at the same moment, text and embedding are the last one's, metadata may be of both.
      Calibration (`Engine.recalibrate`, `Engine.calibrate_confidence`) is saved one after the other, and never over
      one that the writer has not seen: then `IndexBusyError` is raised, nothing is changed, and the call can be
      repeated. A writer that the server keeps waiting for ten seconds while it saves is taken for dead.

    Attributes:
        path: folder of the index; a temporary one, gone with the engine, if None. With a client in memory, whose
            collections outlive the engine, gone with the process.
        url: of a Chroma server, such as `http://localhost:8000`, instead of the database in the folder.
        headers: for the server, such as a token; strings, or pydantic's `SecretStr`. Never shown.
        client: a synchronous Chroma client of your own, instead of `url`. Never shown.
        collection: name of the Chroma collection.
        tenant: of the server, such as a customer's; its default one if None.
        database: of the tenant; its default one if None.

    In a pydantic model it is serialised as `to_dict` says, and validated from that. Pickled, it leaves its headers
    behind, and one with a client is refused.

    Raises:
        InvalidInputError: for `url` and `client` together, a url that is none of a Chroma server or has credentials,
            which would be shown, headers that HTTP cannot carry, or a tenant or a database without a url.
    """

    path: Path | None = None
    url: str | None = None
    headers: Mapping[str, Any] | None = field(default=None, repr=False)
    client: Any = field(default=None, repr=False)
    collection: str = DEFAULT_COLLECTION
    tenant: str | None = None
    database: str | None = None
    headers_left_behind: bool = field(default=False, init=False, repr=False, compare=False)

    def __init__(
        self,
        path: str | Path | None = None,
        url: str | None = None,
        headers: Mapping[str, Any] | None = None,
        client: Any = None,
        collection: str = DEFAULT_COLLECTION,
        tenant: str | None = None,
        database: str | None = None,
    ) -> None:
        if url is not None and client is not None:
            raise InvalidInputError("give the url of a Chroma server or a client, one of them")
        if url is not None:
            _check_url(url)
        if headers is not None:
            _check_headers(headers)
        _check_part("tenant", tenant, url)
        _check_part("database", database, url)
        if not isinstance(path, str | PathLike | None):
            raise InvalidInputError(
                f"an index is in a folder, such as 'idx', or at a Location, got {show(path)}"
            )
        folder = None if path is None else Path(path).expanduser().resolve()
        values = {"path": folder, "url": url, "headers": headers, "client": client, "collection": collection}
        for name, value in {**values, "tenant": tenant, "database": database}.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what may be written."""
        if self.client is not None:
            raise InvalidInputError(
                "a location with a client of your own cannot be pickled, as its connection is of this process: give "
                "the path of a folder or the url of a Chroma server"
            )
        return _unpickle, (self.to_dict(), self.headers_left_behind or bool(self.headers))

    def __copy__(self) -> Location:
        return self

    def __deepcopy__(self, memo: object) -> Location:
        """The same, as it cannot change."""
        return self

    @classmethod
    def of(cls, place: str | Path | Location | Mapping[str, Any] | None) -> Location:
        """A location as it is, a folder as the location of an embedded index, or what `to_dict` made."""
        if isinstance(place, Mapping):
            return cls(**place)
        return place if isinstance(place, Location) else cls(place)

    def to_dict(self) -> dict[str, str | None]:
        """What may be shown and written: `path`, `url`, `collection`, tenant and database if any; no headers, no client."""
        path = None if self.path is None else str(self.path)
        return {"path": path, "url": self.url, "collection": self.collection, **self.parts}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        from pydantic_core import core_schema as schema

        string = schema.str_schema()
        optional = dict.fromkeys(("path", "url", "tenant", "database"), schema.nullable_schema(string))
        keys = schema.typed_dict_schema(
            {
                name: schema.typed_dict_field(kind, required=False)
                for name, kind in {**optional, "collection": string}.items()
            },
            extra_behavior="forbid",
        )
        written = schema.no_info_after_validator_function(cls.of, keys)
        return schema.json_or_python_schema(
            written,
            schema.union_schema([schema.is_instance_schema(cls), written]),
            serialization=schema.plain_serializer_function_ser_schema(cls.to_dict),
        )

    @property
    def plain_headers(self) -> dict[str, str]:
        """Headers as the server wants them, secrets revealed."""
        return {key: _reveal(value) for key, value in (self.headers or {}).items()}

    @property
    def parts(self) -> dict[str, str]:
        """`tenant` and `database` of the server, those that were given."""
        return {k: v for k, v in (("tenant", self.tenant), ("database", self.database)) if v is not None}

    def __str__(self) -> str:
        own = None if self.client is None else "a client of your own"
        place = self.url or own or str(self.path or "a temporary folder")
        return ", ".join((place, *(f"{name} {value}" for name, value in self.parts.items())))


def _unpickle(written: Mapping[str, Any], headers_left_behind: bool) -> Location:
    location = Location(**written)
    object.__setattr__(location, "headers_left_behind", headers_left_behind)
    return location


def _check_url(url: object) -> None:
    """Messages never repeat the url: whatever is wrong with it may be a password or a token."""
    text = str(url)
    if "@" in text:
        raise InvalidInputError(
            "there are credentials in the url: give them as headers={'Authorization': ...} (on the command line "
            "--header), which are not shown"
        )
    try:
        parts = urlparse(text if "//" in text else f"http://{text}")
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:  # a port out of range, half an IPv6 address
        whole = False
    if not whole:
        raise InvalidInputError(
            "the url is none of a Chroma server: give scheme, host and port, such as http://localhost:8000"
        )
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise InvalidInputError(
            f"the url of the Chroma server at {parts.hostname} has more than scheme, host and port: leave that out, and "
            "give a token as headers={'Authorization': 'Bearer TOKEN'} (on the command line --header)"
        )


def _check_part(what: str, name: object, url: str | None) -> None:
    """A tenant or a database, which servers alone have; Chroma's names end up in paths of its addresses."""
    if name is None:
        return
    if url is None:
        raise InvalidInputError(
            f"a {what} is of a Chroma server: give its url, too (on the command line --server)"
        )
    if not isinstance(name, str) or not _PART.fullmatch(name):
        raise InvalidInputError(
            f"the {what} is a name of letters, digits, '.', '_' and '-', got {show(name)}"
        )


def _check_headers(headers: Mapping[str, Any]) -> None:
    """Before a client of HTTP would refuse them, and show their values."""
    if not isinstance(headers, Mapping):
        raise InvalidInputError(f"headers are a dictionary, got {type(headers).__name__}")
    for key, value in headers.items():
        if not (isinstance(key, str) and _HEADER_NAME.fullmatch(key)):
            raise InvalidInputError("a header's name has a character that HTTP cannot carry, such as a space")
        revealed = _reveal(value)
        if not isinstance(revealed, str):
            raise InvalidInputError(f"the header {show(key)} is {type(revealed).__name__}, not a string")
        if not (revealed.isascii() and revealed.isprintable()):
            raise InvalidInputError(
                f"the header {show(key)} has a character that HTTP cannot carry, such as a line break at its end: strip it"
            )


def _reveal(value: Any) -> Any:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
