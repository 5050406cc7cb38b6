"""Files that are whole or absent."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from uec_retriever.errors import StorageError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is either whole or absent, whatever interrupts it.

    Args:
        path: its folder is made if absent; a file that is there is replaced.
        data: the whole contents.

    Raises:
        StorageError: if the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(
                os.open(temporary, _NEW, 0o666), "wb"
            ) as file:  # the umask applies, as to any new file
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}. Nothing was changed.") from error
