"""The graph of a collection, which Chroma makes anew from its log where it is missing."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from uec_retriever.errors import CorruptFileError
from uec_retriever.store.connection import forget
from uec_retriever.store.graph_files import find_damage, is_sealed, remove, seal_file
from uec_retriever.store.locks import graph_lock
from uec_retriever.store.log import ChromaLog

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def without_graph(database: Path, name: str) -> Iterator[ChromaLog]:
    """The log of a collection, to be completed; its graph is removed, to be made anew from the log the next time."""
    with graph_lock(database):
        log = ChromaLog.of(database, name)
        _drop_graph(log)
        try:
            yield log
        finally:
            _drop_graph(log)  # reading records meanwhile makes a part of it
        log.compact(without_graph=True)


def _drop_graph(log: ChromaLog) -> None:
    forget(log.database)
    seal_file(log.database, log.graph).unlink(missing_ok=True)
    remove(log.database, log.graph)


def check_graph(log: ChromaLog) -> bool:
    """Remove a graph that may be torn, so that Chroma makes it anew from its log; returns whether it did.

    Raises:
        CorruptFileError: if it is damaged, and the log of an older version does not hold all of it.
    """
    if is_sealed(log.database, log.graph):
        return False
    log.keep()
    folder, missing = log.database / log.graph, log.missing()
    if not missing:
        if folder.is_dir():
            _logger.warning("making the graph of %d texts anew from the log of %s", log.count(), log.database)
            remove(log.database, log.graph)
        log.compact(without_graph=True)
        return True
    if damage := find_damage(folder, missing):
        raise CorruptFileError(
            f"{damage}, and Chroma's log does not hold {len(missing)} of {log.count()} vectors, since an older version "
            "began the index: 'uec repair' embeds these anew"
        )
    return False
