"""Files as they come: plain or gzip, by name or on standard input."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, BinaryIO

from uec_retriever.errors import CorpusError

STANDARD_INPUT = Path("-")
GZIP = ".gz"
_MAGIC = b"\x1f\x8b"


def source_name(path: Path) -> str:
    """A file as messages call it."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, in lower case, that of compression left out."""
    plain = path.with_suffix("") if path.suffix.lower() == GZIP else path
    return plain.suffix.lower()


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read its bytes, decompressed if it is gzip, whatever its name.

    Args:
        path: of the file; `-` for standard input. That, and a pipe, is kept in a temporary file, to be read again.

    Raises:
        CorpusError: if it cannot be read, or the compressed data are damaged or cut off.
    """
    try:
        with open(_keep(path) if _flows(path) else path, "rb") as file:
            packed = file.read(len(_MAGIC)) == _MAGIC
            file.seek(0)
            if not packed:
                yield file
                return
            with gzip.open(file) as unpacked:
                yield unpacked  # type: ignore[misc]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(
            f"{source_name(path)} is damaged or cut off: compress it again ({error})"
        ) from error
    except OSError as error:
        raise CorpusError(f"cannot read {source_name(path)}: {error.strerror or error}") from error


@contextlib.contextmanager
def open_seekable(path: Path) -> Iterator[IO[bytes]]:
    """As `open_source`, for formats that are not read from beginning to end."""
    with open_source(path) as file:
        if not isinstance(file, gzip.GzipFile):
            yield file
            return
        with tempfile.TemporaryFile() as plain:
            shutil.copyfileobj(file, plain)
            plain.seek(0)
            yield plain


def _flows(path: Path) -> bool:
    """Whether it can be read once alone: standard input, a pipe as of `<(...)`, a named one."""
    return path == STANDARD_INPUT or (path.exists() and not path.is_file() and not path.is_dir())


@cache
def _keep(path: Path) -> str:
    """Name of a temporary file with all that flows, gone with the process."""
    if path == STANDARD_INPUT and sys.stdin is None:
        raise CorpusError("standard input is closed: give a file, or send something to it")
    kept = tempfile.NamedTemporaryFile(prefix="uec-input-")  # noqa: SIM115
    with contextlib.nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else open(path, "rb") as flow:
        shutil.copyfileobj(flow, kept)
    kept.flush()
    _kept.append(kept)
    return kept.name


_kept: list[object] = []  # deleted when they are forgotten
