"""Relevance judgements (qrels), in the two layouts that are in use: BEIR's and TREC's."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from uec_retriever.data.corpus import read_queries
from uec_retriever.errors import CorpusError

Qrels = dict[str, dict[str, float]]
_DECIMALS = 4


def read_qrels(path: Path) -> Qrels:
    """Judgements of a file.

    A line has query id, record id and judgement (BEIR), or query id, something, record id and judgement (TREC),
    separated by tabs, or by spaces where it has no tab. The first line is a header if its last cell is no number.
    Of a record that is judged twice for a query, the last judgement counts.

    Args:
        path: the file, in UTF-8.

    Returns:
        Query id -> record id -> judgement, in the order of the file: an `int` where it is whole, so that it is
        written as it was read; else a finite `float`. Whatever is above 0 is relevant.

    Raises:
        CorpusError: for a file that cannot be read, or naming the line that is no judgement.
    """
    qrels: Qrels = {}
    for query, record, judgement in _rows(path):
        qrels.setdefault(query, {})[record] = judgement
    return qrels


def read_split(folder: Path, split: str) -> Qrels:
    """Judgements of `qrels/<split>.tsv` in a BEIR folder (see `read_qrels`).

    Raises:
        CorpusError: if there is no such split, or naming the line that is no judgement.
    """
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file():
        found = sorted(p.stem for p in (folder / "qrels").glob("*.tsv"))
        raise CorpusError(f"there is no split {split!r} ({path}): {folder} has {found or 'none'}")
    return read_qrels(path)


def read_relevant(queries: Path, qrels: Path) -> dict[str, set[str]]:
    """Query text -> ids of its relevant records, none for a query whose records are all judged irrelevant.

    Args:
        queries: BEIR `queries.jsonl`, or its folder.
        qrels: a file as `read_qrels` takes it.

    Raises:
        CorpusError: naming the line, or if no query is judged.
    """
    judged = read_qrels(qrels)
    relevant: dict[str, set[str]] = {}
    for identifier, text in read_queries(queries):
        if identifier in judged:
            right = {record for record, judgement in judged[identifier].items() if judgement > 0}
            relevant.setdefault(text, set()).update(right)
    if not relevant:
        raise CorpusError(f"none of the queries in {queries} has a label in {qrels}: do their ids agree?")
    return relevant


def whole_judgements(judgements: Mapping[str, float]) -> dict[str, int]:
    """A query's judgements as whole numbers, for trec_eval, which takes no others.

    Fractions are multiplied by the smallest power of ten that makes all of them whole, 10,000 at most. Measures with
    linear gains do not change by a factor, and what is relevant (above 0) stays so.

    Args:
        judgements: record id -> judgement of one query.
    """
    for decimals in range(_DECIMALS + 1):
        scaled = {record: judgement * 10**decimals for record, judgement in judgements.items()}
        if all(math.isclose(value, round(value)) for value in scaled.values()):
            break
    return {record: max(round(value), 1) if value > 0 else round(value) for record, value in scaled.items()}


def _rows(path: Path) -> Iterator[tuple[str, str, float]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            header_may_come = True
            for row in reader:
                cells = row if len(row) > 1 else "".join(row).split()
                if not any(cell.strip() for cell in cells):
                    continue
                judgement = _number(cells[-1])
                is_header = header_may_come and not _is_number(cells[-1])
                header_may_come = False
                if is_header:
                    continue
                if judgement is None or len(cells) not in (3, 4) or not (cells[0] and cells[-2]):
                    raise CorpusError(
                        f"{path}, line {reader.line_num}: expected query-id, corpus-id and score (TREC: query-id, 0, "
                        "corpus-id and score), tab-separated, the score a finite number"
                    )
                yield cells[0], cells[-2], int(judgement) if judgement.is_integer() else judgement
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"cannot read {path}: {error}") from error


def _is_number(cell: str) -> bool:
    """NaN and infinity are numbers, though no judgements."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str) -> float | None:
    value = float(cell) if _is_number(cell) else math.nan
    return value if math.isfinite(value) else None
