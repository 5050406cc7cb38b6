"""Which beginnings of sequences to compute once, and what to run together. Pure: no model, no tensors.

Sorted sequences with equal beginnings (instructions, a passage asked several questions, a question with several
answers) stand side by side: a forest, whose inner nodes are beginnings that several sequences go on from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Segment:
    """A stretch of tokens that goes on from another one.

    Attributes:
        tokens: at least one.
        depth: tokens before it.
        parent: number of the segment that it goes on from, or None.
        sequence: number of the sequence that ends with it, or None for a shared beginning.
    """

    tokens: Tokens
    depth: int
    parent: int | None
    sequence: int | None


def forest(inputs: Sequence[Tokens], shareable: Sequence[int], min_saving: int | None) -> list[Segment]:
    """Segments that make up the sequences, parents before their children.

    Args:
        inputs: sorted sequences, each at least one token.
        shareable: how many tokens of each may be shared at most, fewer than it has.
        min_saving: tokens that a shared beginning must save to be worth a segment; None never shares.
    """
    common = [0] + [
        min(_common(inputs[i - 1], inputs[i]), shareable[i - 1], shareable[i]) for i in range(1, len(inputs))
    ]
    segments: list[Segment] = []
    stack: list[tuple[int, int, int | None]] = [(0, len(inputs), None)] if inputs else []
    while stack:
        low, high, parent = stack.pop()
        depth = 0 if parent is None else segments[parent].depth + len(segments[parent].tokens)
        if high - low == 1 or min_saving is None:
            segments += [Segment(inputs[i][depth:], depth, parent, i) for i in range(low, high)]
            continue
        shared = min(common[low + 1 : high])
        if (high - low - 1) * (shared - depth) >= max(1, min_saving):
            segments.append(Segment(inputs[low][depth:shared], depth, parent, None))
            parent = len(segments) - 1
        cuts = [low, *(i for i in range(low + 1, high) if common[i] <= shared), high]
        stack += [(a, b, parent) for a, b in zip(cuts[:-1], cuts[1:], strict=True)][::-1]
    return segments


def parts(segments: Sequence[Segment], tokens: int) -> Iterator[list[Segment]]:
    """Parts of a forest of up to `tokens` tokens each; what several of them go on from is in each of them.

    A part may be larger if one sequence alone is. It ends where little has to be repeated, at least half full.

    Args:
        segments: of `forest`.
        tokens: at least 1.
    """
    paths = [_path(segments, number) for number, s in enumerate(segments) if s.sequence is not None]
    start = 0
    while start < len(paths):
        seen: set[int] = set()
        used, stop = 0, start
        cuts: list[tuple[int, int]] = []  # tokens repeated by ending before a leaf, and minus its number
        while stop < len(paths):
            old = sum(len(segments[number].tokens) for number in paths[stop] if number in seen)
            new = sum(len(segments[number].tokens) for number in paths[stop]) - old
            if stop > start and 2 * used >= tokens:
                cuts.append((old, -stop))
            if stop > start and used + new > tokens:
                break
            seen.update(paths[stop])
            used += new
            stop += 1
        end = stop if stop == len(paths) else -min(cuts, default=(0, -stop))[1]
        yield _part(segments, paths[start:end])
        start = end


def _path(segments: Sequence[Segment], number: int) -> list[int]:
    """A segment and all that it goes on from, the first one first."""
    found = [number]
    while (parent := segments[found[-1]].parent) is not None:
        found.append(parent)
    return found[::-1]


def _part(segments: Sequence[Segment], paths: Sequence[list[int]]) -> list[Segment]:
    """The segments of some paths, renumbered."""
    numbers: dict[int, int] = {}
    for path in paths:
        for number in path:
            numbers.setdefault(number, len(numbers))
    return [
        replace(s, parent=None if s.parent is None else numbers[s.parent])
        for s in (segments[number] for number in numbers)
    ]


def _common(one: Tokens, other: Tokens) -> int:
    """Length of the common beginning."""
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return number
    return min(len(one), len(other))
