"""EmbeddingCache: embeddings that were paid for, on disk, so that no text is embedded twice."""

from __future__ import annotations

import functools
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uec_retriever.checks.numbers import check_whole
from uec_retriever.errors import StorageError
from uec_retriever.gaussian import Array
from uec_retriever.write_ahead import write_ahead

_VARIABLES = 500  # in one statement
_PATIENCE = 30.0  # seconds to wait for others that write
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS embedding (key BLOB PRIMARY KEY, used INTEGER, vector BLOB)",
    "CREATE INDEX IF NOT EXISTS recency ON embedding (used)",
    "CREATE TABLE IF NOT EXISTS model (fingerprint TEXT)",
)
_NEWEST = "(SELECT 1 + coalesce(max(used), 0) FROM embedding)"


class EmbeddingCache:
    """Embeddings by model, role and text; safe under threads and processes. Texts are kept as hashes alone.

    Args:
        path: of the file, made if need be; in memory if None.
        limit: embeddings to keep, at least 1; those that were not used for longest go. All if None.
        until_stored: whether they are dropped once an index stores them, as those of its own cache.

    Raises:
        InvalidInputError: for a limit below 1.
        StorageError: when it is used, if the file cannot be written or is no cache.
    """

    def __init__(
        self, path: str | Path | None = None, limit: int | None = None, *, until_stored: bool = False
    ) -> None:
        self.path = None if path is None else Path(path).expanduser().resolve()
        self.limit = None if limit is None else check_whole("limit", limit, 1)
        self.until_stored = until_stored
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._parents: list[sqlite3.Connection] = []  # forked: SQLite forbids to use, and to close, these
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy opens the file again; one in memory begins empty."""
        return functools.partial(type(self), self.path, self.limit, until_stored=self.until_stored), ()

    def model(self, fingerprint: str, same: Callable[[str, str], bool]) -> str:
        """The fingerprint under which embeddings of a model are kept: the first that is the same.

        Args:
            fingerprint: of the model as it is now.
            same: whether two fingerprints are of one model.
        """
        with self._lock:
            try:
                with self._open() as database:
                    for (known,) in database.execute("SELECT fingerprint FROM model ORDER BY rowid"):
                        if same(known, fingerprint):
                            return str(known)
                    database.execute("INSERT INTO model VALUES (?)", [fingerprint])
            except sqlite3.Error as error:
                raise self._refusal(error) from error
        return fingerprint

    def get(self, scope: Sequence[str], texts: Sequence[str]) -> dict[str, Array]:
        """Text -> its embedding `[D]`, float32, for those that are there.

        Args:
            scope: what decides embeddings beside the text: model, role, prompts.
            texts: to look up.
        """
        keys = {_key(scope, text): text for text in texts}
        found: dict[str, Array] = {}
        with self._lock:
            try:
                database = self._open()
                for start in range(0, len(keys), _VARIABLES):
                    part = list(keys)[start : start + _VARIABLES]
                    marks = ",".join("?" * len(part))
                    rows = database.execute(f"SELECT key, vector FROM embedding WHERE key IN ({marks})", part)
                    found |= {keys[key]: np.frombuffer(vector, dtype="<f4") for key, vector in rows}
                if found and self.limit is not None:
                    hits = [(key,) for key, text in keys.items() if text in found]
                    with database:
                        database.executemany(f"UPDATE embedding SET used = {_NEWEST} WHERE key = ?", hits)
            except sqlite3.Error as error:
                raise self._refusal(error) from error
        return found

    def put(self, scope: Sequence[str], texts: Sequence[str], vectors: Array) -> None:
        """Keep embeddings; they are on disk when this returns.

        Args:
            scope: what decides embeddings beside the text: model, role, prompts.
            texts: n of them.
            vectors: `[n, D]`.
        """
        rows = [
            (_key(scope, text), np.asarray(vector, dtype="<f4").tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        ]
        with self._lock:
            try:
                with self._open() as database:
                    database.executemany(f"INSERT OR REPLACE INTO embedding VALUES (?, {_NEWEST}, ?)", rows)
                    if self.limit is not None:
                        [count] = database.execute("SELECT count(*) FROM embedding").fetchone()
                        oldest = "SELECT rowid FROM embedding ORDER BY used LIMIT ?"
                        database.execute(
                            f"DELETE FROM embedding WHERE rowid IN ({oldest})", [max(0, count - self.limit)]
                        )
            except sqlite3.Error as error:
                raise self._refusal(error) from error

    def forget(self, scope: Sequence[str], texts: Sequence[str]) -> None:
        """Drop embeddings, as of texts that are stored by now.

        Args:
            scope: what decides embeddings beside the text: model, role, prompts.
            texts: whose embeddings to drop.
        """
        with self._lock:
            try:
                with self._open() as database:
                    keys = [(_key(scope, text),) for text in texts]
                    database.executemany("DELETE FROM embedding WHERE key = ?", keys)
            except sqlite3.Error as error:
                raise self._refusal(error) from error

    def close(self) -> None:
        """Close the file; it opens again when it is used."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            self._parents += [self._database] if self._database is not None else []
            self._database, self._process = None, os.getpid()
        if self._database is None:
            if self.path is not None:
                try:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise StorageError(f"cannot write to {self.path.parent}: {error.strerror}") from error
            database = sqlite3.connect(self.path or ":memory:", timeout=_PATIENCE, check_same_thread=False)
            try:
                self._prepare(database)
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def _prepare(self, database: sqlite3.Connection) -> None:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "embedding" not in tables:
            raise StorageError(
                f"{self.path} is a database of something else: give the embedding cache another file"
            )
        write_ahead(database, _PATIENCE)
        database.execute("PRAGMA synchronous=NORMAL")  # a kill loses nothing, a power cut the last batches
        for statement in _SCHEMA:
            database.execute(statement)

    def _refusal(self, error: sqlite3.Error) -> StorageError:
        if self.path is not None and self._database is not None:
            self._database.close()  # one that was opened while nothing could be written never writes
            self._database = None
        return StorageError(
            f"the embedding cache {self.path or 'in memory'} cannot be used ({error}): it may be deleted at any time, then "
            "its texts are embedded anew"
        )


def _key(scope: Sequence[str], text: str) -> bytes:
    return hashlib.sha256("\0".join((*scope, text)).encode(errors="surrogatepass")).digest()[:16]
