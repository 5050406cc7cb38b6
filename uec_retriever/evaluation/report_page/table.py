"""What a table is, and how values look in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uec_retriever.evaluation.report_page.place import is_number
from uec_retriever.evaluation.report_page.side_by_side import Cell, is_clear

NOTHING = "–"


@dataclass(frozen=True)
class Entry:
    """A cell as it is shown.

    Attributes:
        text: a number, usually.
        interval: `[low, high]`, or empty.
        clear: whether the paired interval of the difference to the baseline leaves out 0.
        best: whether it is the highest of its column, upper bounds aside.
    """

    text: str = NOTHING
    interval: str = ""
    clear: bool = False
    best: bool = False

    def __str__(self) -> str:
        return f"{self.text}{'*' if self.clear else ''}{f' {self.interval}' if self.interval else ''}"


@dataclass(frozen=True)
class Row:
    """A line of a table: its label, the kind of method (for its colour; empty for none), its cells."""

    label: str
    entries: tuple[Entry, ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: for markers in Markdown, unique in a result.
        title: of the table.
        columns: headings; the first is that of the rows' labels.
        rows: each with one cell fewer than there are columns.
        notes: what the signs in it mean.
        minor: whether the page folds it away.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    minor: bool = False


def number(value: Any, digits: int = 3) -> str:
    """A value for people: floats rounded, what is not there or not finite as a dash."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None or not is_number(value):
        return str(value) if isinstance(value, bool) else NOTHING
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def entry(cell: Cell | None, best: bool = False) -> Entry:
    """A cell with its interval."""
    if cell is None:
        return Entry()
    return Entry(number(float(cell["mean"])), interval(cell), is_clear(cell), best)


def star_note(baseline: str) -> str:
    """What `*` means."""
    return f"* the paired 95 % interval of the difference to {baseline} leaves out 0"


def interval(cell: Mapping[str, Any], sign: str = "", digits: int = 3) -> str:
    """The interval of a cell or difference; empty if it has none.

    Args:
        cell: with `low` and `high`.
        sign: format of the sign, `+z` for differences.
        digits: after the point.
    """
    if not (is_number(cell.get("low")) and is_number(cell.get("high"))):
        return ""
    return f"[{cell['low']:{sign}.{digits}f}, {cell['high']:{sign}.{digits}f}]"
