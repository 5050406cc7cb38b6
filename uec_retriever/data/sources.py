"""Files as they come: plain or gzip, by name or on standard input."""

from __future__ import annotations

import contextlib
import gzip
import io
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO

from uec_retriever.errors import CorpusError

STANDARD_INPUT = Path("-")
GZIP = ".gz"
LONGEST_LINE = 2**28
"""Bytes, or characters, of a line, and of a value of a table: what is longer is no text, but damage or a trap."""
_MAGIC = b"\x1f\x8b"


def source_name(path: Path) -> str:
    """A file as messages call it."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, in lower case, that of compression left out."""
    plain = path.with_suffix("") if path.suffix.lower() == GZIP else path
    return plain.suffix.lower()


@contextlib.contextmanager
def open_source(path: Path, most: int | None = None) -> Iterator[BinaryIO]:
    """Open a file to read its bytes, decompressed if it is gzip, whatever its name.

    Args:
        path: of the file; `-` for standard input. That, and a pipe, is kept in a temporary file, to be read again.
        most: bytes that are unpacked of one that is gzip; None for all.

    Raises:
        CorpusError: if it cannot be read, or the compressed data are damaged or cut off, or unpack to more.
    """
    try:
        with open(_keep(path) if _flows(path) else path, "rb") as file:
            packed = file.read(len(_MAGIC)) == _MAGIC
            file.seek(0)
            if not packed:
                yield file
                return
            with gzip.open(file) as unpacked:
                if most is None:
                    yield unpacked  # type: ignore[misc]
                else:
                    yield io.BufferedReader(_Bounded(unpacked, most, source_name(path)))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(
            f"{source_name(path)} is damaged or cut off: compress it again ({error})"
        ) from error
    except OSError as error:
        raise CorpusError(f"cannot read {source_name(path)}: {error.strerror or error}") from error


class _Bounded(io.RawIOBase):
    """What is unpacked of a file, as long as it is not far larger than it looks."""

    def __init__(self, file: gzip.GzipFile, most: int, name: str) -> None:
        self._file, self._left, self._most, self._name = file, most, most, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read1(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise CorpusError(f"{self._name}: it is more than {self._most >> 20} MB when unpacked: split it")
        buffer[: len(data)] = data
        return len(data)


def read_lines(file: IO[bytes] | IO[str], name: str) -> Iterator[Any]:
    """The lines of a file, each of which has to fit into memory.

    Args:
        file: opened.
        name: of it, for messages.

    Raises:
        CorpusError: for a line that is far too long, as of a file without any ends of lines.
    """
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise CorpusError(
                f"{name}: it has a line of more than {LONGEST_LINE >> 20} million characters: it is no such file, or damaged"
            )
        yield line


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
