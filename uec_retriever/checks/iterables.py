"""What can be gone through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard


def is_iterable(values: object) -> TypeGuard[Iterable[Any]]:
    """Whether it can be gone through. An array without dimensions has `__iter__`, and cannot."""
    try:
        iter(values)  # type: ignore[call-overload]
    except TypeError:
        return False
    return True
