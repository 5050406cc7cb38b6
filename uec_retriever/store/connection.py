"""Connections to Chroma: clients, and its errors turned into ours."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse
from weakref import WeakKeyDictionary

import chromadb
import httpx
from chromadb.api import ClientAPI as ClientAPI
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings, System
from chromadb.errors import ChromaAuthError, ChromaError, InternalError, NotFoundError

from uec_retriever.errors import CorruptFileError, InvalidInputError, StorageError, UECError, show
from uec_retriever.store.forks import after_fork
from uec_retriever.store.refusals import is_damage
from uec_retriever.store.release import close_client

Where = Mapping[str, Any]
_REFUSALS = (401, 403)
_opening = threading.RLock()
_embedding = {"here": False, "before fork": False}  # whether an embedded Chroma was started
_systems: WeakKeyDictionary[ClientAPI, System] = WeakKeyDictionary()  # of our embedded clients
_databases: WeakKeyDictionary[System, int | None] = WeakKeyDictionary()  # which file each of these has open


def connect(
    path: Path | None = None,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    parts: Mapping[str, str] | None = None,
) -> ClientAPI:
    """A Chroma client: embedded in a folder, or of a server.

    Args:
        path: folder of the embedded database.
        url: e.g. `http://localhost:8000`; wins over `path`.
        headers: sent to the server, e.g. a token.
        parts: `tenant` and `database` of the server; its default ones where absent.

    Raises:
        StorageError: if the folder cannot be used, the server does not answer or wants a token, or it has no such tenant
            or database.
        CorruptFileError: if the database is damaged.
    """
    settings = Settings(anonymized_telemetry=False)  # clients change it: never share one
    try:
        if url is None:
            return _embedded(Path(path or "."), settings)
        address = urlparse(url if "//" in url else f"http://{url}")
        secure = address.scheme == "https"
        with _answers("connect"):
            return chromadb.HttpClient(
                host=address.hostname or "localhost",
                port=address.port or (443 if secure else 8000),
                ssl=secure,
                headers=dict(headers or {}),
                settings=settings,
                **(parts or {}),
            )
    except NotFoundError as error:
        raise StorageError(
            f"the Chroma server at {url} has no such tenant or database ({error}): make it there first, as with "
            "create_tenant and create_database of chromadb.AdminClient"
        ) from error
    except (ChromaError, ValueError, OSError) as error:
        if url is not None:
            raise StorageError(
                f"cannot reach a Chroma server at {url}: is 'chroma run' up? ({error})"
            ) from error
        if "different settings" in str(error):
            raise StorageError(
                f"this process has a Chroma client of its own on {path}: give that, Location(client=...), or close it"
            ) from error
        forget(Path(path or "."))
        if is_damage(error):
            raise _damaged(f"the database {path} is damaged", error) from error
        raise StorageError(
            f"cannot open {path}: can it be written, as Chroma needs even to search? ({error}){_advice(str(error))}"
        ) from error


def _embedded(path: Path, settings: Settings) -> ClientAPI:
    """A client of the folder's Chroma in this process; of a new one if the database is another by now."""
    refuse_in_fork()
    _embedding["here"] = True
    with _opening:  # Chroma hands out what another thread has only begun to start
        system = system_of(path)
        if system is not None and _databases.get(system, _number(path)) != _number(path):
            forget(path)
        try:
            client = chromadb.PersistentClient(str(path), settings=settings)
        except (KeyError, AttributeError):  # the last client was closed at this moment
            client = chromadb.PersistentClient(str(path), settings=settings)
        system = system_of(path)
        if system is not None:
            _systems[client] = system
            _databases.setdefault(system, _number(path))
        return client


def _start_anew() -> None:
    """A forked child holds no lock of its parent's, and has nothing of its Chroma's threads."""
    global _opening  # noqa: PLW0603
    _opening = threading.RLock()
    _embedding["before fork"] = _embedding["here"]


after_fork(_start_anew)


def refuse_in_fork() -> None:
    """Refuse an embedded Chroma where the parent has had one: without its threads it hangs, or waits for a connection.

    Raises:
        StorageError: in a forked child of such a process.
    """
    if _embedding["before fork"]:
        raise StorageError(
            "this process was forked from one that had an index open, where Chroma hangs: start processes with "
            "'spawn' or 'forkserver', or open the index after the fork alone"
        )


def check_client(client: object) -> ClientAPI:
    """A client of the user's own, if it is one that can be used.

    Raises:
        InvalidInputError: for anything but a synchronous Chroma client.
    """
    if isinstance(client, ClientAPI):
        return client
    raise InvalidInputError(
        f"client is a {type(client).__name__}: give a chromadb.PersistentClient, HttpClient or EphemeralClient "
        "(searching is asynchronous all the same, in a thread)"
    )


def connects_to(client: ClientAPI) -> Literal["folder", "memory", "server"]:
    """What is behind a client: an embedded database in a folder or in memory, or a server."""
    settings = client.get_settings()
    if settings.chroma_server_host:
        return "server"
    return "folder" if settings.is_persistent else "memory"


def system_of(path: Path) -> System | None:
    """The Chroma that this process has for a folder, shared by its clients."""
    return SharedSystemClient._identifier_to_system.get(str(path))


def forget(path: Path) -> None:
    """Have the next embedded client of a folder start anew: Chroma keeps even those that failed."""
    with _opening:
        SharedSystemClient._identifier_to_system.pop(str(path), None)
        SharedSystemClient._identifier_to_refcount.pop(str(path), None)


def is_current(client: ClientAPI) -> bool:
    """Whether a client's Chroma has not been forgotten; that of a server or of the user's own never is."""
    system = _systems.get(client)
    return system is None or system is system_of(folder_of(client))


def folder_of(client: ClientAPI) -> Path:
    """The folder whose database an embedded client has open."""
    return Path(client.get_settings().persist_directory)


def close(client: ClientAPI) -> None:
    """Close a client, if it is of a kind that can be; of a Chroma that is forgotten there is nothing to close."""
    if is_current(client):
        close_client(client)


def _number(path: Path) -> int | None:
    """Tells a database from another that has taken its place."""
    try:
        return (path / "chroma.sqlite3").stat().st_ino
    except OSError:
        return None


@contextlib.contextmanager
def guard(action: str, where: Where | None = None) -> Iterator[None]:
    """Turn Chroma's errors into ours; a missing collection and our own errors pass through."""
    try:
        with _answers(action):
            yield
    except (NotFoundError, UECError):
        raise
    except httpx.HTTPError as error:
        raise StorageError(
            f"Chroma could not {action}: its server does not answer ({error}). Is 'chroma run' up?"
        ) from error
    except (ChromaError, ValueError, TypeError, OSError) as error:
        if where and not isinstance(error, OSError | InternalError):
            raise InvalidInputError(f"Chroma cannot apply the filter {show(dict(where))}: {error}") from error
        if is_damage(error):
            raise _damaged(f"Chroma could not {action}: its database is damaged", error) from error
        raise StorageError(f"Chroma could not {action}: {error}{_advice(str(error))}") from error


@contextlib.contextmanager
def _answers(action: str) -> Iterator[None]:
    """Turn what a server answers with a status alone into our errors; Chroma raises a bare `Exception` then.

    A refusal is told without its text, which may repeat the token.
    """
    try:
        yield
    except Exception as error:
        status = _status(error)
        if status in _REFUSALS:
            raise StorageError(
                f"the Chroma server did not let us {action} ({status}): the token is missing or wrong. Give it as "
                "headers={'Authorization': 'Bearer TOKEN'}, or whatever header the server wants; on the command line "
                "in the environment variable UEC_HEADERS, or with --header"
            ) from None
        if status is not None and type(error) is Exception:
            raise StorageError(
                f"Chroma could not {action}: its server, or a proxy before it, answered {status}: {str(error)[:200]}"
            ) from error
        raise


def _status(error: BaseException | None) -> int | None:
    """The HTTP status that an error, or one that it came of, is about."""
    while error is not None:
        if isinstance(error, ChromaAuthError):
            return error.code()
        if isinstance(error, httpx.HTTPStatusError):
            return error.response.status_code
        error = error.__cause__ or error.__context__
    return None


def _damaged(what: str, error: Exception) -> CorruptFileError:
    return CorruptFileError(f"{what} ({error}): put back a copy of the index, or make it anew")


def _advice(message: str) -> str:
    message = message.lower()
    if "compact" in message:  # all that Chroma tells of a disk that fills up while it writes
        return ". Is the disk full? Then free some disk space and run the same command again: what was stored is kept"
    if "full" in message or "no space" in message:
        return ". Free some disk space and run the same command again: what was stored is kept"
    if "readonly" in message or "read-only" in message or "permission" in message:
        return ". The index folder cannot be written: check its permissions"
    return ""
