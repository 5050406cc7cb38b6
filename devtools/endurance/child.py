"""A child process that does to an index what it is told, and its end of the pipe in the parent."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any

from devtools.endurance.changes import Change, Place, revised
from devtools.numbered import pairs, sentences
from uec_retriever.engine.check import repair_index
from uec_retriever.engine.engine import Engine
from uec_retriever.errors import UECError
from uec_retriever.experts.expert import Expert

HANGS = 240.0  # seconds after which a call is taken to hang for ever
QUERIES = sentences(4, 2, 5)


class MishapError(Exception):
    """A child crashed, hung, or met an error that it should not."""


@dataclass(frozen=True)
class Reply:
    """What a child says after a command.

    Attributes:
        seconds: that it took.
        value: what it returned.
        error: what it raised, with its traceback.
        ours: the error is one of ours.
        kind: class of the error.
    """

    seconds: float
    value: Any = None
    error: str | None = None
    ours: bool = False
    kind: str | None = None


class Child:
    """A process that runs `target(*arguments, pipe)`.

    Args:
        processes: of the `forkserver` kind.
        target: of a module, with a pipe for its last argument.
        arguments: those before.
    """

    def __init__(self, processes: ForkServerContext, target: Callable[..., None], *arguments: object) -> None:
        self.pipe, theirs = processes.Pipe()
        self.process = processes.Process(target=target, args=(*arguments, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def send(self, message: object) -> None:
        """Tell the child something; it may be dead already, which its reply will show."""
        with contextlib.suppress(OSError):
            self.pipe.send(message)

    def reply(self, *, errors: bool = False) -> Reply:
        """The next reply.

        Args:
            errors: one of our errors is an answer, too.

        Raises:
            MishapError: if there is none, or an error.
        """
        if not self.pipe.poll(HANGS):
            raise MishapError(f"no answer for {HANGS:.0f} s: it hangs")
        try:
            reply: Reply = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(HANGS)
            raise MishapError(f"it crashed with exit code {self.process.exitcode}") from None
        if reply.error is not None and not (errors and reply.ours):
            raise MishapError(reply.error)
        return reply

    def finish(self) -> None:
        """Let it come to its end.

        Raises:
            MishapError: if it does not, or crashes then.
        """
        self.send(None)
        self.process.join(HANGS)
        code = self.process.exitcode
        self.kill()
        if code != 0:
            raise MishapError(
                "it does not end" if code is None else f"it crashed with exit code {code} at its end"
            )

    def kill(self, number: int = signal.SIGKILL) -> Reply | None:
        """Kill it, however often; gives the reply that it had sent already.

        Args:
            number: of the signal.
        """
        if self.process.is_alive():
            (self.process.terminate if number == signal.SIGTERM else self.process.kill)()
            self.process.join()
        last = None
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll(0):
                last = self.pipe.recv()
        self.pipe.close()
        return last


def answer(pipe: Connection, call: Callable[[], Any]) -> None:
    """Send what a call gives, or its error."""
    start = time.monotonic()
    try:
        value = call()
    except Exception as error:
        trace, ours = traceback.format_exc(), isinstance(error, UECError)
        pipe.send(Reply(time.monotonic() - start, None, trace, ours, type(error).__name__))
    else:
        pipe.send(Reply(time.monotonic() - start, value))


def work(place: Place, open_first: bool, pipe: Connection) -> None:
    """In a child process: do one change after the other, each acknowledged, until None comes.

    Args:
        place: of the index.
        open_first: open the index and acknowledge that; otherwise on the first change.
        pipe: changes come in, replies go out.
    """
    logging.getLogger("uec_retriever").addHandler(logging.NullHandler())
    worker = _Worker(place)
    if open_first:
        answer(pipe, worker.open)
    with contextlib.suppress(EOFError):
        while (change := pipe.recv()) is not None:
            answer(pipe, lambda change=change: worker.do(change))  # type: ignore[misc]
    worker.close()


class _Worker:
    def __init__(self, place: Place) -> None:
        self._place = place
        self._engine: Engine | None = None

    def open(self) -> None:
        if self._engine is None:
            self._engine = Engine.open(self._place.location, device="cpu")

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def do(self, change: Change) -> Any:
        if change.kind == "create":
            self._engine = create(self._place)
            return None
        if change.kind == "repair":
            self.close()
            return repair_index(self._place.location, device="cpu").count
        self.open()
        assert self._engine is not None
        if change.kind in ("add", "update", "retell"):
            records = [revised(n, r) for n, r in change.records.items() if r is not None]
            return self._engine.add_records(
                records, existing="refuse" if change.kind == "add" else "replace"
            ).added
        return self._others()[change.kind](self._engine, change)

    def _others(self) -> dict[str, Callable[[Engine, Change], Any]]:
        return {
            "open": lambda engine, change: None,
            "delete": lambda engine, change: engine.delete([f"{n:06}" for n in change.records]),
            "recalibrate": lambda engine, change: _recalibrate(engine, change.temperature),
            "confidence": lambda engine, change: _calibrate_confidence(engine),
            "reindex": lambda engine, change: self._reindex(engine),
            "search": lambda engine, change: len(engine.search_batch(QUERIES, 10)),
        }

    def _reindex(self, engine: Engine) -> int:
        with create(self._place.copy) as target:
            return engine.copy_to(target).added


def create(place: Place) -> Engine:
    """The index of a place, made empty if it is not there."""
    expert = Expert.load(place.model, label="static", device="cpu")
    return Engine.open_or_create(place.location, [expert], pairs())


def _recalibrate(engine: Engine, temperature: float | None) -> None:
    engine.recalibrate(pairs(), temperature=temperature)


def _calibrate_confidence(engine: Engine) -> None:
    engine.calibrate_confidence(pairs(), limit=40)
