"""Consoles on which nothing that others wrote can steer the terminal."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from uec_retriever.data.printable import printable

_TOGETHER = 1.0  # seconds


class SafeConsole(Console):
    """A console that shows control characters of what it is given instead of obeying them; its own styles stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is printed, piece by piece."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class ConsoleHandler(logging.Handler):
    """What reaches the root logger, warnings unless more was asked for, as notes on a console."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("note: %(message)s"))
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        try:
            self._console.print(Text(self.format(record)), soft_wrap=True)
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def set_up(console: Console) -> Iterator[None]:
    """While a command runs: log records go through the console, and streams escape what their encoding lacks.

    Args:
        console: on standard error.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    handler, root = ConsoleHandler(console), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


@contextlib.contextmanager
def stop_on_sigterm(code: int) -> Iterator[None]:
    """Have SIGTERM end the program as Ctrl-C does: what is open is closed, and the caller can say a last word.

    One that comes within a second of another changes nothing: `timeout` and the like send several. A later one tries
    again, should a library have caught the first.

    Args:
        code: exit code.
    """
    last = -math.inf

    def stop(number: int, frame: object) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > _TOGETHER:
            raise SystemExit(code)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        ending = last > -math.inf  # then in peace
        signal.signal(signal.SIGTERM, signal.SIG_IGN if ending else before)
