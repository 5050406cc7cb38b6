"""What a text says of itself: headings, a title."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Markup = Literal["plain", "markdown", "rst"]
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ADORNMENT = re.compile(r"""([!-/:-@\[-`{-~])\1{2,}[ \t]*""")
_LINK = re.compile(
    r"!?\[([^\[\]]*)\]\((?:[^()]|\([^()]*\))*\)"
)  # none within, so that it is found in linear time
_EMPHASIS = re.compile(r"[*`]+")
_LONGEST = 200  # characters of a title


@dataclass(frozen=True)
class Heading:
    """A heading of a text.

    Attributes:
        start: characters before it.
        level: 1 for the highest.
        title: what it says, without marks; of a very long one the beginning.
    """

    start: int
    level: int
    title: str


def headings_of(text: str, markup: Markup) -> list[Heading]:
    """The headings of a text, in order; none of a plain one."""
    if markup == "plain":
        return []
    return list((_in_markdown if markup == "markdown" else _in_rst)(text))


def title_of(headings: list[Heading]) -> str:
    """What the first heading of the highest level that there is says; "" without any."""
    highest = min((heading.level for heading in headings), default=0)
    return next((heading.title for heading in headings if heading.level == highest), "")


class Outline:
    """The headings of a text as paths.

    Args:
        headings: in order.
    """

    def __init__(self, headings: list[Heading]) -> None:
        self.starts = [heading.start for heading in headings]
        self._paths: list[str] = []
        above: list[Heading] = []
        for heading in headings:
            above = [other for other in above if other.level < heading.level] + [heading]
            self._paths.append(" > ".join(each.title for each in above if each.title))

    def at(self, start: int) -> str:
        """The headings that the character at `start` stands under, highest first, as "A > B"."""
        i = bisect_right(self.starts, start)
        return self._paths[i - 1] if i else ""


def _in_markdown(text: str) -> Iterator[Heading]:
    fence, before, start = "", "", 0
    previous = 0
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        if match := _FENCE.match(bare):
            if not fence:
                fence = match[1]
            elif match[1].startswith(fence) and not bare.strip().strip(fence[0]):
                fence = ""
            before = ""
        elif fence:
            before = ""
        elif match := _HEADING.match(bare):
            yield Heading(start, len(match[1]), _plain(_without_closing(bare[match.end() :])))
            before = ""
        elif before and (match := _UNDERLINE.fullmatch(bare)):
            yield Heading(previous, 1 if match[1][0] == "=" else 2, _plain(before))
            before = ""
        else:  # a line of a list, a table or a quotation is no heading
            before = "" if bare.startswith(("    ", "\t", ">", "|", "- ", "* ", "+ ")) else bare.strip()
        previous, start = start, start + len(line)


def with_markdown_headings(text: str) -> str:
    """A text in reStructuredText, of the same length, whose headings are Markdown's: two levels, no lines above them."""
    lines = text.splitlines(keepends=True)
    for title, level, over in _rst_titles(lines):
        lines[title + 1] = _redrawn(lines[title + 1], "=" if level == 1 else "-")
        if over:
            lines[title - 1] = _redrawn(lines[title - 1], " ")
    return "".join(lines)


def _redrawn(line: str, mark: str) -> str:
    return re.sub(r"\S", mark, line)


def _in_rst(text: str) -> Iterator[Heading]:
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for title, level, _ in _rst_titles(lines):
        yield Heading(starts[title], level, _plain(lines[title].strip()))


def _rst_titles(lines: list[str]) -> Iterator[tuple[int, int, bool]]:
    """Number of the line of each title, its level, and whether there is a line above it as there is one below."""
    levels: dict[tuple[str, bool], int] = {}
    bare = [line.rstrip() for line in lines]
    for i in range(1, len(bare)):
        title, line = bare[i - 1], bare[i]
        if not title.strip() or not _ADORNMENT.fullmatch(line) or len(line) < len(title.strip()):
            continue
        if _ADORNMENT.fullmatch(title):
            continue
        over = i >= 2 and bare[i - 2] == line
        if not over and (title.startswith((" ", "..")) or (i >= 2 and bare[i - 2])):
            continue  # the end of a paragraph or of a table
        yield i - 1, levels.setdefault((line[0], over), len(levels) + 1), over


def _without_closing(title: str) -> str:
    """A title without the `##` that may end it, which a blank parts from it: that of `C#` stays."""
    title = title.strip(" \t")
    bare = title.rstrip("#")
    return bare if not bare or bare.endswith((" ", "\t")) else title


def _plain(title: str) -> str:
    for _ in range(2):  # of a link that is a picture, too
        title = _LINK.sub(r"\1", title)
    title = " ".join(_EMPHASIS.sub("", title).split())
    return title if len(title) <= _LONGEST else f"{title[: _LONGEST - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"
