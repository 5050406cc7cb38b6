"""What an embedded Chroma of this process has loaded, and whether that is what is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import System

from uec_retriever.errors import NotAnIndexError
from uec_retriever.store.graph_files import seal_file
from uec_retriever.store.home import Copy
from uec_retriever.store.log import DATABASE_FILE, ChromaLog

Stamp = tuple[int, int] | None


@dataclass
class State:
    """What an embedded Chroma of this process has loaded.

    Attributes:
        stamps: graph -> its seal file, as of when it was loaded or changed here.
        broken: a call failed in it; it may hang at the next.
        read_only: it was used while nothing could be written; connections to the database made then never write.
    """

    stamps: dict[str, Stamp] = field(default_factory=dict)
    broken: bool = False
    read_only: bool = False


states: WeakKeyDictionary[System, State] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Loaded:
    """A collection that is loaded.

    Attributes:
        copy: of the database, which it is in; None if it is in the database itself.
        client: of its Chroma.
        collection: of the client.
        log: of the collection.
        state: of the Chroma, which others of this process may use, too.
        seconds: that loading took.
        since: when that was, of the monotonic clock.
    """

    copy: Copy | None
    client: ClientAPI
    collection: Collection
    log: ChromaLog
    state: State
    seconds: float
    since: float


def stamp_of(log: ChromaLog) -> Stamp:
    """Which seal the graph of a collection has: another after every change.

    Raises:
        NotAnIndexError: if its folder is gone.
    """
    try:
        stat = seal_file(log.database, log.graph).stat()
    except OSError:
        if not (log.database / DATABASE_FILE).is_file():
            raise NotAnIndexError(
                f"the folder {log.database} is gone: open the index again where it is now"
            ) from None
        return None
    return stat.st_mtime_ns, stat.st_ino
