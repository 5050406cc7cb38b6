"""Which files of a folder are read: no hidden ones, none that `.gitignore` names, no links out of it."""

from __future__ import annotations

import errno
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

_IGNORE = ".gitignore"
_HIDDEN, _IGNORED = "hidden", "named in .gitignore"
ON_PURPOSE = (_HIDDEN, _IGNORED)
"""Reasons that say that a file is no part of the corpus, and not only that it cannot be read."""
Note = Callable[[str, str], None]
"""Called with a reason and the name of what is passed over for it."""


def walk(folder: Path, pass_over: Note, bad: Note) -> Iterator[tuple[str, Path]]:
    """Name within the folder, and path, of each regular file, in the order of their names.

    Folders are not followed through links, so that there are no loops; a file may be a link to one within the folder.

    Args:
        folder: to walk, of any depth.
        pass_over: told of what is left out on purpose; of a folder once, its name ending in `/`.
        bad: told of what cannot be read, and why.
    """
    top = os.path.realpath(folder)
    left = [_Level(*_entries(folder, "", [], bad))]
    while left:
        level = left[-1]
        if (entry := next(level.entries, None)) is None:
            left.pop()
            continue
        name = level.prefix + entry.name
        try:
            directory = entry.is_dir(follow_symlinks=False)
            shown = name + "/" * directory
            if reason := _reason(entry, shown, level.rules, top):
                pass_over(reason, shown)
            elif directory:
                left.append(_Level(*_entries(Path(entry.path), shown, level.rules, bad)))
            else:
                yield name, Path(entry.path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):
                pass_over("link to nothing", name)
            else:
                bad(error.strerror or str(error), name)


Rules = list[tuple[str, GitIgnoreSpec]]
"""The files of rules above a place: what the names are under, and theirs."""


@dataclass(frozen=True)
class _Level:
    """A folder that is being walked: what is left of it, how its names begin, the rules for it."""

    entries: Iterator[os.DirEntry[str]]
    prefix: str
    rules: Rules


def _entries(
    folder: Path, prefix: str, rules: Rules, bad: Note
) -> tuple[Iterator[os.DirEntry[str]], str, Rules]:
    """What is in a folder, in order, and the rules that hold there; nothing of one that cannot be read."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        if any(entry.name == _IGNORE and entry.is_file() for entry in entries):
            lines = (folder / _IGNORE).read_text(encoding="utf-8", errors="replace").splitlines()
            rules = [*rules, (prefix, _rules_of(lines))]
    except OSError as error:
        bad(error.strerror or str(error), prefix or str(folder))
        return iter(()), prefix, rules
    return iter(entries), prefix, rules


def _rules_of(lines: Iterable[str]) -> GitIgnoreSpec:
    """The rules of a file; lines that are none are passed over, as by git."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of brackets within brackets
        return GitIgnoreSpec.from_lines([line for line in lines if _is_rule(line)])


def _is_rule(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return True


def _reason(entry: os.DirEntry[str], shown: str, rules: Rules, top: str) -> str | None:
    """Why an entry is left out; None if it is not. `top` is the folder, without links."""
    if entry.name.startswith("."):
        return _HIDDEN
    if _is_ignored(shown, rules):
        return _IGNORED
    if shown.endswith("/"):
        return None
    if entry.is_dir():
        return "link to a folder"
    if not stat.S_ISREG(entry.stat().st_mode):
        return "of no regular kind"
    within = not entry.is_symlink() or os.path.realpath(entry.path).startswith(os.path.join(top, ""))
    return None if within else "link out of the folder"


def _is_ignored(name: str, rules: Rules) -> bool:
    """The last file of rules that says something of it counts, as with git."""
    for prefix, spec in reversed(rules):
        found = spec.check_file(name.removeprefix(prefix)).include
        if found is not None:
            return found
    return False
