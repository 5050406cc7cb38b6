"""Kill a process that works on an index, again and again, and look each time whether the index bears it."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.context import ForkServerContext
from pathlib import Path

from devtools.endurance.changes import RETOLD, Change, Place, Revisions
from devtools.endurance.child import Child, MishapError, create, work
from devtools.endurance.inspection import Expectation, Inspection, inspect
from uec_retriever.engine.engine import Engine

SAVE = 1000  # Chroma saves its graph at every so many changes
_GRAPH_FILES = ("header.bin", "data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle")
_POLL = 0.0003
_LATER = 0.003  # at most so many seconds after a file has changed
_ATTEMPTS = 4
_TERMINATE = 0.2  # of the kills, by SIGTERM
_LOST = 0.5  # of the kills while the index is opened, without its graph
Strike = tuple[str, bool]  # kind of the change in flight, aimed at Chroma's saving of its graph
# how often each comes in a round
STRIKES: dict[Strike, int] = {
    ("add", False): 4,
    ("add", True): 6,
    ("update", False): 4,
    ("update", True): 6,
    ("retell", False): 1,
    ("delete", False): 3,
    ("delete", True): 2,
    ("recalibrate", False): 1,
    ("confidence", False): 1,
    ("reindex", False): 1,
    ("reindex", True): 1,
    ("repair", False): 1,
    ("repair", True): 1,
    ("open", False): 3,
    ("open", True): 3,
    ("search", False): 1,
    ("create", False): 1,
}


@dataclass
class Tally:
    """What kills of one kind did.

    Attributes:
        kills: by SIGKILL and SIGTERM.
        terminated: by SIGTERM.
        acknowledged: changes that were in the index before the kills.
        saving: kills that came as Chroma was saving its graph.
        graphs_made_anew: openings afterwards that found a graph torn or lost.
        longest_opening: of these openings, in seconds.
        problems: that were found.
    """

    kills: int = 0
    terminated: int = 0
    acknowledged: int = 0
    saving: int = 0
    graphs_made_anew: int = 0
    longest_opening: float = 0.0
    problems: int = 0


@dataclass
class Siege:
    """An index that is attacked.

    Attributes:
        place: where it is to be.
        processes: of the `forkserver` kind, so that a child starts fast and inherits nothing.
        generator: draws everything.
        count: records, about.
        tallies: what was done.
        problems: what was found, a sentence each.
    """

    place: Place
    processes: ForkServerContext
    generator: random.Random
    count: int
    tallies: dict[str, Tally] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._revisions: Revisions = {}
        self._copied: Revisions = {}
        self._highest: Revisions = {}
        self._seconds = {"open": 1.0, "create": 0.8, "repair": 2.0, "reindex": 3.0}
        with create(self.place) as engine:
            self._temperature = engine.manifest.temperature
        child = Child(self.processes, work, self.place, True)
        child.reply()
        self._do(child, Change("add", {n: self._next(n) for n in range(self.count)}))
        child.finish()

    def run(self, strikes: Sequence[Strike], *, check: int, compare: int) -> None:
        """Strike, look, repeat.

        Args:
            strikes: one after the other.
            check: after so many, and at the end, every text is searched for by its own vector.
            compare: after so many, and at the end, answers are compared with those of an untouched index.
        """
        for number, (kind, aimed) in enumerate(strikes, 1):
            last = number == len(strikes)
            tally = self.tallies.setdefault(f"{kind}, {'aimed' if aimed else 'random'}", Tally())
            known = len(self.problems)
            change = self._strike(kind, aimed, tally)
            if kind == "create":
                self._look_at_new(change, tally)
            if kind == "reindex":
                self._look_at_copy(change, tally)
            report = self._look(
                self.place,
                Expectation(
                    dict(self._revisions),
                    change if kind not in ("create", "reindex") else Change("nothing"),
                    self._temperature,
                    check=last or number % check == 0,
                    compare=last or number % compare == 0,
                ),
                tally,
            )
            if report is not None:
                self._revisions, self._temperature = report.found, report.temperature
            tally.problems += len(self.problems) - known
            self.problems[known:] = [f"kill {number} ({kind}): {p}" for p in self.problems[known:]]

    def figures(self) -> dict[str, dict[str, float]]:
        """Kind -> its tally."""
        return {name: asdict(tally) for name, tally in sorted(self.tallies.items())}

    def _strike(self, kind: str, aimed: bool, tally: Tally) -> Change:
        """Kill a child in the middle of a change of that kind, which is given."""
        place = self._new_place() if kind == "create" else self.place
        opens = kind not in ("create", "repair", "open")
        if kind == "open" and (aimed or self.generator.random() < _LOST):
            for graph in place.database.glob("*/"):
                shutil.rmtree(graph)
        child = Child(self.processes, work, place, opens)
        change = Change("nothing")
        try:
            if opens:
                child.reply()
                for _ in range(0 if aimed else self.generator.randint(0, 2)):
                    self._do(child, self._draw(kind, aimed))
            change = self._draw(kind, aimed)
            child.send(change)
            if aimed:
                change = self._aim(child, change, tally)
            else:
                time.sleep(self.generator.uniform(0, 1.1 * self._seconds.get(kind, 0.3)))
        except MishapError as mishap:
            self.problems.append(str(mishap))
        return self._kill(child, change, tally)

    def _aim(self, child: Child, change: Change, tally: Tally) -> Change:
        """Wait until Chroma saves its graph; changes that pass without that are followed by others."""
        place = self.place.copy if change.kind == "reindex" else self.place
        name = self.generator.choice(_GRAPH_FILES)
        for _ in range(_ATTEMPTS):
            before = _saved(place.database, name)
            while not child.pipe.poll(0):
                if _saved(place.database, name) != before:
                    tally.saving += 1
                    time.sleep(self.generator.uniform(0, _LATER))
                    return change
                time.sleep(_POLL)
            child.reply()
            self._acknowledge(change)
            change = self._draw(change.kind, True)
            child.send(change)
        return change

    def _kill(self, child: Child, change: Change, tally: Tally) -> Change:
        """Kill it; what it could acknowledge first is no longer in flight."""
        terminate = self.generator.random() < _TERMINATE
        reply = child.kill(signal.SIGTERM if terminate else signal.SIGKILL)
        tally.kills += 1
        tally.terminated += terminate
        if child.process.exitcode not in (-signal.SIGKILL, -signal.SIGTERM):
            self.problems.append(f"the process ended by itself with exit code {child.process.exitcode}")
        if reply is None or change.kind == "nothing":
            return change
        if reply.error is not None:
            self.problems.append(reply.error)
            return change
        self._acknowledge(change)
        tally.acknowledged += 1
        return Change("nothing")

    def _do(self, child: Child, change: Change) -> None:
        """Have it done and acknowledged."""
        child.send(change)
        self._seconds[change.kind] = child.reply().seconds
        self._acknowledge(change)

    def _acknowledge(self, change: Change) -> None:
        change.apply(self._revisions)
        if change.temperature is not None:
            self._temperature = change.temperature
        if change.kind == "reindex":
            self._copied.update(self._revisions)

    def _draw(self, kind: str, aimed: bool) -> Change:
        """A change of that kind; one that is aimed at is large enough for Chroma to save its graph."""
        present = sorted(self._revisions)
        many = SAVE + 200 if aimed else self.generator.randint(1, min(SAVE, self.count // 2))
        if kind == "add":
            absent = sorted({*range(2 * self.count)} - {*present})
            many = many if aimed or len(present) < self.count else many // 4 + 1
            return Change(
                kind, {n: self._next(n) for n in self.generator.sample(absent, min(many, len(absent)))}
            )
        if kind in ("update", "retell", "delete"):
            if kind == "delete" and not aimed and len(present) > self.count:
                many += len(present) - self.count
            chosen = self.generator.sample(present, min(many, len(present)))
            if kind == "delete":
                return Change(kind, dict.fromkeys(chosen))
            retold = kind == "retell"
            return Change(kind, {n: self._revisions[n] + 1 if retold else self._next(n) for n in chosen})
        if kind == "recalibrate":
            return Change(kind, temperature=round(self.generator.uniform(0.05, 5), 3))
        return Change(kind)

    def _next(self, number: int) -> int:
        """A revision that the record never had: with another text."""
        self._highest[number] = self._highest.get(number, -RETOLD) + RETOLD
        return self._highest[number]

    def _look(self, place: Place, expected: Expectation, tally: Tally) -> Inspection | None:
        """What the index holds; None if that could not be told."""
        child = Child(self.processes, inspect, place, expected)
        try:
            report: Inspection = child.reply().value
            child.finish()
        except MishapError as mishap:
            child.kill()
            self.problems.append(f"opened again: {mishap}")
            return None
        tally.graphs_made_anew += report.made_anew
        tally.longest_opening = max(tally.longest_opening, report.seconds)
        self.problems += report.problems
        return report

    def _look_at_copy(self, change: Change, tally: Tally) -> None:
        """What a killed `reindex` has copied is whole; a finished copy makes room for another."""
        place = self.place.copy
        if Engine.exists(place.location):
            copied = Change("reindex", dict(self._revisions))
            report = self._look(place, Expectation(dict(self._copied), copied), tally)
            if report is not None:
                self._copied = report.found
        if change.kind == "nothing":
            self._copied = {}
            shutil.rmtree(place.folder)

    def _new_place(self) -> Place:
        return replace(self.place, folder=self.place.folder.with_name(f"{self.place.folder.name}-new"))

    def _look_at_new(self, change: Change, tally: Tally) -> None:
        """An index whose making was killed is made by the same command again."""
        place, added = self._new_place(), Change("add", {n: 0 for n in range(10)})
        child = Child(self.processes, work, place, False)
        try:
            for command in (Change("create"), added):
                child.send(command)
                child.reply()
            child.finish()
        except MishapError as mishap:
            child.kill()
            self.problems.append(f"made again: {mishap}")
        expected: Revisions = {}
        added.apply(expected)
        self._look(place, Expectation(expected, Change("nothing")), tally)
        shutil.rmtree(place.folder)


def _saved(database: Path, name: str) -> list[tuple[int, int]]:
    """Size and time of the last change of a file of the graph, if it is there."""
    found = []
    for file in database.glob(f"*/{name}"):
        with contextlib.suppress(OSError):
            stat = file.stat()
            found.append((stat.st_size, stat.st_mtime_ns))
    return found
