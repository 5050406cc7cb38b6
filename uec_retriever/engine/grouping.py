"""Documents found by their pieces: each by the best of its pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from uec_retriever.errors import InvalidInputError, show

if TYPE_CHECKING:
    from uec_retriever.data.records import Record
    from uec_retriever.gaussian import Array

GroupBy = Literal["document"]
PIECES = 4  # candidates for each document that is asked for, as many times as for a text


def check_group_by(group_by: object, coverage: float | None) -> None:
    """Refuse what hits cannot be grouped by.

    Raises:
        InvalidInputError: naming what there is; beside `coverage`, which counts texts.
    """
    if group_by is None:
        return
    if group_by not in get_args(GroupBy):
        raise InvalidInputError(f"group_by must be one of {list(get_args(GroupBy))}, got {show(group_by)}")
    if coverage is not None:
        raise InvalidInputError("coverage promises that a right text is among the hits: leave out group_by")


def document_of(record: Record) -> str:
    """Id of the document that a record is, or is a piece of."""
    return record.source or record.id


def grouped(
    group_by: GroupBy | None, records: Sequence[Record], raw: Array, among: Sequence[int]
) -> Sequence[int]:
    """Rows of the best piece of each document, in the order of the rows; all that count, if nothing is grouped.

    Args:
        group_by: what they are grouped by.
        records: m candidates.
        raw: `[m]` their scores.
        among: the rows that count.
    """
    if group_by is None:
        return among
    best: dict[str, int] = {}
    for row in among:
        document = document_of(records[row])
        if document not in best or raw[row] > raw[best[document]]:
            best[document] = row
    return sorted(best.values())
