"""Tables as files: CSV in whatever encoding and with whatever separator, and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from uec_retriever.data.files.encodings import BinaryFileError, UnknownEncodingError, encoding_of_file
from uec_retriever.data.sources import LONGEST_LINE, open_seekable, open_source, read_lines, source_name
from uec_retriever.errors import CorpusError, show

Bad = Callable[[str], None]
"""Called with what is wrong, and where."""
Row = tuple[str, dict[str, Any]]
"""Where it is, for messages, and its values by the names of their columns."""
SEPARATORS = (",", ";", "\t", "|")
_NAMES = 300  # characters of the names that there are, in a message
_HEAD = 2**20  # characters of a table that its separator is told from


def read_csv(
    path: Path,
    *,
    separator: str = ",",
    column: str | None = None,
    bad: Bad | None = None,
    most: int | None = None,
) -> Iterator[Row]:
    """Rows of a CSV file with a header, without their empty cells.

    Args:
        path: of the file, plain or gzip.
        separator: that is expected; another that the header has is found.
        column: that there must be, and that tells the separator; None for none.
        bad: told of each row with more values than columns, which is then passed over; refused if None.
        most: bytes that are unpacked of one that is gzip; None for all.

    Raises:
        CorpusError: naming the line.
    """
    csv.field_size_limit(LONGEST_LINE)
    name = source_name(path)
    try:
        encoding = encoding_of_file(path, most)
        encoding = "utf-8-sig" if encoding == "utf-8" else encoding
        with (
            open_source(path, most) as source,
            io.TextIOWrapper(source, newline="", encoding=encoding) as file,
        ):
            head = file.read(_HEAD)
            separator = _separator(head, separator, column)
            reader = csv.reader(_Lines(head, file, name), delimiter=separator, strict=True)
            line = 1
            names = [each.strip() if each != column else each for each in next(reader, [])]
            if column is not None:
                require_column(names, column, path)
            check_names(names, f"{name}, line 1")
            line = reader.line_num + 1
            for cells in reader:
                place = f"{name}, line {reader.line_num}"
                if len(cells) > len(names):
                    told = f"{place}: more values than columns: quote texts with '{separator}' in them"
                    if bad is None:
                        raise CorpusError(told)
                    bad(told)
                elif cells:
                    yield place, {k: v for k, v in zip(names, cells, strict=False) if v}
                line = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(
            f"{name}, line {line}: the row that begins there has a quote that is not closed, or text "
            f"after one ({error}): put the whole value into quotes, those within doubled"
        ) from error
    except (BinaryFileError, UnknownEncodingError, UnicodeError) as error:
        raise CorpusError(f"{name}: {error}. Save it as CSV in UTF-8") from error


def read_parquet(path: Path, *, column: str) -> Iterator[Row]:
    """Rows of a Parquet file.

    Args:
        path: of the file, plain or gzip.
        column: that there must be.

    Raises:
        CorpusError: if it cannot be read.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise CorpusError("Parquet needs pyarrow: pip install 'uec-retriever[parquet]'") from error
    name = source_name(path)
    try:
        with open_seekable(path) as source, parquet.ParquetFile(source) as file:
            require_column(file.schema_arrow.names, column, path)
            check_names(file.schema_arrow.names, name)
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{name}, row {number}", row
    except CorpusError:
        raise
    except (OSError, ValueError) as error:
        raise CorpusError(f"{name} is no readable Parquet file: {error}") from error


def require_column(names: Sequence[str], column: str, path: Path) -> None:
    """Refuse a table without the column of the texts."""
    if column not in names:
        raise CorpusError(
            f"{source_name(path)} has no column {show(column)}, only {show(list(names), _NAMES)}: name the one with the "
            "texts (--text-column)"
        )


def check_names(names: Sequence[str], place: str) -> None:
    """Refuse columns that cannot be told apart."""
    if "" in names:
        raise CorpusError(
            f"{place}: column {names.index('') + 1} has no name: give it one, or leave it out (pandas: index=False)"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CorpusError(f"{place}: several columns are called {twice}: give each a name of its own")


def _separator(head: str, expected: str, column: str | None) -> str:
    """That by which the header has the column, or else, if none is named or it is not there, the most columns."""
    found: dict[str, list[str]] = {}
    for separator in (expected, *SEPARATORS):
        try:
            found[separator] = next(csv.reader(io.StringIO(head, newline=""), delimiter=separator), [])
        except csv.Error:
            continue
    fitting = (
        separator
        for separator, names in found.items()
        if column in names or column in [name.strip() for name in names]
    )
    most = max(found, key=lambda separator: len(found[separator]), default=expected)
    return most if column is None else next(fitting, most)


class _Lines:
    """The lines of what was read ahead and of the rest."""

    def __init__(self, head: str, rest: io.TextIOWrapper, name: str) -> None:
        self._lines = iter(io.StringIO(head, newline=""))
        self._rest = rest
        self._name = name

    def __iter__(self) -> Iterator[str]:
        rest = read_lines(self._rest, self._name)
        for line in self._lines:
            yield line if line.endswith(("\n", "\r")) else line + next(rest, "")
        yield from rest
