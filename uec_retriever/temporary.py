"""Temporary folders of indexes, which are gone with what needs them."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path

_MAKING = threading.Lock()


def temporary_folder(owner: object) -> Path:
    """A new folder, gone with its owner or with the process, whichever ends first.

    Args:
        owner: that bears a weak reference.
    """
    path = Path(tempfile.mkdtemp(prefix="uec-"))
    weakref.finalize(owner, _remove, path, os.getpid())
    return path


def memory_folder() -> Path:
    """Where indexes in memory keep their posterior files, which are called by their content: one for the process.

    All in-memory clients of a process share their collections, and these outlive the engines that made them.
    """
    with _MAKING:
        path = _folder_of_process()
    path.mkdir(exist_ok=True)  # somebody may have cleaned up
    return path


@functools.cache
def _folder_of_process() -> Path:
    return temporary_folder(_folder_of_process)


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:  # not in a fork, which would take it from its parent
        shutil.rmtree(path, ignore_errors=True)
