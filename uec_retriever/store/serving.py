"""Whether `chroma run` has a database open, beside which nobody else may open it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from uec_retriever.errors import StorageError
from uec_retriever.store.log import DATABASE_FILE


def refuse_beside_server(database: Path) -> None:
    """Refuse an embedded database that a `chroma run` of this machine serves: both would save to the same files.

    Told from `/proc`, so on Linux alone, and of processes of one's own.

    Args:
        database: its folder.

    Raises:
        StorageError: if one does.
    """
    with contextlib.suppress(OSError):
        file = str((database / DATABASE_FILE).resolve(strict=True))
        for process in Path("/proc").glob("[0-9]*"):
            if _is_server(process) and file in _open_files(process):
                raise StorageError(
                    f"'chroma run' (process {process.name}) serves {database}: give its address (url=..., --server), or "
                    "stop it"
                )


def _is_server(process: Path) -> bool:
    try:
        words = (process / "cmdline").read_text(errors="replace").split("\0")
    except OSError:  # it has ended
        return False
    return "run" in words and any(Path(word).name == "chroma" for word in words[:3])


def _open_files(process: Path) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(os.readlink(descriptor))
    return found
