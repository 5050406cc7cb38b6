"""The words of an index: the lexical index of its texts, which follows them."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TypeVar

from uec_retriever.data.progress import Progress
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.lexical import LexicalQuery, UnreadableWordsError, encode_words, read_words
from uec_retriever.errors import InvalidInputError
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.lexical.following import LexicalFollower
from uec_retriever.store.lexical.index import LexicalIndex
from uec_retriever.store.lexical_options import WORDS, LexicalOptions
from uec_retriever.store.manifest import Manifest

_MANY = 2048  # texts that are stored before their words are indexed
_logger = logging.getLogger(__name__)
T = TypeVar("T")


class Words:
    """The words of an index: its lexical index, opened once it is needed. Safe under threads.

    Args:
        store: the collection.
        folder: of the index.
    """

    def __init__(self, store: ChromaStore, folder: IndexFolder) -> None:
        self._store = store
        self._folder = folder
        self._mutex = threading.Lock()
        self._opened: tuple[LexicalOptions, LexicalFollower] | None = None
        self._waiting = 0  # texts that were stored since the index began to follow
        self._beside: Future[None] | None = None  # the index follows while texts are being added

    def change(self, manifest: Manifest, options: LexicalOptions | None) -> Manifest:
        """Have words be an expert, in another way than now, or not. What was indexed of them otherwise goes.

        Args:
            manifest: as it is stored.
            options: None for no words.

        Returns:
            The manifest as it is stored now; without confidence if scores have changed.

        Raises:
            IndexBusyError: if another one has been stored meanwhile.
            InvalidInputError: if another expert is called as words are.
            StorageError: if it cannot be stored.
        """
        before = manifest.lexical
        if options == before:
            if options is None:
                self._remove()
            return manifest
        if any(e.label == WORDS for e in manifest.experts):
            raise InvalidInputError(
                f"an expert of this index is called {WORDS!r}, as words are: make another index with 'uec reindex', "
                "--expert LABEL=MODEL"
            )
        saved = self._store.save_manifest(
            replace(manifest.without_confidence(), lexical=options), replacing=manifest
        )
        if options is None or (before is not None and options.analyzer != before.analyzer):
            self._remove()
        return saved

    def _remove(self) -> None:
        self.close()
        for file in self._folder.lexical_files(str(self._store.collection.id)):
            try:
                LexicalIndex.remove(file)
            except OSError as error:
                _logger.warning("cannot remove %s, which is no longer used: %s", file, error.strerror)

    def encode(
        self, options: LexicalOptions | None, queries: Sequence[Sequence[str]]
    ) -> list[LexicalQuery | None]:
        """Queries as words (see `encode_words`); None for all of them without options."""
        if options is None:
            return [None] * len(queries)
        return encode_words(options, self.follower(options), queries)

    def using(
        self,
        options: LexicalOptions | None,
        queries: Sequence[Sequence[str]],
        call: Callable[[Sequence[LexicalQuery | None], str | None], T],
        *,
        needed: bool = False,
    ) -> T:
        """What a call gives with queries as words; without them, and with a warning, if the index cannot be read.

        Args:
            options: of the index; None for no words.
            queries: n of them; each of one text, or of several that stand for it.
            call: gets the n queries as words, and why it has to do without; None if it has not.
            needed: whether it cannot do without.

        Raises:
            UnreadableWordsError: if words are needed and cannot be read.
        """
        try:
            return call(self.encode(options, queries), None)
        except UnreadableWordsError as error:
            if needed:
                raise
            _logger.warning("searching without words: %s", error)
            return call([None] * len(queries), f"calibrated for searches with words, and {error}")

    def follow(self, options: LexicalOptions | None, progress: Progress | None = None) -> None:
        """Bring the lexical index up to the texts; what it cannot do now, the next search will try.

        Args:
            options: of the index; without them nothing is done.
            progress: called with the number of texts indexed since.
        """
        self._waiting = 0
        self._finish()
        if options is not None:
            self._follow(options, progress)

    def _follow(self, options: LexicalOptions, progress: Progress | None = None) -> None:
        follower = self.follower(options)
        follower.look_again()
        try:
            read_words(follower, lambda index: None, progress)
        except UnreadableWordsError as error:
            _logger.warning("the words of the texts are not indexed yet: %s", error)

    def stored(self, options: LexicalOptions | None, texts: int) -> None:
        """Follow once many texts were stored: in a thread, while others are encoded and stored, mostly not in Python.

        Where nothing cheap tells of changes, following looks through more than that, so there it waits.
        """
        self._waiting += texts
        if options is None or self._waiting < _MANY or not (self._beside is None or self._beside.done()):
            return
        self._finish()
        if self._store.stamp() is None:
            self.follow(options)
            return
        self._waiting = 0
        thread = ThreadPoolExecutor(1, "uec-words")
        self._beside = thread.submit(self._follow, options)
        thread.shutdown(wait=False)

    def _finish(self) -> None:
        """Wait for the thread, and raise what it has raised."""
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.result()

    def follower(self, options: LexicalOptions) -> LexicalFollower:
        """The lexical index, which follows the collection."""
        with self._mutex:
            if self._opened is None or not _analyzes_alike(self._opened[0], options):
                self._close()
                collection, settings = str(self._store.collection.id), options.analyzer.settings()
                file = self._folder.lexical_file(collection, settings)
                follower = LexicalFollower(self._store, file, options.analyzer)
                self._release = weakref.finalize(self, follower.close)
                self._opened = options, follower
            return self._opened[1]

    def close(self) -> None:
        """Close the lexical index."""
        if self._beside is not None:
            wait([self._beside])
        with self._mutex:
            self._close()

    def _close(self) -> None:
        if self._opened is not None:
            self._release()
            self._opened = None


def _analyzes_alike(one: LexicalOptions, other: LexicalOptions) -> bool:
    return one is other or one.analyzer == other.analyzer
