"""A lexical index that follows a collection: derived from it, caught up or made anew by itself."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from filelock import FileLock, Timeout

from uec_retriever.data.progress import Progress
from uec_retriever.data.records import Record
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.errors import (
    CorruptFileError,
    FormatVersionError,
    IndexBusyError,
    ModelMismatchError,
    NotAnIndexError,
    StorageError,
    UECError,
)
from uec_retriever.store.changes import Changes
from uec_retriever.store.lexical.index import LexicalIndex

_AT_ONCE = 2500  # texts in one change, more than are added before it follows
_SOON = 1.0  # seconds until one looks again where looking is not cheap, at least
_SELDOM = 4.0  # times as long as looking took, likewise
_AGAIN = 10.0  # seconds until one that is kept in memory is tried in its file again
_PATIENCE = 600.0  # seconds that another process may take to follow
_UNFINISHED = "unfinished "  # begins the mark of an index that may lack texts of before the mark
_UNUSABLE = (CorruptFileError, FormatVersionError, ModelMismatchError, NotAnIndexError)
_logger = logging.getLogger(__name__)
T = TypeVar("T")


class Followed(Protocol):
    """A collection of records."""

    def stamp(self) -> object:
        """Something that differs once the collection is changed, by whomever; None where nothing cheap tells."""

    def changes(self, mark: str) -> Changes:
        """What was changed since an earlier look, "" if there was none."""

    def count(self) -> int:
        """Number of records."""

    def ids(self) -> list[str]:
        """Of all records."""

    def get(self, ids: Sequence[str]) -> list[Record]:
        """Those records that are there."""


class LexicalFollower:
    """The lexical index of a collection, as that is now; safe under threads.

    The collection is the truth. Whatever was changed since the index last looked, by whomever, is read from it; an
    index that is absent, damaged or of other settings is made anew from it. What cannot be kept in its file is kept
    in memory, until it can. Where nothing cheap tells of changes, as on a server, it looks once a second at most, and no more than
    a fifth of the time.

    Args:
        collection: to follow.
        path: of the index's file, made if absent; None to keep it in memory.
        analyzer: makes terms of texts.
    """

    def __init__(self, collection: Followed, path: Path | None, analyzer: WordAnalyzer) -> None:
        self.analyzer = analyzer
        self._collection = collection
        self._path = path
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._mutex = threading.RLock()
        self._index: LexicalIndex | None = None
        self._damage: str | None = None
        self._stamp: object = None
        self._next = 0.0
        self._in_memory = self._path is None
        self._again = 0.0  # when to try the file again
        self._versions: Mapping[str, int] = {}  # that were followed, of changes that may be told again

    def behind(self) -> int | None:
        """How many records the index has yet to follow, about; None if there is none that could. Changes nothing."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            with LexicalIndex.open(self._path, self.analyzer.settings()) as index:
                known, versions = len(index), self._changes(index).versions
        except _UNUSABLE:
            return None
        count = self._collection.count()
        return count if versions is None else max(abs(count - known), len(versions))

    def look_again(self) -> None:
        """Look for changes the next time, as there are some from here."""
        self._next = self._again = 0.0

    def read(self, call: Callable[[LexicalIndex], T], progress: Progress | None = None) -> T:
        """What a call gives that reads the index, once that has followed.

        Args:
            call: may be made again, if the file was removed or damaged meanwhile.
            progress: called with the number of texts indexed since.

        Raises:
            StorageError: if the collection or the index cannot be read.
        """
        for suspicion in (False, True):
            index = self._followed(progress)
            try:
                return call(index)
            except StorageError:
                if index is self._index:
                    raise  # else it was closed, as another has taken its place
            except CorruptFileError as error:  # of a file that another process has made anew, at first
                with self._mutex:
                    self.close()
                    self._damage = str(error) if suspicion else None
        return call(self._followed(progress))

    def close(self) -> None:
        """Close the index; it is opened again if need be."""
        with self._mutex:
            index, self._index = self._index, None
            self._stamp, self._next, self._versions = None, 0.0, {}  # the file may be an earlier one then
            if index is not None:
                index.close()

    def _followed(self, progress: Progress | None) -> LexicalIndex:
        if os.getpid() != self._process:  # forked: nothing of the parent's can be used
            self._start()
        stamp = self._collection.stamp()
        index = self._index
        if index is not None and self._is_followed(stamp):
            return index
        with self._mutex:
            if self._index is None or not self._is_followed(stamp):
                began = time.monotonic()
                self._catch_up(stamp, progress)
                ended = time.monotonic()
                self._next, self._stamp = ended + max(_SOON, _SELDOM * (ended - began)), stamp
            assert self._index is not None
            return self._index

    def _is_followed(self, stamp: object) -> bool:
        return time.monotonic() < self._next if stamp is None else stamp == self._stamp

    def _catch_up(self, stamp: object, progress: Progress | None) -> None:
        if self._path is not None and (not self._in_memory or time.monotonic() >= self._again):
            kept = (self._index, self._versions) if self._in_memory else (None, {})
            if self._in_memory:
                self._index, self._versions, self._in_memory = None, {}, False
            try:
                with self._alone():
                    self._follow_in_file(stamp, progress)
            except _UnkeptError as error:
                if kept[0] is None:
                    _logger.warning("words are indexed in memory, as they cannot be in a file: %s", error)
                self.close()
                self._index, self._versions = kept
                self._in_memory, self._again = True, time.monotonic() + _AGAIN
            else:
                if kept[0] is not None:
                    kept[0].close()
                return
        self._follow(stamp, progress)

    def _follow_in_file(self, stamp: object, progress: Progress | None) -> None:
        before = self._index
        try:
            self._follow(stamp, progress)
        except _UnkeptError:
            if before is None or before.writable:
                raise
            self.close()  # it was opened where nothing could be written: perhaps by now the file can
            self._follow(stamp, progress)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Others that follow into the same file wait, since what they would write may be older."""
        if self._path is not None:
            with contextlib.suppress(OSError):  # of which making the file will tell
                self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path is None or not os.access(self._path.parent, os.W_OK):
            yield
            return
        lock = FileLock(self._path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout as error:
            raise IndexBusyError(
                f"another process has been indexing words in {self._path} for minutes"
            ) from error
        except OSError as error:
            raise _UnkeptError(f"cannot write {self._path.parent}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def _follow(self, stamp: object, progress: Progress | None) -> None:
        index = self._open()
        changes = self._changes(index)
        if changes.versions is None and (index.mark or len(index)):
            self._discard("it followed another state of the collection")
            index = self._open()
        versions = changes.versions
        if versions is None:
            self._put(index, [], _UNFINISHED + changes.mark)  # it follows, and lacks what is there already
        else:
            changed = [i for i, number in versions.items() if self._versions.get(i) != number]
            for start in range(0, len(changed), _AT_ONCE):
                self._put(index, changed[start : start + _AT_ONCE], index.mark, progress)
            if versions:
                begins = _UNFINISHED if index.mark.startswith(_UNFINISHED) else ""
                self._put(index, [], begins + changes.mark)
        unfinished = index.mark.startswith(_UNFINISHED)
        if unfinished or self._differs(index, stamp):
            self._compare(index, progress)
        if unfinished:
            self._put(index, [], index.mark.removeprefix(_UNFINISHED))
        self._versions = versions or {}

    def _differs(self, index: LexicalIndex, stamp: object) -> bool:
        """Whether the index has not followed something, unless that is new: then the next look will tell."""
        return len(index) != self._collection.count() and self._collection.stamp() == stamp

    def _changes(self, index: LexicalIndex) -> Changes:
        return self._collection.changes(index.mark.removeprefix(_UNFINISHED))

    def _compare(self, index: LexicalIndex, progress: Progress | None) -> None:
        """Index what is there and was not followed, and drop what is gone."""
        there, known = self._collection.ids(), set(index.ids())
        differing = [i for i in there if i not in known]
        differing += sorted(known.difference(there))
        if len(differing) > _AT_ONCE:
            _logger.info("indexing the words of %d texts", len(differing))
        for start in range(0, len(differing), _AT_ONCE):
            self._put(index, differing[start : start + _AT_ONCE], index.mark, progress)

    def _put(
        self, index: LexicalIndex, ids: Sequence[str], mark: str, progress: Progress | None = None
    ) -> None:
        """Have records as they are now, or are no more."""
        if not index.writable:
            raise _UnkeptError(f"{self._path} cannot be written")
        records = self._collection.get(ids) if ids else []
        terms = {r.id: self.analyzer.terms(r.embedding_text or "") for r in records}
        try:
            index.change(terms, [i for i in ids if i not in terms], mark)
        except StorageError as error:
            raise _UnkeptError(str(error)) from error
        if progress is not None:
            progress(len(records))

    def _open(self) -> LexicalIndex:
        try:
            if self._damage is not None:
                self._discard(self._damage)
                self._damage = None
            if self._index is None:
                try:
                    self._index = self._open_index()
                except _UNUSABLE as error:
                    self._discard(str(error))
                    self._index = self._open_index()
            return self._index
        except (StorageError, *_UNUSABLE) as error:
            raise _UnkeptError(str(error)) from error

    def _open_index(self) -> LexicalIndex:
        return LexicalIndex.open(None if self._in_memory else self._path, self.analyzer.settings())

    def _discard(self, reason: str) -> None:
        """Begin anew."""
        _logger.warning("indexing all words anew: %s", reason)
        self.close()
        if self._path is not None and not self._in_memory:
            try:
                LexicalIndex.remove(self._path)
            except OSError as error:
                raise _UnkeptError(f"cannot remove {self._path}: {error.strerror}") from error


class _UnkeptError(UECError):
    """The index cannot be kept in its file."""
