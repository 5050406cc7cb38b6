"""Engines that go to another process: what is pickled says where the index is, and it is opened again there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from uec_retriever.engine.location import Location
from uec_retriever.errors import InvalidInputError, StorageError

if TYPE_CHECKING:
    from uec_retriever.engine.engine import Engine
    from uec_retriever.experts.expert import Expert


def pickled(engine: Engine, location: Location) -> tuple[Location, Mapping[str, Expert]]:
    """What `reopen` needs: where the index is, without headers, and experts that load their models again.

    Args:
        engine: open.
        location: of its index.

    Raises:
        InvalidInputError: if it could not be opened again elsewhere.
    """
    if location.client is None and location.path is None:
        raise InvalidInputError(
            "an engine in a temporary folder cannot be pickled, as the folder goes with it: make the index in a "
            "folder of your own (location=)"
        )
    labels = (entry.label for entry in engine.manifest.experts)
    experts = {label: e.with_posterior(None) for label, e in zip(labels, engine.experts, strict=True)}
    return location, experts


def reopen(location: Location, experts: Mapping[str, Expert]) -> Engine:
    """Open the index that `pickled` told of."""
    from uec_retriever.engine.engine import Engine

    with explaining_lost_headers(location):
        return Engine.open(location, experts=experts)


@contextlib.contextmanager
def explaining_lost_headers(location: Location | None) -> Iterator[None]:
    """Say what to do where a server wants the headers that a pickled location left behind.

    Args:
        location: of what is opened inside.

    Raises:
        StorageError: with that advice added, if the server refused.
    """
    try:
        yield
    except StorageError as error:
        if location is None or not location.headers_left_behind:
            raise
        raise StorageError(
            f"{error}. Headers are secrets, so they are not pickled: give them again where this runs, "
            "Engine.open(Location(..., headers=...)), or set CHROMA_CLIENT_AUTH_PROVIDER and "
            "CHROMA_CLIENT_AUTH_CREDENTIALS there, which Chroma reads"
        ) from error
