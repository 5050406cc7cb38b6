"""English texts that every machine has: the documentation strings of the Python standard library."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from uec_retriever.data.pairs import STANDARD_LIBRARY, CalibrationPairs, PairSampler
from uec_retriever.errors import InvalidInputError

_SKIPPED = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "site-packages",
    "ensurepip",
    "encodings",
    "pydoc_data",
}
_SHORTEST, _LONGEST = 40, 1000  # characters


def standard_library_docstrings(pattern: str = "**/*.py") -> Iterator[tuple[str, str]]:
    """Name and documentation of public functions and classes, read from source without importing any.

    Args:
        pattern: which files of the library, as `Path.glob` takes it.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(library.glob(pattern)):
        parts = file.relative_to(library).with_suffix("").parts
        if any(part in _SKIPPED or (part.startswith("_") and part != "__init__") for part in parts):
            continue
        module = ".".join(part for part in parts if part != "__init__")
        try:
            tree = _parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in tree.body:
            if (
                isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
                and node.name[0] != "_"
            ):
                text = ast.get_docstring(node) or ""
                if len(text) >= _SHORTEST:
                    yield f"{module}.{node.name}", text[:_LONGEST]


def _parse(source: bytes) -> ast.Module:
    """A source's tree; CPython 3.11 fails if garbage is collected meanwhile (its issue 106905): then once more."""
    try:
        return ast.parse(source)
    except SystemError:
        return ast.parse(source)


def docstring_pairs(limit: int = 160) -> CalibrationPairs:
    """Calibration pairs for when there is no corpus yet: first sentence and rest of documentation strings.

    They say little about the user's domain: recalibrate when there is a corpus.

    Args:
        limit: at most this many.

    Raises:
        InvalidInputError: if this Python comes without its library's sources.
    """
    sampler = PairSampler(limit)
    for _, text in standard_library_docstrings("[a-p]*.py"):
        sampler.offer(text)
    try:
        pairs = sampler.pairs()
    except InvalidInputError as error:
        raise InvalidInputError(
            "there are too few texts to calibrate on, and this Python has no library sources to use instead: "
            "give calibration pairs"
        ) from error
    return CalibrationPairs(pairs.queries, pairs.positives, STANDARD_LIBRARY)
