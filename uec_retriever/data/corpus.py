"""Read corpora, queries and calibration pairs from files: BEIR, text folders, CSV, Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uec_retriever.checks.json_text import parse_object
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.printable import run_problem
from uec_retriever.data.records import Record, check_id, check_metadata, content_id
from uec_retriever.data.sources import STANDARD_INPUT, open_seekable, open_source, source_name, suffix_of
from uec_retriever.data.texts import join_title, text_problem
from uec_retriever.errors import CorpusError, InvalidInputError, show

TEXT_SUFFIXES = (".txt", ".md")
_NAMES = 300  # characters of the names that there are, in a message


@dataclass(frozen=True)
class Columns:
    """Names of the columns, or JSON keys, that hold a document.

    Attributes:
        text: the text, required.
        title: put before the text where there is one.
        id: the id, or else a column called `id`; made from the content if both are absent.
    """

    text: str = "text"
    title: str = "title"
    id: str = "_id"


@dataclass(frozen=True)
class Document:
    """A document of a corpus: its record, and its parts before they were joined."""

    record: Record
    title: str
    body: str


@dataclass
class Corpus:
    """A corpus on disk, read as a stream as often as needed.

    Attributes:
        path: `.jsonl` (BEIR: `_id`, `title`, `text`, `metadata`), `.csv`, `.tsv`, `.parquet`, each also as `.gz`, a BEIR
            folder, or a folder of `.txt` and `.md` files; `-` for standard input.
        columns: where texts, titles and ids are.
        suffix: of the format, such as `.csv`; that of the path, or `.jsonl` on standard input, if None.
        skipped: places of documents without any text, after an iteration.
    """

    path: Path
    columns: Columns = field(default_factory=Columns)
    suffix: str | None = None
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("corpus.jsonl", "corpus.jsonl.gz"):
            if (self.path / name).is_file():
                self.path = self.path / name
                break

    def __iter__(self) -> Iterator[Document]:
        """The documents, in order; those without any text are passed over and noted.

        Raises:
            CorpusError: naming the line, for a file that cannot be read; after the last, if there is no text at all, or
                a column was named that no document has.
        """
        self.skipped.clear()
        empty, seen = True, dict[str, None]()
        for place, row in self._rows():
            seen.update(dict.fromkeys(row))
            body = _string(row.pop(self.columns.text, None), place, self.columns.text)
            title = _string(row.pop(self.columns.title, None), place, self.columns.title)
            identifier = _string(
                row.pop(self.columns.id if self.columns.id in row else "id", None), place, "id", numbers=True
            )
            text = join_title(title, body)
            if not text:
                self.skipped.append(identifier or place)
                continue
            if problem := text_problem(text):
                raise CorpusError(f"{place}: the text {problem}")
            metadata = self._metadata(place, title, row)
            try:
                if identifier:
                    check_id(identifier, 0)
                checked = check_metadata(metadata, show(identifier) if identifier else "it")
            except ValueError as error:
                raise CorpusError(f"{place}: {error}") from error
            empty = False
            yield Document(Record(identifier or content_id(text, checked), text, checked), title, body)
        if empty:
            raise CorpusError(f"the corpus {source_name(self.path)} is empty: it holds no text")
        self._check_columns(seen)

    def _check_columns(self, seen: Iterable[str]) -> None:
        """Refuse what is mistyped, though a document may well lack any of its parts."""
        usual = Columns()
        for option, name, default in (
            ("--text-column", self.columns.text, None),
            ("--title-column", self.columns.title, usual.title),
            ("--id-column", self.columns.id, usual.id),
        ):
            if name != default and name not in seen:
                raise CorpusError(
                    f"no document of {source_name(self.path)} has {show(name)}, only {show(sorted(seen), _NAMES)}: name what is there "
                    f"({option})"
                )

    def _metadata(self, place: str, title: str, row: dict[str, Any]) -> dict[str, Any]:
        nested = row.pop("metadata", None) or {}
        if not isinstance(nested, Mapping):
            raise CorpusError(f"{place}: 'metadata' is {type(nested).__name__}, not an object")
        metadata = {**row, **nested}
        if title:
            metadata["title"] = title
        return metadata

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if self.path.is_dir():
            return self._folder()
        suffix = self.suffix or (".jsonl" if self.path == STANDARD_INPUT else suffix_of(self.path))
        readers: dict[str, Callable[[], Iterator[tuple[str, dict[str, Any]]]]] = {
            ".jsonl": lambda: read_jsonl(self.path),
            ".csv": lambda: self._csv(","),
            ".tsv": lambda: self._csv("\t"),
            ".parquet": self._parquet,
        }
        if self.path != STANDARD_INPUT and not self.path.exists():
            raise CorpusError(f"there is no corpus at {self.path}")
        if suffix not in readers:
            raise CorpusError(
                f"{self.path.name}: give a .jsonl, .csv, .tsv or .parquet file (or one of them as .gz), or a folder of "
                ".txt and .md files"
            )
        return readers[suffix]()

    def _folder(self) -> Iterator[tuple[str, dict[str, Any]]]:
        files = sorted(p for p in self.path.rglob("*") if p.suffix.lower() in TEXT_SUFFIXES and p.is_file())
        if not files:
            raise CorpusError(f"{self.path} holds no .txt or .md files, and no corpus.jsonl")
        for file in files:
            name = file.relative_to(self.path).as_posix()
            try:
                text = file.read_text(encoding="utf-8")
            except (UnicodeDecodeError, OSError) as error:
                raise CorpusError(
                    f"{file}: {error}. Save it as UTF-8, or take it out of the folder"
                ) from error
            yield str(file), {self.columns.id: name, self.columns.text: text, "path": name}

    def _csv(self, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
        csv.field_size_limit(2**31 - 1)
        try:
            with (
                open_source(self.path) as source,
                io.TextIOWrapper(source, newline="", encoding="utf-8-sig") as file,
            ):
                reader = csv.reader(file, delimiter=delimiter, strict=True)
                line = 1
                names = next(reader, [])
                self._require_column(names)
                _check_names(names, f"{source_name(self.path)}, line 1")
                line = reader.line_num + 1
                for cells in reader:
                    place = f"{source_name(self.path)}, line {reader.line_num}"
                    if len(cells) > len(names):
                        raise CorpusError(
                            f"{place}: more values than columns: quote texts with '{delimiter}' in them"
                        )
                    if cells:
                        yield place, {k: v for k, v in zip(names, cells, strict=False) if v}
                    line = reader.line_num + 1
        except csv.Error as error:
            raise CorpusError(
                f"{source_name(self.path)}, line {line}: the row that begins there has a quote that is not closed, or text "
                f"after one ({error}): put the whole value into quotes, those within doubled"
            ) from error
        except (UnicodeDecodeError, OSError) as error:
            raise CorpusError(f"{source_name(self.path)}: {error}. Save it as CSV in UTF-8") from error

    def _parquet(self) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise CorpusError("Parquet needs pyarrow: pip install 'uec-retriever[parquet]'") from error
        try:
            with open_seekable(self.path) as source, parquet.ParquetFile(source) as file:
                self._require_column(file.schema_arrow.names)
                _check_names(file.schema_arrow.names, source_name(self.path))
                number = 0
                for batch in file.iter_batches(batch_size=1024):
                    for row in batch.to_pylist():
                        number += 1
                        yield f"{source_name(self.path)}, row {number}", row
        except CorpusError:
            raise
        except (OSError, ValueError) as error:
            raise CorpusError(f"{source_name(self.path)} is no readable Parquet file: {error}") from error

    def _require_column(self, names: list[str] | Any) -> None:
        if self.columns.text not in names:
            raise CorpusError(
                f"{source_name(self.path)} has no column {show(self.columns.text)}, only {show(list(names), _NAMES)}: name the one with the "
                "texts (--text-column)"
            )


def _check_names(names: list[str], place: str) -> None:
    """Refuse columns that cannot be told apart."""
    if "" in names:
        raise CorpusError(
            f"{place}: column {names.index('') + 1} has no name: give it one, or leave it out (pandas: index=False)"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CorpusError(f"{place}: several columns are called {twice}: give each a name of its own")


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and object of each non-empty line.

    Raises:
        CorpusError: naming the line that is not a JSON object in UTF-8.
    """
    name = source_name(path)
    with open_source(path) as file:
        for number, line in enumerate(file, start=1):
            place = f"{name}, line {number}"
            if not line.strip():
                continue
            try:
                yield place, parse_object(line)
            except InvalidInputError as error:
                raise CorpusError(f"{place}: {error}. Repair or remove the line") from error


def read_queries(path: Path) -> Iterator[tuple[str, str]]:
    """Id and text of each query of a BEIR `queries.jsonl`, or of a folder that holds one.

    Raises:
        CorpusError: naming the line.
    """
    for place, row in read_jsonl(path / "queries.jsonl" if path.is_dir() else path):
        identifier = _string(row.get("_id", row.get("id")), place, "_id", numbers=True)
        text = _string(row.get("text"), place, "text")
        if problem := run_problem(identifier) if identifier else "is missing":
            raise CorpusError(f"{place}: '_id' {problem}, which a TREC run cannot hold")
        if problem := text_problem(text):
            raise CorpusError(f"{place}: the query {problem}")
        yield identifier, text


def read_pairs(path: Path) -> CalibrationPairs:
    """Calibration pairs of a JSONL file with `query` and `positive` on each line.

    Raises:
        CorpusError: naming the line.
        InvalidInputError: for too few pairs.
    """
    queries: list[str] = []
    positives: list[str] = []
    for place, row in read_jsonl(path):
        for key, side in (("query", queries), ("positive", positives)):
            if problem := text_problem(row.get(key)):
                raise CorpusError(f"{place}: {key!r} {problem}")
            side.append(row[key])
    return CalibrationPairs(queries, positives, "user")


def _string(value: object, place: str, key: str, *, numbers: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if numbers and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise CorpusError(f"{place}: {key!r} is {type(value).__name__}, not a string")
