"""Open files and threads of this process, for tests of what is let go of."""

from __future__ import annotations

import gc
import os
import time

_STILL = 1.0  # seconds without a change, after which Chroma's threads have ended that were to end


def handles() -> tuple[int, int]:
    """How many files are open and threads alive, once garbage is collected and threads that end have ended (Linux)."""
    gc.collect()
    seen, since = _count(), time.monotonic()
    while time.monotonic() - since < _STILL:
        time.sleep(0.05)
        if (now := _count()) != seen:
            seen, since = now, time.monotonic()
    return seen


def _count() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
