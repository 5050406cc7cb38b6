"""Chroma's handles and threads go with the last object that needs them, whether or not somebody closes it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from chromadb.api import ClientAPI
from chromadb.api.shared_system_client import SharedSystemClient


def release_when_dropped(owner: object, client: ClientAPI) -> weakref.finalize[..., object]:
    """Close a client when an object is gone.

    Args:
        owner: that uses the client; closing the client before does no harm.
        client: of ours, not the user's.

    Returns:
        What to detach if the owner goes on without the client, which is kept alive until then.
    """
    release = weakref.finalize(owner, _release, client, _system(client), os.getpid())
    release.atexit = False  # the process gives back everything by itself
    return release


def close_client(client: ClientAPI) -> None:
    """Close a client of ours, the connections to its server too, which Chroma leaves open."""
    close = getattr(client, "close", None)
    if close is None:
        return
    server = getattr(client, "_server", None)
    close()
    session = getattr(server, "_session", None)
    if session is not None and _system(client) is None:  # nobody else has it
        session.close()


def _release(client: ClientAPI, system: Any, process: int) -> None:
    if os.getpid() != process:  # a fork: Chroma's threads are the parent's
        return
    if (
        system is None or _system(client) is not system
    ):  # Chroma has begun anew meanwhile: that one is not ours
        return
    lock = getattr(SharedSystemClient, "_refcount_lock", None)
    if lock is not None and lock.locked():  # garbage is collected in any thread, perhaps in one that holds it
        threading.Thread(target=close_client, args=(client,), daemon=True).start()
    else:
        close_client(client)


def _system(client: ClientAPI) -> Any:
    """What Chroma keeps alive for a client; None once it is stopped."""
    return SharedSystemClient._identifier_to_system.get(getattr(client, "_identifier", ""))
