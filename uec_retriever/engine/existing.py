"""What becomes of a record whose id is in the index with other content: one rule for all who add texts."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Literal, ParamSpec, TypeVar, get_args

from uec_retriever.errors import InvalidInputError, show

Existing = Literal["replace", "refuse", "skip"]
"""The new record takes its place; IdConflictError is raised, and what came before it stays added; the old one stays."""
_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


def check_existing(existing: object) -> None:
    """Refuse what is no such rule.

    Raises:
        InvalidInputError: naming those that there are.
    """
    if existing not in get_args(Existing):
        raise InvalidInputError(f"existing must be one of {list(get_args(Existing))}, got {show(existing)}")


def accepts_update(function: Callable[_Given, _Answer]) -> Callable[_Given, _Answer]:
    """Have a function with `existing` take `update` too, as it was called before: True for replace, False for refuse."""

    @functools.wraps(function)
    def call(*args: _Given.args, **options: _Given.kwargs) -> _Answer:
        if "update" in options:
            existing = "replace" if options.pop("update") else "refuse"
            warnings.warn(
                f"update= is deprecated: say existing={existing!r}, or leave it out to replace",
                DeprecationWarning,
                stacklevel=2,
            )
            options.setdefault("existing", existing)
        return function(*args, **options)

    return call
