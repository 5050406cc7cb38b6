"""Where an embedded database is opened: in its folder, or in a copy while that cannot be written.

Chroma writes even to open. On a read-only file system it cannot, nor on a full disk: there it searches in a copy.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import time
from pathlib import Path

from chromadb.api import ClientAPI
from chromadb.errors import InternalError

from uec_retriever.errors import IndexBusyError, NotAnIndexError, StorageError
from uec_retriever.store.connection import close, connect
from uec_retriever.store.graph_files import copy_database
from uec_retriever.store.locks import LOCK_SUFFIX, graph_lock
from uec_retriever.store.log import DATABASE_FILE
from uec_retriever.store.refusals import is_unwritable
from uec_retriever.temporary import temporary_folder

_HARDLY_ANY = 64 << 20  # bytes
_TICK = 0.02  # seconds, at least as coarse as times of changes are
_TICKS = 10
_Look = frozenset[tuple[str, int, int, int]]
_logger = logging.getLogger(__name__)


class Copy:
    """A copy of a database, gone with this object.

    Args:
        look: how the files that are copied look.
        links: whether the files of the graphs are linked.

    Attributes:
        folder: of the copy.
        look: the same.
        links: the same.
    """

    def __init__(self, look: _Look, links: bool) -> None:
        self.look = look
        self.links = links
        self.folder = temporary_folder(self)


class Home:
    """The folder of an embedded database, and the copy that is searched while that cannot be written.

    Args:
        folder: of the database, which need not be there yet.

    Attributes:
        folder: the same.
        copy: made last; None while the folder is used itself.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copy: Copy | None = None
        self._told = False

    @property
    def opened(self) -> Path:
        """The folder that Chroma has open, or would."""
        return self.folder if self.copy is None else self.copy.folder

    def connect(self) -> ClientAPI:
        """A client of the database, or of a copy.

        Raises:
            StorageError: if neither can be opened.
        """
        try:
            self.check_permission()
            return connect(self.folder)
        except StorageError as error:
            if not self.may_copy(error):
                raise
            with graph_lock(self.folder, needed=False):
                copy = self.search_in_copy(error)
            try:
                return connect(copy.folder)
            except StorageError:
                raise error from None

    def check_permission(self) -> None:
        """Refuse a folder that is there and cannot be written, as far as that can be told without trying.

        Raises:
            StorageError: if it cannot.
        """
        if self.folder.is_dir() and not os.access(self.folder, os.W_OK):
            raise StorageError(
                f"cannot write to {self.folder}: it can be searched only. Check its permissions"
            ) from PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def may_copy(self, error: StorageError) -> bool:
        """Whether a copy may help, as something could not be written, and it was not we who refused.

        Of a full disk Chroma does not always tell, so one with hardly any room counts as such.
        """
        cause = error.__cause__
        if isinstance(error, IndexBusyError) or not isinstance(
            cause, InternalError | OSError | sqlite3.Error
        ):
            return False
        if "is locked" in str(cause) or not (self.folder / DATABASE_FILE).is_file():
            return False
        return is_unwritable(cause) or shutil.disk_usage(self.folder).free < _HARDLY_ANY

    def search_in_copy(self, reason: StorageError) -> Copy:
        """A copy of the database as it is; the last one if nothing has changed since. The caller has the `graph_lock`.

        Args:
            reason: why the folder itself cannot be used.

        Raises:
            StorageError: if there is no space for it either.
        """
        if self.copy is None or not self.is_current(self.copy):
            if os.access(self.folder, os.W_OK) and not self._told:
                _logger.warning("searching in a copy, as nothing can be written: %s", str(reason))
                self._told = True
            # Chroma could write through links as soon as there is some space
            links = self.copy is None and not os.access(self.folder, os.W_OK)
            copy = Copy(self._look_when_settled(), links)
            copy_database(self.folder, copy.folder, links=links)
            self.copy = copy
        return self.copy

    def is_current(self, copy: Copy) -> bool:
        """Whether nothing has changed since a copy was made, and it is still there.

        Raises:
            NotAnIndexError: if the folder of the database is gone.
        """
        if not (self.folder / DATABASE_FILE).is_file():
            raise NotAnIndexError(f"the folder {self.folder} is gone: open the index again where it is now")
        if copy.links and os.access(self.folder, os.W_OK):
            return False  # what Chroma writes to the copy would go through the links
        return copy.look == self._look() and (copy.folder / DATABASE_FILE).is_file()

    def come_home(self) -> None:
        """Use the folder itself again, in order to write. The caller excludes others that do, or that load.

        Raises:
            StorageError: if it still cannot be written.
        """
        self.check_permission()
        if self.copy is not None:
            close(connect(self.folder))
            self.copy, self._told = None, False

    def _look_when_settled(self) -> _Look:
        """How the files look, so that whatever is written later makes them look otherwise."""
        look = self._look()
        for _ in range(_TICKS):
            if not any(0 <= time.time() - changed / 1e9 < _TICK for _, _, _, changed in look):
                break
            time.sleep(_TICK)
            look = self._look()
        return look

    def _look(self) -> _Look:
        """Name, number, size and time of each file that a change changes; nothing if the folder is gone."""
        found = set()
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.name.endswith((LOCK_SUFFIX, "-journal")) or entry.name.startswith("."):
                        continue
                    if entry.is_file():
                        status = entry.stat()
                        found.add((entry.name, status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:  # also of a file that was just replaced: it looks otherwise now
            return frozenset()
        return frozenset(found)
