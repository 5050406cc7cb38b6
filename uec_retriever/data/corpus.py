"""Read corpora, queries and calibration pairs from files: BEIR, text folders, CSV, Parquet."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uec_retriever.data.json_text import parse_object
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.printable import run_problem
from uec_retriever.data.records import Record, check_id, check_metadata, content_id
from uec_retriever.data.texts import text_problem
from uec_retriever.errors import CorpusError, InvalidInputError

TEXT_SUFFIXES = (".txt", ".md")


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
        path: `.jsonl` (BEIR: `_id`, `title`, `text`, `metadata`), `.csv`, `.tsv`, `.parquet`, a BEIR
            folder, or a folder of `.txt` and `.md` files.
        columns: where texts, titles and ids are.
        skipped: places of documents without any text, after an iteration.
    """

    path: Path
    columns: Columns = field(default_factory=Columns)
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if (self.path / "corpus.jsonl").is_file():
            self.path = self.path / "corpus.jsonl"

    def __iter__(self) -> Iterator[Document]:
        """The documents, in order; those without any text are passed over and noted.

        Raises:
            CorpusError: naming the line, for a file that cannot be read; after the last, if there is no text at all.
        """
        self.skipped.clear()
        empty = True
        for place, row in self._rows():
            title = _string(row.pop(self.columns.title, None), place, self.columns.title)
            body = _string(row.pop(self.columns.text, None), place, self.columns.text)
            identifier = _string(
                row.pop(self.columns.id if self.columns.id in row else "id", None), place, "id", numbers=True
            )
            text = f"{title} {body}".strip()
            if not text:
                self.skipped.append(identifier or place)
                continue
            if problem := text_problem(text):
                raise CorpusError(f"{place}: the text {problem}")
            metadata = self._metadata(place, title, row)
            try:
                if identifier:
                    check_id(identifier, 0)
                checked = check_metadata(metadata, 0)
            except ValueError as error:
                raise CorpusError(f"{place}: {error}") from error
            empty = False
            yield Document(Record(identifier or content_id(text, checked), text, checked), title, body)
        if empty:
            raise CorpusError(f"the corpus {self.path} is empty: it holds no text")

    def _metadata(self, place: str, title: str, row: dict[str, Any]) -> dict[str, Any]:
        nested = row.pop("metadata", None) or {}
        if not isinstance(nested, Mapping):
            raise CorpusError(f"{place}: 'metadata' is {type(nested).__name__}, not an object")
        metadata = {**row, **nested}
        if title:
            metadata["title"] = title
        return {key: value for key, value in metadata.items() if value is not None and value != []}

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if self.path.is_dir():
            return self._folder()
        readers: dict[str, Callable[[], Iterator[tuple[str, dict[str, Any]]]]] = {
            ".jsonl": lambda: read_jsonl(self.path),
            ".csv": lambda: self._csv(","),
            ".tsv": lambda: self._csv("\t"),
            ".parquet": self._parquet,
        }
        if not self.path.exists():
            raise CorpusError(f"there is no corpus at {self.path}")
        if self.path.suffix.lower() not in readers:
            raise CorpusError(
                f"{self.path.name}: give a .jsonl, .csv, .tsv or .parquet file, or a folder of .txt and .md files"
            )
        return readers[self.path.suffix.lower()]()

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
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file, delimiter=delimiter, strict=True)
                line = 1
                names = next(reader, [])
                self._require_column(names)
                _check_names(names, f"{self.path}, line 1")
                line = reader.line_num + 1
                for cells in reader:
                    place = f"{self.path}, line {reader.line_num}"
                    if len(cells) > len(names):
                        raise CorpusError(
                            f"{place}: more values than columns: quote texts with '{delimiter}' in them"
                        )
                    if cells:
                        yield place, {k: v for k, v in zip(names, cells, strict=False) if v}
                    line = reader.line_num + 1
        except csv.Error as error:
            raise CorpusError(
                f"{self.path}, line {line}: the row that begins there has a quote that is not closed, or text "
                f"after one ({error}): put the whole value into quotes, those within doubled"
            ) from error
        except (UnicodeDecodeError, OSError) as error:
            raise CorpusError(f"{self.path}: {error}. Save it as CSV in UTF-8") from error

    def _parquet(self) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise CorpusError("Parquet needs pyarrow: pip install 'uec-retriever[parquet]'") from error
        try:
            with parquet.ParquetFile(self.path) as file:
                self._require_column(file.schema_arrow.names)
                _check_names(file.schema_arrow.names, str(self.path))
                number = 0
                for batch in file.iter_batches(batch_size=1024):
                    for row in batch.to_pylist():
                        number += 1
                        yield f"{self.path}, row {number}", row
        except (OSError, ValueError) as error:
            raise CorpusError(f"{self.path} is no readable Parquet file: {error}") from error

    def _require_column(self, names: list[str] | Any) -> None:
        if self.columns.text not in names:
            raise CorpusError(
                f"{self.path} has no column {self.columns.text!r}, only {list(names)}: name the one with the "
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
    try:
        file = path.open("rb")
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}") from error
    with file:
        for number, line in enumerate(file, start=1):
            place = f"{path}, line {number}"
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
