"""What is said of a corpus: all that is bad in it at once, and what was passed over."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from uec_retriever.data.sources import STANDARD_INPUT, source_name

_SHOWN = 20  # problems in a message
_SUFFIXES = 8  # of files of no kind that is read
_OF_A_SUFFIX = re.compile(r"(.*) \((\.\S+|no suffix)\)")


def tell_problems(bad: Sequence[str], path: Path, suffix: str | None, more: bool) -> str:
    """What a corpus is refused with.

    Args:
        bad: its problems, at least one.
        path: of the corpus.
        suffix: of the format that was asked for, if any was.
        more: whether there may be others.
    """
    if path == STANDARD_INPUT and suffix is None and "not JSON" in bad[0]:
        return f"{bad[0]}; what is no JSON Lines needs --format, such as --format csv (plain texts are read from files)"
    if len(bad) == 1:
        return f"{bad[0]} (--skip-bad passes over what cannot be read)"
    number = f"{len(bad):,}{' or more' * more}"
    hidden = len(bad) - _SHOWN
    lines = [
        f"{number} problems in {source_name(path)}: repair them, or pass over what cannot be read (--skip-bad)",
        *(f"  {problem}" for problem in bad[:_SHOWN]),
        *[f"  ... and {hidden} more"] * (hidden > 0),
    ]
    return "\n".join(lines)


def describe(passed_over: Mapping[str, Sequence[str]]) -> str:
    """How many files were left out, for each reason, the most first; those that differ in the suffix alone together."""
    numbers: dict[str, int] = {}
    suffixes: dict[str, dict[str, int]] = {}
    for reason, names in passed_over.items():
        found = _OF_A_SUFFIX.fullmatch(reason)
        common = found[1] if found else reason
        numbers[common] = numbers.get(common, 0) + len(names)
        if found:
            suffixes.setdefault(common, {})[found[2]] = len(names)
    told = []
    for reason, number in sorted(numbers.items(), key=lambda item: -item[1]):
        those = sorted(suffixes.get(reason, {}).items(), key=lambda item: -item[1])
        listed = ", ".join(suffix for suffix, _ in those[:_SUFFIXES]) + ", ..." * (len(those) > _SUFFIXES)
        told.append(f"{number} {reason}" + f" ({listed})" * bool(those))
    return ", ".join(told)
