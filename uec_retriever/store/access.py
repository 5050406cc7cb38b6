"""Access to a collection, whatever is behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.errors import NotFoundError

from uec_retriever.errors import NotAnIndexError
from uec_retriever.store.changes import OVERLAP, Changes, read_mark, write_mark
from uec_retriever.store.connection import close, guard
from uec_retriever.store.embedded import EmbeddedAccess
from uec_retriever.store.entries import NUMBER_KEY
from uec_retriever.store.home import Home
from uec_retriever.store.manifest import Manifest
from uec_retriever.store.rows import COLUMNS, Columns

_TIME = "time"


class Access(Protocol):
    """How a store gets at its collection."""

    @property
    def client(self) -> ClientAPI:
        """The client of the moment."""

    @property
    def loads(self) -> int:
        """How often the collection was loaded, as it is anew when another process has changed it."""

    def reading(self) -> contextlib.AbstractContextManager[Collection]:
        """The collection, for one call that reads."""

    def changing(self) -> contextlib.AbstractContextManager[Collection]:
        """The collection, for one call that writes."""

    def stamp(self) -> object:
        """Something that differs once the collection is changed, by whomever; None where nothing cheap tells."""

    def changes(self, mark: str) -> Changes:
        """What was changed since a mark of an earlier look, or since nobody knows when, "" or a mark of another kind."""

    def rows(self, ids: Sequence[str]) -> tuple[Columns, list[str]]:
        """What is stored of records, by Chroma's columns, and the ids of those that only Chroma can tell."""

    def number(self) -> int | None:
        """What a change is numbered by in the metadata of its records; None where a log does that."""

    def compact(self) -> None:
        """Let go of what Chroma's log and graph hold in vain, if that is much."""

    def make_graph_anew(self) -> bool:
        """Do so if that can be done here, unless hardly anything has changed since; returns whether it was done."""

    def close(self) -> None:
        """Close the client, if it is of a kind that can be."""


def access_to(client: ClientAPI, name: str, database: Home | Path | None) -> Access:
    """Access to a collection of a client; `database` is its folder if it is an embedded one of ours."""
    if database is None:
        return DirectAccess(client, name)
    return EmbeddedAccess(Home(database) if isinstance(database, Path) else database, name, client)


class DirectAccess:
    """A collection of a server, in memory, or of a client of the user's own: Chroma takes care of it.

    Attributes:
        client: the client.
        loads: always 1.
    """

    def __init__(self, client: ClientAPI, name: str) -> None:
        self.client: ClientAPI = client
        self.loads: int = 1
        self._collection = client.get_collection(name, embedding_function=None)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Collection]:
        """The collection."""
        yield self._collection

    changing = reading

    def stamp(self) -> None:
        """Nothing cheap tells of others' changes."""

    def changes(self, mark: str) -> Changes:
        """What was changed since a mark, the time in ms on the server, by the times in the records' metadata.

        Records that were put in the last seconds before the mark are told again.
        """
        now = self.number()
        since = read_mark(mark, _TIME, now)
        if since is None:
            return Changes(None, write_mark(_TIME, now))
        later: Any = {NUMBER_KEY: {"$gt": since - OVERLAP}}
        found = self._collection.get(where=later, include=["metadatas"])
        rows = zip(found["ids"], found["metadatas"] or [], strict=True)
        return Changes({i: int(m[NUMBER_KEY]) for i, m in rows}, write_mark(_TIME, now))  # type: ignore[arg-type]

    def rows(self, ids: Sequence[str]) -> tuple[Columns, list[str]]:
        """Nothing: Chroma tells all."""
        return {name: [] for name in COLUMNS}, list(ids)

    def number(self) -> int:
        """The time on the server, in ms."""
        return int(self.client.heartbeat()) // 1_000_000

    def compact(self) -> None:
        """Nothing, as only who has the folder can: a server's log of it grows until somebody opens that without it."""

    def make_graph_anew(self) -> bool:
        """Not done: only who has the folder can."""
        return False

    def close(self) -> None:
        """Close the client, if it is of a kind that can be."""
        close(self.client)


def read_manifest(client: ClientAPI, name: str) -> Manifest:
    """What is stored of how an index was made; raises NotAnIndexError if the collection is not there, or not ours."""
    try:
        with guard("open the collection"):
            collection = client.get_collection(name, embedding_function=None)
    except NotFoundError as error:
        raise NotAnIndexError(
            f"there is no collection {name!r} here: make it with 'uec index', or give the right one (--collection, on a server "
            "with --tenant and --database too; in Python a Location)"
        ) from error
    return Manifest.from_metadata(collection.metadata, name)
