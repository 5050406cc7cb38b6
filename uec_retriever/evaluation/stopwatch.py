"""Seconds by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds by stage; what a stage spends inside another one counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a block."""
        self._inner.append(0.0)
        begun = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - begun
            self.add(stage, elapsed - self._inner.pop())
            self._inner[-1] += elapsed

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
