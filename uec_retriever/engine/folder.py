"""An index folder: posterior files, and the embedded Chroma or the way to a server."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from uec_retriever.engine.location import Location
from uec_retriever.errors import CorruptFileError, InvalidInputError, NotAnIndexError, StorageError
from uec_retriever.experts.embedding_cache import EmbeddingCache
from uec_retriever.store.connection import ClientAPI, check_client, close, connect, connects_to
from uec_retriever.store.home import Home
from uec_retriever.store.locks import graph_lock, write_lock
from uec_retriever.store.serving import refuse_beside_server
from uec_retriever.temporary import memory_folder, temporary_folder


class IndexFolder:
    """Where an index lives.

    Layout: `chroma/` (embedded database, absent with a server or a client), `posteriors/SHA256.safetensors`,
    `words/COLLECTION-SETTINGS.sqlite3`, which is made anew from Chroma if need be, `judgements/COLLECTION.jsonl`, if an
    application has recorded any, `types/COLLECTION.json`, if types of metadata were given, and `embeddings.sqlite3`, if an expert is on a server: what was embedded and is not
    stored yet.

    Args:
        location: without a path, the folder is a temporary one, gone with this object; with a client in memory, gone
            with the process, as that keeps its collections.

    Raises:
        InvalidInputError: for a client that cannot be used, or if texts would outlive a temporary folder.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self._embeddings: EmbeddingCache | None = None
        self._client: ClientAPI | None = None if location.client is None else check_client(location.client)
        self._home: Home | None = None
        self._mutex = threading.Lock()
        self._writing = threading.RLock()  # threads of one engine take turns, on a server too
        if location.path is not None:
            self.path = location.path
            return
        in_memory = self._client is not None and connects_to(self._client) == "memory"
        if location.url is not None or not (self._client is None or in_memory):
            raise InvalidInputError(
                "a Chroma server keeps the texts, but posterior files need a folder: give path=..."
            )
        self.path = memory_folder() if in_memory else temporary_folder(self)

    @property
    def database(self) -> Path:
        """Folder of the embedded Chroma; `chroma run --path` serves it."""
        return self.path / "chroma"

    @property
    def embeddings(self) -> EmbeddingCache:
        """Embeddings that were paid for and are not stored yet, and those of calibration pairs; made when it is used."""
        if self._embeddings is None:
            self._embeddings = EmbeddingCache(self.path / "embeddings.sqlite3", until_stored=True)
        return self._embeddings

    @property
    def home(self) -> Home | None:
        """Where the embedded database is opened, in a copy while `database` cannot be written; None if there is none."""
        if self.location.url is not None or self.location.client is not None:
            return None
        if self._home is None:
            self._home = Home(self.database)
        return self._home

    def hand_over(self) -> None:
        """Leave the embedded client to the store that was opened with it, which may replace it."""
        if self.home is not None:
            self._client = None

    def close(self) -> None:
        """Close the client, unless it is the user's."""
        if self.location.client is None and self._client is not None:
            close(self._client)
            self._client = None

    @contextlib.contextmanager
    def closing_on_errors(self) -> Iterator[None]:
        """Let go of the embedded database if what is done inside fails; connections to a server are shared."""
        try:
            yield
        except BaseException:
            if self._embeddings is not None:
                self._embeddings.close()
            if self.location.url is None:
                self.close()
            raise

    def can_hold_index(self) -> bool:
        """Whether there is a server, a client or a database: something that may hold a collection."""
        location = self.location
        in_folder = (self.database / "chroma.sqlite3").is_file()
        return location.url is not None or location.client is not None or in_folder

    def size(self) -> int:
        """Bytes on disk of everything in the folder."""
        total = 0
        for file in self.path.rglob("*"):
            with contextlib.suppress(OSError):  # it is gone again
                total += 0 if file.is_dir() else file.stat().st_size
        return total

    def lexical_file(self, collection: str, settings: Mapping[str, Any]) -> Path:
        """Where the words of the collection of that id are indexed, by an analyzer of those settings.

        Each has a file of its own, so that engines of other settings, as another release's, do not take turns to remake it.
        """
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
        return self.path / "words" / f"{collection}-{digest}.sqlite3"

    def lexical_files(self, collection: str) -> list[Path]:
        """Those that are there, by whichever analyzer."""
        return sorted((self.path / "words").glob(f"{collection}-*.sqlite3"))

    def judgements_file(self, collection: str) -> Path:
        """Where judgements on the collection of that id are recorded."""
        return self.path / "judgements" / f"{collection}.jsonl"

    def types_file(self, collection: str) -> Path:
        """Where the types of metadata that were given for the collection of that id are kept."""
        return self.path / "types" / f"{collection}.json"

    def posterior_file(self, digest: str) -> Path:
        """Where the posterior of that SHA-256 is kept."""
        return self.path / "posteriors" / f"{digest}.safetensors"

    def whole_posterior(self, digest: str) -> Path:
        """The posterior file of that SHA-256; raises CorruptFileError if it is lost or damaged."""
        path = self.posterior_file(digest)
        if not path.is_file():
            raise CorruptFileError(
                f"the index has lost its posterior {path}: copy it back from where the index was made, or index anew"
            )
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        if found != digest:
            raise CorruptFileError(
                f"the posterior {path} is damaged: copy it back from where the index was made, or index anew"
            )
        return path

    def posterior_files(self) -> list[Path]:
        """Those that are there."""
        return sorted(self.posterior_file("*").parent.glob("*.safetensors"))

    def client(self, *, existing: bool = False) -> ClientAPI:
        """The Chroma client, made on first use.

        Args:
            existing: refuse to make a new embedded database.

        Raises:
            NotAnIndexError: if `existing` and the folder holds no database.
            StorageError: if it cannot be opened, or `chroma run` serves it.
        """
        with self._mutex:
            if self._client is None:
                if existing and not self.can_hold_index():
                    raise NotAnIndexError(self._why_none())
                self._client = self._connect()
            return self._client

    @contextlib.contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the index for writing; what that means for many writers, `Location` says.

        Raises:
            IndexBusyError: if another process holds it.
            StorageError: if the folder cannot be written.
        """
        home = self.home
        if home is not None:
            if not self.database.is_dir():
                raise NotAnIndexError(
                    f"the folder {self.database} is gone: open the index again where it is now"
                )
            home.check_permission()
        with self._writing, write_lock(self.client() if home is None else self.database):
            if home is not None and home.copy is not None:
                with graph_lock(self.database):
                    home.come_home()
            yield

    def _why_none(self) -> str:
        """Why nothing is here that may hold an index; a folder with posteriors alone is that of one on a server."""
        if next(iter(self.posterior_files()), None):
            return (
                f"the texts of the index in {self.path} are on a Chroma server: give its address (url=..., on the command "
                "line --server)"
            )
        there = "" if self.path.is_dir() else ", nor such a folder: correct the name, or"
        return f"there is no index in {self.path}{there or ':'} make one with 'uec index'"

    def _connect(self) -> ClientAPI:
        """A client of the server, or of the embedded database, whose folder is made."""
        place, home = self.location, self.home
        if home is None:
            return connect(None, place.url, place.plain_headers, place.parts)
        refuse_beside_server(self.database)
        if not self.database.is_dir():
            try:
                self.database.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(
                    f"cannot write to {self.path}: {error.strerror}. Choose another folder"
                ) from error
        return home.connect()
