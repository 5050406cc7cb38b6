"""Whether searches can find every record, and how they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from uec_retriever.data.progress import Progress
from uec_retriever.data.records import Record
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.entries import Candidates, to_record
from uec_retriever.store.graph import without_graph
from uec_retriever.store.graph_files import find_damage
from uec_retriever.store.log import ChromaLog
from uec_retriever.store.serving import refuse_beside_server

_PAGE = 256
_NEAREST, _MANY = 10, 1000
_ROUNDING = 1e-5


def unreachable(store: ChromaStore, ids: Sequence[str]) -> list[str]:
    """Those records that a search with their own vector does not find, although it finds worse ones.

    Args:
        store: the index.
        ids: of records.
    """
    vectors = store.vectors(ids)
    missed: dict[str, Candidates | None] = dict.fromkeys(vectors)
    for limit in (_NEAREST, _MANY):
        found = store.query(np.array([vectors[i] for i in missed]), limit)
        pairs = zip(missed, found, strict=True)
        missed = {i: candidates for i, candidates in pairs if i not in {r.id for r in candidates.records}}
    return [
        i
        for i, found in missed.items()
        if found is not None
        and (len(found) < _MANY or found.means.min() < vectors[i] @ vectors[i] - _ROUNDING)
    ]


def rebuild(
    database: Path, name: str, embed: Callable[[Sequence[Record]], Array], progress: Progress
) -> tuple[int, int]:
    """Put vectors that Chroma's log does not hold into it, then have the graph made anew from the log.

    Interrupted, it goes on the next time.

    Args:
        database: folder of an embedded database of ours.
        name: of the collection.
        embed: gives `[n, D]` vectors of n records; called if the graph that has their vectors is damaged.
        progress: called with the number of vectors put into the log since.

    Raises:
        StorageError: if `chroma run` serves the database; nothing is touched then.

    Returns:
        How many vectors came from the graph into the log, and how many were embedded anew.
    """
    refuse_beside_server(database)
    log = ChromaLog.of(database, name)
    log.keep()
    missing = log.missing()
    if missing and not find_damage(database / log.graph, missing):
        store, _ = ChromaStore.open(connect(database), name, database)
        for ids in _parts(missing):
            vectors = store.vectors(ids)
            log.write(vectors, np.stack(list(vectors.values())), [missing[i] for i in vectors])
            progress(len(ids))
        store.close()
    with without_graph(database, name):
        absent = log.missing()
        if absent:
            collection = connect(database).get_collection(name, embedding_function=None)
            for ids in _parts(absent):
                got: Any = collection.get(ids=ids, include=["documents", "metadatas"])
                records = list(map(to_record, got["ids"], got["documents"], got["metadatas"]))
                log.write(got["ids"], embed(records), [absent[i] for i in got["ids"]])
                progress(len(ids))
    ChromaStore.open(connect(database), name, database)[0].close()
    return len(missing) - len(absent), len(absent)


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(ids)
    return iter(lambda: list(islice(remaining, _PAGE)), [])
