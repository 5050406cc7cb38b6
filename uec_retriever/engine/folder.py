"""An index folder: posterior files, the write lock, and the embedded Chroma or the way to a server."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from uec_retriever.errors import (
    CorruptFileError,
    IndexBusyError,
    InvalidInputError,
    ModelNotFoundError,
    NotAnIndexError,
    StorageError,
)
from uec_retriever.experts.expert import Expert, attach_posterior, check_fingerprint
from uec_retriever.store.chroma import DEFAULT_COLLECTION
from uec_retriever.store.connection import check_client, connect
from uec_retriever.store.manifest import ExpertEntry, Manifest


class IndexFolder:
    """Where an index lives.

    Layout: `chroma/` (embedded database, absent with a server), `posteriors/SHA256.safetensors`,
    `write.lock`.

    Args:
        path: the folder.
        url: of a Chroma server, instead of the embedded database.
        headers: for the server.
        client: a Chroma client to use instead of making one.
        collection: name of the collection.
    """

    def __init__(
        self,
        path: Path,
        *,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: Any = None,
        collection: str = DEFAULT_COLLECTION,
    ) -> None:
        self.path = path.expanduser().resolve()
        self.url = url
        self.collection = collection
        self._headers = headers
        self._client: Any = None if client is None else check_client(client)
        self.owns_client = client is None
        self._mutex = threading.RLock()

    @property
    def database(self) -> Path:
        """Folder of the embedded Chroma; `chroma run --path` serves it."""
        return self.path / "chroma"

    def close(self) -> None:
        """Close the client, unless it is the user's."""
        if self.owns_client and self._client is not None:
            self._client.close()
            self._client = None

    @property
    def has_database(self) -> bool:
        """Whether an embedded Chroma is there."""
        return (self.database / "chroma.sqlite3").is_file()

    def size(self) -> int:
        """Bytes on disk of everything in the folder."""
        return sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())

    def posterior_file(self, digest: str) -> Path:
        """Where the posterior of that SHA-256 is kept."""
        return self.path / "posteriors" / f"{digest}.safetensors"

    def client(self, *, existing: bool = False) -> Any:
        """The Chroma client, made on first use.

        Args:
            existing: refuse to make a new embedded database.

        Raises:
            NotAnIndexError: if `existing` and the folder holds no database.
            StorageError: if it cannot be opened.
        """
        with self._mutex:
            if self._client is None:
                if self.url is None and existing and not self.has_database:
                    raise NotAnIndexError(
                        f"there is no index in {self.path}: make one with 'uec index', or give the address of "
                        "its Chroma server if it has one (url=..., --server)"
                    )
                if self.url is None:
                    self.make()
                self._client = connect(self.database, self.url, self._headers)
            return self._client

    def make(self) -> None:
        """Make the folder, or say why it cannot be."""
        try:
            self.database.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot write to {self.path}: {error.strerror}. Choose another folder"
            ) from error

    @contextlib.contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the index for writing; an embedded Chroma bears only one writing process.

        Raises:
            IndexBusyError: if another process holds it.
            StorageError: if the folder cannot be written.
        """
        with self._mutex:
            if self.url is not None:
                yield
                return
            self.make()
            lock = FileLock(self.path / "write.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise IndexBusyError(
                    f"another process is writing to {self.path}: wait for it, or serve the index with "
                    f"'chroma run --path {self.database}' and give its address (url=..., --server)"
                ) from error
            except OSError as error:
                raise StorageError(f"cannot write to {self.path}: {error.strerror}") from error
            try:
                yield
            finally:
                lock.release()


def load_experts(
    folder: IndexFolder,
    manifest: Manifest,
    given: Mapping[str, str | Path | Expert],
    *,
    device: str | None,
    trust_remote_code: bool,
) -> list[Expert]:
    """Load the experts of a manifest with their posteriors, refusing any other model.

    Args:
        folder: holds the posterior files.
        manifest: what made the index.
        given: expert label -> where its model is now, or a loaded expert.
        device: torch device.
        trust_remote_code: passed to the models.
    """
    unknown = set(given) - {entry.label for entry in manifest.experts}
    if unknown:
        raise InvalidInputError(
            f"the index has no expert {sorted(unknown)}: its experts are {[e.label for e in manifest.experts]}"
        )
    experts = []
    for entry in manifest.experts:
        source = given.get(entry.label, entry.model)
        if isinstance(source, str | Path):
            try:
                source = Expert.load(
                    str(source),
                    label=entry.label,
                    device=device,
                    trust_remote_code=trust_remote_code,
                    **entry.options,
                )
            except ModelNotFoundError as error:
                raise ModelNotFoundError(
                    f"the model of expert {entry.label!r} is gone: say where it is now, "
                    f"experts={{{entry.label!r}: 'its folder or hub id'}}, on the command line "
                    f"--expert {entry.label}=MODEL ({error})"
                ) from error
        check_fingerprint(
            source, entry.fingerprint, f"the index was made with {entry.model!r} as {entry.label!r}"
        )
        experts.append(_attach(source, entry, folder))
    return experts


def _attach(expert: Expert, entry: ExpertEntry, folder: IndexFolder) -> Expert:
    path = folder.posterior_file(entry.posterior)
    if not path.is_file():
        raise CorruptFileError(
            f"the index has lost its posterior {path}: copy it back from where the index was made, or index anew"
        )
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if digest != entry.posterior:
        raise CorruptFileError(
            f"the posterior {path} is damaged: copy it back from where the index was made, or index anew"
        )
    return attach_posterior(expert, path)[0]
