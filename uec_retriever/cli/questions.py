"""Questions for `uec search --queries`: from a file, or one after another from standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from uec_retriever.checks.json_text import parse_object
from uec_retriever.cli.common import WrongUsageError, errors
from uec_retriever.data.printable import run_problem
from uec_retriever.data.sources import STANDARD_INPUT, open_source, source_name
from uec_retriever.data.texts import text_problem
from uec_retriever.errors import CorpusError, InvalidInputError, show

_MARK = b"\xef\xbb\xbf"  # of UTF-8, at the beginning of a file


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        id: as given, or the number of its line.
        text: non-empty.
    """

    id: str
    text: str


@dataclass(frozen=True)
class Unreadable:
    """A line that holds no question.

    Attributes:
        line: its number, from 1.
        problem: what is wrong with it.
        id: that the line gives, if it can be read.
    """

    line: int
    problem: str
    id: str | None = None


def read_questions(path: Path) -> list[Question]:
    """All questions of a file, or of the `queries.jsonl` of a BEIR folder.

    Raises:
        CorpusError: naming the first line that holds none; for a file without any.
    """
    path = path / "queries.jsonl" if path.is_dir() else path
    found = []
    with open_source(path) as file:
        for number, line in enumerate(file, start=1):
            read = parse_question(line, number)
            if isinstance(read, Unreadable):
                raise CorpusError(
                    f"{source_name(path)}, line {number}: {read.problem}. Repair or remove the line"
                )
            found += [] if read is None else [read]
    if not found:
        raise CorpusError(f"{source_name(path)} is empty: it holds no question")
    return found


def check_run_ids(questions: Sequence[Question]) -> None:
    """Refuse questions whose ids a TREC run cannot hold, or cannot tell apart.

    Raises:
        CorpusError: naming the id.
    """
    seen = set()
    for question in questions:
        problem = run_problem(question.id) if question.id else "is empty"
        if problem:
            raise CorpusError(
                f"the id {show(question.id)} of a question {problem}, which a TREC run cannot hold"
            )
        if question.id in seen:
            raise CorpusError(
                f"two questions have the id {show(question.id)}, and a TREC run tells them by it: give each its own '_id'"
            )
        seen.add(question.id)


def listen() -> Iterator[Question | Unreadable]:
    """The questions on standard input, each as soon as its line is there, to the end of the input."""
    if sys.stdin is None:
        raise WrongUsageError("--queries - reads questions from standard input, which is closed")
    if sys.stdin.isatty():
        errors.print("One question a line; Ctrl-D ends.")
    for number, line in enumerate(sys.stdin.buffer, start=1):
        read = parse_question(line, number)
        if read is not None:
            yield read


def parse_question(line: bytes, number: int) -> Question | Unreadable | None:
    """The question on a line: its text, or a JSON object with `text` and perhaps `_id`. None for a blank line.

    Args:
        line: in UTF-8.
        number: of the line, from 1.
    """
    line = line.removeprefix(_MARK) if number == 1 else line
    try:
        plain = line.decode().strip()
        if not plain:
            return None
        row = parse_object(plain) if plain.startswith("{") else {"text": plain}
    except UnicodeDecodeError:
        return Unreadable(number, "is not UTF-8")
    except InvalidInputError as error:
        return Unreadable(number, f"begins with {{, but is no JSON object: {error}")
    text, identifier = row.get("text"), row.get("_id", row.get("id", number))
    if isinstance(identifier, bool) or not isinstance(identifier, str | int):
        return Unreadable(number, f"'_id' is {type(identifier).__name__}, not a string")
    told = str(identifier) if row.keys() & {"_id", "id"} else None
    if text is None:
        return Unreadable(number, "has no 'text'", told)
    if problem := text_problem(text):
        return Unreadable(number, f"'text' {problem}", told)
    return Question(str(identifier), str(text))


def is_standard_input(path: Path | None) -> bool:
    """Whether questions come one after another."""
    return path == STANDARD_INPUT


def check_asked(query: str | None, queries: Path | None, more: Sequence[str] = ()) -> None:
    """Refuse none and both.

    Args:
        query: one.
        queries: file of several.
        more: what was typed behind the query, which is part of it if somebody forgot the quotes.

    Raises:
        WrongUsageError: also for a query that is blank.
    """
    if more:
        whole = " ".join([str(query), *more])
        raise WrongUsageError(f'put the question in quotes: "{whole}"')
    if (query is None) == (queries is None):
        raise WrongUsageError('give a query, "in quotes", or --queries FILE, one of them')
    if query is not None and not query.strip():
        raise WrongUsageError('the query is empty: give a question, "in quotes"')
    if query is not None and (problem := text_problem(query)):
        raise WrongUsageError(f"the query {problem}")
