"""Check an index and repair it: is every text found, and does it survive what may come?"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from uec_retriever.data.progress import Progress
from uec_retriever.data.records import Record
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.location import Location
from uec_retriever.engine.open import open_store
from uec_retriever.errors import CorruptFileError, InvalidInputError
from uec_retriever.gaussian import Array
from uec_retriever.store.access import read_manifest
from uec_retriever.store.locks import graph_lock
from uec_retriever.store.log import ChromaLog
from uec_retriever.store.repair import rebuild, unreachable

if TYPE_CHECKING:
    from uec_retriever.engine.ensemble import Ensemble
    from uec_retriever.experts.expert import Expert

_PAGE = 256


@dataclass(frozen=True)
class IndexCheck:
    """What is wrong with an index.

    Attributes:
        count: texts.
        lost: ids of texts that no search finds.
        problems: a sentence each, with the remedy; none if all is well.
    """

    count: int
    lost: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class RepairReport:
    """What a repair did.

    Attributes:
        count: texts.
        logged: vectors that were put into Chroma's log, so that a graph that is lost can be made anew from it.
        embedded: texts that were embedded anew, since their vectors were lost.
    """

    count: int
    logged: int
    embedded: int


def check_index(location: str | Path | Location, *, progress: Progress | None = None) -> IndexCheck:
    """Search for every text by its own vector, and look at all that the index stands on. Loads no model.

    Args:
        location: folder of the index, or a `Location`.
        progress: called with the number of texts looked at since.

    Raises:
        NotAnIndexError: if there is no index of ours.
        CorruptFileError: if vectors are lost that Chroma cannot make anew: `repair_index` embeds them.
        StorageError: if Chroma cannot be reached.
    """
    location = Location.of(location)
    folder, store, manifest = open_store(location)
    problems = []
    for entry in manifest.experts:
        try:
            folder.whole_posterior(entry.posterior)
        except CorruptFileError as error:
            problems.append(str(error))
    if missing := _unprotected(folder):
        problems.append(
            f"a kill while Chroma saves could lose {len(missing)} vectors, which its log does not hold since an older "
            "version stored them: 'uec repair' puts them there"
        )
    ids = store.ids()
    lost: list[str] = []
    for start in range(0, len(ids), _PAGE):
        lost += unreachable(store, ids[start : start + _PAGE])
        if progress is not None:
            progress(len(ids[start : start + _PAGE]))
    if lost:
        problems.append(f"no search finds {len(lost)} texts, e.g. {lost[0]!r}: 'uec repair' mends it")
    folder.close()
    store.close()
    return IndexCheck(len(ids), tuple(lost), tuple(problems))


def count_unprotected(location: str | Path | Location) -> int:
    """How many vectors Chroma's log does not hold, since 0.1.0 stored them.

    Args:
        location: folder of the index, or a `Location` without a server or a client.

    Raises:
        InvalidInputError: for an index of a server or a client.
        NotAnIndexError: if there is no index.
    """
    folder = _own_folder(location)
    try:
        return len(_unprotected(folder))
    finally:
        folder.close()


def _unprotected(folder: IndexFolder) -> Collection[str]:
    """Ids of the records whose vectors Chroma's log does not hold; none of a server."""
    home = folder.home
    if home is None:
        return ()
    with graph_lock(
        home.folder, needed=False
    ):  # SQLite does not exclude what this process writes by Chroma's
        return ChromaLog.of(home.opened, folder.location.collection).missing()


def _own_folder(location: str | Path | Location) -> IndexFolder:
    folder = IndexFolder(Location.of(location))
    if folder.location.url is not None or folder.location.client is not None:
        raise InvalidInputError(
            "only an index in a folder can be repaired: stop its server, and repair the folder that it served"
        )
    folder.client(existing=True)
    return folder


def repair_index(
    location: str | Path | Location,
    *,
    experts: Mapping[str, str | Path | Expert] | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> RepairReport:
    """Have an embedded index found whole: its vectors put into Chroma's log, its graph made anew from that.

    Models are loaded only if vectors are lost with their graph, in an index that 0.1.0 made. Interrupted,
    it goes on the next time.

    Args:
        location: folder of the index, or a `Location` without a server or a client.
        experts: expert label -> where its model is now, or a loaded expert.
        device: torch device for the experts; sentence-transformers' choice if None.
        trust_remote_code: run code that comes with the models. Off unless you say so.
        batch_size: texts in one forward pass.
        progress: called with the number of vectors put into the log since.

    Raises:
        InvalidInputError: for an index of a server or a client.
        NotAnIndexError: if there is no index of ours.
        ModelNotFoundError: if texts must be embedded anew and a model is gone.
        ModelMismatchError: if a model is not the one that made the index.
        IndexBusyError: if another process writes.
    """
    location, folder = Location.of(location), _own_folder(location)
    manifest = read_manifest(folder.client(existing=True), location.collection)

    @functools.cache
    def ensemble() -> Ensemble:
        from uec_retriever.engine.load import load_ensemble

        given = experts or {}
        return load_ensemble(folder, manifest, given, device=device, trust_remote_code=trust_remote_code)

    def embed(records: Sequence[Record]) -> Array:
        texts = [record.embedding_text for record in records]
        return ensemble().encode_documents(texts, batch_size=batch_size).gaussian.mean

    with folder.write_lock():
        logged, embedded = rebuild(
            folder.database, location.collection, embed, progress or (lambda done: None)
        )
    folder.close()
    _, store, _ = open_store(location)
    count = store.count()
    store.close()
    return RepairReport(count, logged, embedded)
