"""Read corpora, queries and calibration pairs from files: BEIR, folders of files, CSV, Parquet."""

from __future__ import annotations

import codecs
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from uec_retriever.checks.json_text import parse_object
from uec_retriever.data.documents import Blank, Columns, Document, as_string, file_document, row_document
from uec_retriever.data.files.folder import KINDS, Folder, is_text_file
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.printable import run_problem
from uec_retriever.data.problems import describe, tell_problems
from uec_retriever.data.sources import STANDARD_INPUT, open_source, read_lines, source_name, suffix_of
from uec_retriever.data.splitting import Splitter
from uec_retriever.data.tables import Bad, Row, read_csv, read_parquet
from uec_retriever.data.texts import text_problem
from uec_retriever.data.types import ColumnTypes, check_types
from uec_retriever.errors import CorpusError, InvalidInputError, show

_FORMATS = (".jsonl", ".csv", ".tsv", ".parquet")
_NAMES = 300  # characters of the names that there are, in a message
_MOST = 1_000  # problems, after which reading ends


@dataclass
class Corpus:
    """A corpus on disk, read as a stream as often as needed.

    Attributes:
        path: `.jsonl` (BEIR: `_id`, `title`, `text`, `metadata`), `.csv`, `.tsv`, `.parquet`, each also as `.gz`, a BEIR
            folder, or a folder of files, or one of those (see `files.folder`); `-` for standard input.
        columns: where texts, titles and ids are, in rows.
        suffix: of the format, such as `.csv`; that of the path, or `.jsonl` on standard input, if None.
        types: key of metadata -> its type, one of `types.TYPES`; those of CSV are found where they are not given.
        kept_types: the same, of an earlier corpus: this one need not have the keys, and `types` go before them.
        skip_bad: pass over what cannot be read, instead of refusing the corpus.
        splitter: makes several documents of one that is too long; None to leave them whole.
        whole: number of documents, `split`: that of those in several pieces, `pieces`: that of these; after an iteration.
        skipped: places of documents without any text, after an iteration.
        bad: what cannot be read, and why, after an iteration.
        found_types: column -> type, of a CSV, where they are not strings; after an iteration.
    """

    path: Path
    columns: Columns = field(default_factory=Columns)
    suffix: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    skip_bad: bool = False
    splitter: Splitter | None = None
    skipped: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    found_types: dict[str, str] | None = None
    kept_types: Mapping[str, str] = field(default_factory=dict)
    whole: int = 0
    split: int = 0
    pieces: int = 0

    def __post_init__(self) -> None:
        check_types(self.types)
        for name in ("corpus.jsonl", "corpus.jsonl.gz"):
            if (self.path / name).is_file():
                self.path = self.path / name
                break
        self._folder = Folder(self.path)

    @property
    def _given_types(self) -> dict[str, str]:
        return {**self.kept_types, **self.types}

    @property
    def passed_over(self) -> Mapping[str, list[str]]:
        """Reason -> files of a folder that were left out for it, after an iteration."""
        return self._folder.passed_over

    def may_hold(self, identifier: str) -> bool:
        """Whether a text is from a file that is there and could not be read, after an iteration: it is not known to be gone."""
        return self._folder.unread.holds(identifier)

    def leave_out(self, folder: Path) -> None:
        """Take no notice of what is in a folder within this one, such as that of the index."""
        self._folder.leave_out(folder)

    def check(self) -> None:
        """Refuse, without reading it, what is no corpus.

        Raises:
            CorpusError: if it is not there, or of no format that is read.
        """
        if self.path == STANDARD_INPUT or self.has_files:
            return
        if not self.path.exists():
            raise CorpusError(f"there is no corpus at {self.path}")
        if self._format not in _FORMATS:
            raise CorpusError(
                f"{self.path.name}: give a .jsonl, .csv, .tsv or .parquet file (or one of them as .gz), or {KINDS} files, "
                "or a folder of such"
            )

    def __iter__(self) -> Iterator[Document]:
        """The documents, in order, long ones as their pieces; those without any text are passed over and noted.

        Raises:
            CorpusError: for a file that cannot be read; after the last document, with all that is wrong, each with its
                place, unless `skip_bad`; then also if there is no text at all, or a column was named that no document has.
        """
        self.check()
        self.skipped.clear()
        self.bad.clear()
        self.whole = self.split = self.pieces = 0
        empty, seen = True, dict[str, None]()
        for document in self._documents(seen):
            empty = False
            yield from self._pieces(document)
        self.bad += self._folder.bad
        self._check_bad()
        has_keys = bool(seen) and self._format == ".jsonl" and not self.path.is_dir()
        if not empty or has_keys:  # of a table it is known that the text's column is there
            self._check_columns(seen)
        if empty:
            raise CorpusError(self._why_empty())

    def _documents(self, seen: dict[str, None]) -> Iterator[Document]:
        """The documents whole; the names of what they have are added to those `seen`."""
        for place, make in self._makers(seen):
            try:
                document = make()
            except ValueError as error:
                self._folder.unread.add(place)
                self._note(f"{place}: {error}")
                continue
            if isinstance(document, Blank):
                self.skipped.append(document.id or place)
                continue
            seen.update(dict.fromkeys(document.record.metadata))
            yield document

    def _makers(self, seen: dict[str, None]) -> Iterator[tuple[str, Callable[[], Document | Blank]]]:
        """Place of each document, and what makes it, at once."""
        if self.has_files:
            for file in self._folder:
                yield file.name, functools.partial(file_document, file, self._given_types)
            return
        for place, row in self._rows():
            seen.update(dict.fromkeys(row))
            types = {**(self.found_types or {}), **self._given_types}
            yield place, functools.partial(row_document, row, self.columns, types)

    def _pieces(self, document: Document) -> Iterator[Document]:
        records = [document.record]
        if self.splitter is not None:
            try:
                records = self.splitter.records(document.record, document.markup)
            except InvalidInputError as error:
                self._folder.unread.add(document.record.id)
                self._note(str(error))
                return
        self.whole += 1
        if len(records) == 1:
            yield document
            return
        self.split += 1
        self.pieces += len(records)
        for position, record in enumerate(records):
            title = "" if position else document.title
            yield Document(record, title, record.text.removeprefix(title).strip(), document.markup)

    @property
    def has_files(self) -> bool:
        """Whether its documents are files, whose ids are their names."""
        return self.path != STANDARD_INPUT and (self.path.is_dir() or is_text_file(self.path))

    @property
    def _format(self) -> str:
        return self.suffix or (".jsonl" if self.path == STANDARD_INPUT else suffix_of(self.path))

    def _rows(self) -> Iterator[Row]:
        if self._format == ".jsonl":
            return read_jsonl(self.path, self._note)
        if self._format == ".parquet":
            return read_parquet(self.path, column=self.columns.text)
        if self.found_types is None:
            self.found_types = self._find_types()
        return self._csv(self._note)

    def _csv(self, bad: Bad) -> Iterator[Row]:
        separator = "\t" if self._format == ".tsv" else ","
        return read_csv(self.path, separator=separator, column=self.columns.text, bad=bad)

    def _find_types(self) -> dict[str, str]:
        """Types of a CSV's columns, but for texts, titles and ids."""
        found, own = ColumnTypes(self._given_types), {*vars(self.columns).values(), "id"}
        for _, row in self._csv(lambda _: None):  # which the rows are told with
            found.see({name: value for name, value in row.items() if name not in own})
        return found.found

    def _note(self, problem: str) -> None:
        self.bad.append(problem)
        if len(self.bad) >= _MOST:
            self._check_bad()

    def _check_bad(self) -> None:
        if self.bad and not self.skip_bad:
            raise CorpusError(tell_problems(self.bad, self.path, self.suffix, len(self.bad) >= _MOST))

    def _why_empty(self) -> str:
        where = f"the corpus {source_name(self.path)} is empty: it holds no text"
        if not self.has_files:
            return where
        told = describe(self.passed_over)
        return f"{where} in {KINDS} files, and no corpus.jsonl" + f"; passed over: {told}" * bool(told)

    def _check_columns(self, seen: Iterable[str]) -> None:
        """Refuse what is mistyped, though a document may well lack any of its parts."""
        usual = Columns()
        columns = (
            ("--text-column", self.columns.text, None),
            ("--title-column", self.columns.title, usual.title),
            ("--id-column", self.columns.id, usual.id),
        )
        named = [] if self.has_files else [(o, name) for o, name, default in columns if name != default]
        for option, name in [*named, *(("--types", name) for name in self.types)]:
            if name not in seen:
                raise CorpusError(
                    f"no document of {source_name(self.path)} has {show(name)}, only {show(sorted(seen), _NAMES)}: name what is there "
                    f"({option})"
                )


def read_jsonl(path: Path, bad: Bad | None = None) -> Iterator[Row]:
    """Place and object of each non-empty line.

    Args:
        path: of the file, plain or gzip; a byte order mark is no part of it.
        bad: told of each line that is not a JSON object in UTF-8, which is then passed over; refused if None.

    Raises:
        CorpusError: naming the line that is not a JSON object in UTF-8, without `bad`.
    """
    name = source_name(path)
    with open_source(path) as file:
        for number, line in enumerate(read_lines(file, name), start=1):
            place = f"{name}, line {number}"
            line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if not line.strip():
                continue
            try:
                row = parse_object(line)
            except InvalidInputError as error:
                told = f"{place}: {error}. Repair or remove the line"
                if bad is None:
                    raise CorpusError(told) from error
                bad(told)
                continue
            yield place, row


def read_queries(path: Path) -> Iterator[tuple[str, str]]:
    """Id and text of each query of a BEIR `queries.jsonl`, or of a folder that holds one.

    Raises:
        CorpusError: naming the line, or if the folder holds none.
    """
    file = path / "queries.jsonl" if path.is_dir() else path
    if not file.exists() and file is not path:
        raise CorpusError(
            f"{path} is no BEIR folder of queries: put a queries.jsonl there, with _id and text"
        )
    for place, row in read_jsonl(file):
        try:
            identifier = as_string(row.get("_id", row.get("id")), "_id", numbers=True)
            text = as_string(row.get("text"), "text")
        except InvalidInputError as error:
            raise CorpusError(f"{place}: {error}") from error
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
