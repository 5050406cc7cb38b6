"""What a forked child must forget: locks of its parent's, and its parent's Chroma, whose threads it has not got."""

from __future__ import annotations

import os
from collections.abc import Callable


def after_fork(forget: Callable[[], None]) -> None:
    """Have something called in every forked child, where the system forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)
