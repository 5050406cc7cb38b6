"""What makes a command start fast."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """Import libraries and load models without looking for garbage meanwhile: nearly all that they make stays.

    A collector that looks at it again and again takes a fifth of the time until the first search. Afterwards it passes
    over what was made here.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
