"""Tables of results in Markdown, and the regions of a text that hold them."""

from __future__ import annotations

import re
from collections.abc import Callable

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.report_page import Result
from uec_retriever.evaluation.report_page.tables import Table, tables

_MOST_INTERVALS = 8  # columns side by side
_MARKER = re.compile(r"<!-- (/?)results:([\w./-]+) -->")


def markdown_table(table: Table) -> str:
    """A table by itself, with its notes; in several parts if intervals make it too wide to read."""
    wide = any(entry.interval for row in table.rows for entry in row.entries)
    most = _MOST_INTERVALS if wide else max(1, len(table.columns))
    parts = []
    for start in range(1, max(2, len(table.columns)), most):
        heads = table.columns[start : start + most]
        rows = [_line((r.label, *map(str, r.entries[start - 1 : start - 1 + most]))) for r in table.rows]
        parts.append("\n".join([_line((table.columns[0], *heads)), "|" + "---|" * (len(heads) + 1), *rows]))
    return "\n\n".join([*parts, *(_plain(f"{note.rstrip('.')}.") for note in table.notes)])


def markdown(result: Result, name: str | None = None) -> str:
    """Tables of a result under their titles, and where they come from.

    Args:
        result: that was checked.
        name: of one table; all but the minor ones if None.

    Raises:
        InvalidInputError: if there is no table of that name; says which there are.
    """
    every = tables(result)
    chosen = [t for t in every if (not t.minor if name is None else t.name == name)]
    if not chosen:
        known = ", ".join(t.name for t in every)
        raise InvalidInputError(f"{result.name} has no table {name!r}, only {known}")
    parts = [f"**{_plain(t.title)}**\n\n{markdown_table(t)}" for t in chosen]
    return "\n\n".join([*parts, source(result)])


def source(result: Result) -> str:
    """Command, commit, seed and split of a result, in a sentence."""
    content = result.content
    split = f", {_plain(str(content['split']))} split" if content.get("split") else ""
    commit = _plain(str(content["commit"] or "unknown"))
    command = str(content["command"]).replace("`", "'").replace("\n", " ")
    return f"(`{command}`, commit {commit}, seed {content['seed']}{split})"


def rewrite_regions(text: str, fill: Callable[[str], str]) -> str:
    """A text with everything between `<!-- results:NAME -->` and `<!-- /results:NAME -->` written anew.

    Args:
        text: Markdown.
        fill: NAME -> what stands there.

    Raises:
        InvalidInputError: for a marker without its counterpart.
    """
    parts: list[str] = []
    position = 0
    begun: re.Match[str] | None = None
    for marker in _MARKER.finditer(text):
        closes, name = marker.groups()
        if bool(closes) != (begun is not None) or (begun is not None and begun[2] != name):
            raise InvalidInputError(
                f"the marker {marker[0]} has no counterpart: write <!-- results:{name} --> and <!-- /results:{name} -->"
            )
        if begun is None:
            parts.append(text[position : marker.end()])
            begun = marker
        else:
            parts.append(f"\n\n{fill(name).strip()}\n\n{marker[0]}")
            begun = None
        position = marker.end()
    if begun is not None:
        raise InvalidInputError(
            f"the marker {begun[0]} has no counterpart: write <!-- /results:{begun[2]} -->"
        )
    return "".join([*parts, text[position:]])


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """Text that is no markup: one line, no cell borders, no tags."""
    line = " ".join(text.split())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
