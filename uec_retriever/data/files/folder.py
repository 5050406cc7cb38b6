"""The texts of a folder of files, of every kind that people keep texts in."""

from __future__ import annotations

import json
import logging
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from uec_retriever.data.files.convert import CONVERTED, HTML, ConversionError, can_convert, convert
from uec_retriever.data.files.encodings import BinaryFileError, UnknownEncodingError, decode
from uec_retriever.data.files.front import front_metadata, take_front_matter
from uec_retriever.data.files.markup import Markup, headings_of, title_of
from uec_retriever.data.files.unread import Unread
from uec_retriever.data.files.walk import ON_PURPOSE, walk
from uec_retriever.data.moments import iso
from uec_retriever.data.printable import printable
from uec_retriever.data.tables import read_csv
from uec_retriever.data.texts import surrogate_at
from uec_retriever.errors import CorpusError

TEXTS: Mapping[str, Markup] = {
    ".txt": "plain",
    ".text": "plain",
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdown": "markdown",
    ".mkd": "markdown",
    ".rst": "rst",
    ".rest": "rst",
}
"""Suffix -> markup of files that are texts."""
TABLES = {".csv": ",", ".tsv": "\t"}
CORPORA = (".jsonl", ".ndjson", ".parquet", ".gz")
KINDS = "text, Markdown, reStructuredText, HTML, PDF, DOCX, PPTX, XLSX, EPUB or CSV"
"""The files of a folder that are read, for people."""
PATH_KEY, TITLE_KEY, MODIFIED_KEY = "path", "title", "modified"
_FRONT_PATH = "front_matter.path"  # that a file gives itself, such as of its page
_LARGEST = 2**28  # bytes
_logger = logging.getLogger(__name__)
_ADVICE = "to be had with pip install 'uec-retriever[files]'"


@dataclass(frozen=True)
class FileText:
    """A file as a document.

    Attributes:
        name: within the folder, with `/`.
        text: without front matter.
        title: that its text does not have; "" if there is none.
        metadata: of its front matter, `path` (one of the front matter becomes `front_matter.path`), `modified` (ISO 8601,
            UTC; or what the front matter says) and, where it has one, `title`.
        markup: of the text.
    """

    name: str
    text: str
    title: str
    metadata: dict[str, Any]
    markup: Markup


@dataclass
class Folder:
    """A folder of files, or one, read as often as needed; what was converted is kept until it is forgotten.

    Attributes:
        path: of the folder.
        passed_over: reason -> names of what was left out for it, after an iteration.
        bad: a line for each file that could not be read, after an iteration.
        unread: what is there and was not read, for whatever reason but that it is left out on purpose.
    """

    path: Path
    passed_over: dict[str, list[str]] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    unread: Unread = field(default_factory=Unread)
    _left_out: str | None = None  # beginning of the names
    _warned: set[str] = field(default_factory=set)
    _converted: _Converted = field(default_factory=lambda: _Converted())

    def __iter__(self) -> Iterator[FileText]:
        """The files that are texts, in the order of their names."""
        self.passed_over.clear()
        self.bad.clear()
        self.unread.clear()
        if self.path.is_file():
            files = iter([(self.path.name, self.path)])
        else:
            files = walk(self.path, self._pass_over, self._note)
        for name, path in files:
            if self._is_left_out(name):
                continue
            suffix = path.suffix.lower()
            try:
                if (reason := self._reason(path, suffix)) is not None:
                    self._pass_over(reason, name)
                elif surrogate_at(name) is not None:
                    self._note("its name is not in UTF-8: rename it", name)
                else:
                    yield self._read(name, path, suffix)
            except BinaryFileError:
                self._pass_over("binary", name)
            except (UnknownEncodingError, ConversionError, CorpusError) as error:
                told = str(error)
                self._note(told.removeprefix(str(path)), name, ": " * (not told.startswith(str(path))))
            except OSError as error:
                self._note(error.strerror or str(error), name)

    def leave_out(self, folder: Path) -> None:
        """Take no notice of what is in a folder within this one."""
        within = folder.resolve()
        if self.path.is_dir() and self.path.resolve() in within.parents:
            self._left_out = f"{within.relative_to(self.path.resolve()).as_posix()}/"

    def _is_left_out(self, name: str) -> bool:
        return self._left_out is not None and name.startswith(self._left_out)

    def _pass_over(self, reason: str, name: str) -> None:
        if self._is_left_out(name):
            return
        self.passed_over.setdefault(reason, []).append(printable(name))
        if reason not in ON_PURPOSE:
            self.unread.add(name)

    def _note(self, problem: str, name: str, between: str = ": ") -> None:
        if self._is_left_out(name):
            return
        self.bad.append(f"{printable(name)}{between}{problem}")
        self.unread.add(name)

    def _reason(self, path: Path, suffix: str) -> str | None:
        """Why a file is left out without a look into it; None if it is not."""
        if suffix in CORPORA:
            return "to be indexed by itself (--corpus FILE)"
        if suffix in CONVERTED and not can_convert():
            return _ADVICE
        if suffix not in TEXTS and suffix not in TABLES and suffix not in CONVERTED:
            return f"of no kind that is read ({suffix or 'no suffix'})"
        return f"larger than {_LARGEST >> 20} MB" if path.stat().st_size > _LARGEST else None

    def _split_front(self, text: str, name: str) -> tuple[dict[str, Any], str]:
        """Front matter and text; what cannot be read stays in the text, with one warning."""
        try:
            return take_front_matter(text)
        except ValueError as error:
            if name not in self._warned:
                _logger.warning("%s: %s and stays in the text", name, error)
            self._warned.add(name)
            return {}, text

    def _read(self, name: str, path: Path, suffix: str) -> FileText:
        status = path.stat()
        modified = iso(datetime.fromtimestamp(int(status.st_mtime), UTC))
        found: dict[str, Any] = {}
        title, markup = "", TEXTS.get(suffix, "markdown")
        if suffix in TABLES:
            text, markup = self._table_text(name, path, suffix), "plain"
        elif suffix in CONVERTED:
            key = name, status.st_mtime_ns, status.st_size
            if (kept := self._converted.get(key)) is None:
                data = path.read_bytes()
                data = decode(data, marked_up=True).encode() if suffix in HTML else data
                kept = convert(data, suffix)
                self._converted.put(key, kept)
            text, title = kept
        else:
            text = decode(path.read_bytes())
            if markup == "markdown":
                found, text = self._split_front(text, name)
        given = found.pop(TITLE_KEY, "")
        title = (given if isinstance(given, str) else str(given)).strip() or title
        headings = headings_of(text, markup)
        shown = title or title_of(headings)
        if PATH_KEY in found:
            found[_FRONT_PATH] = found.pop(PATH_KEY)
        metadata = {MODIFIED_KEY: modified, **front_metadata(found), PATH_KEY: name}
        if shown:
            metadata[TITLE_KEY] = shown
        there = title in {heading.title for heading in headings} or text.lstrip("# \n").startswith(title)
        return FileText(name, text, "" if there else title, metadata, markup)

    def _table_text(self, name: str, path: Path, suffix: str) -> str:
        """A table as a text: each row a paragraph that names its columns; rows that are bad are noted."""

        def note(problem: str) -> None:
            self.bad.append(f"{printable(name)}{problem.removeprefix(str(path))}")

        rows = read_csv(path, separator=TABLES[suffix], bad=note, most=_LARGEST)
        return "\n\n".join("\n".join(f"{name}: {value}" for name, value in row.items()) for _, row in rows)


def is_text_file(path: Path) -> bool:
    """Whether one file is a text by itself, no table or corpus."""
    return path.suffix.lower() in {*TEXTS, *CONVERTED} and path.is_file()


class _Converted:
    """What files were converted to, in a temporary file: converting is slow, and a corpus is read several times."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._places: dict[object, tuple[int, int]] = {}

    def get(self, key: object) -> tuple[str, str] | None:
        """Text and title that were kept."""
        if key not in self._places or self._file is None:
            return None
        start, length = self._places[key]
        self._file.seek(start)
        text, title = json.loads(self._file.read(length))
        return text, title

    def put(self, key: object, found: tuple[str, str]) -> None:
        """Keep a text and its title."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="uec-converted-")  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        data = json.dumps(found).encode()
        self._places[key] = self._file.seek(0, 2), len(data)
        self._file.write(data)
