"""Several processes write, delete and read one index at once."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Event
from typing import Any

from devtools.endurance.changes import RETOLD, Change, Place, Revisions, revised
from devtools.endurance.child import HANGS, QUERIES, Child, MishapError, answer, create
from devtools.endurance.inspection import Expectation, Inspection, inspect
from uec_retriever.engine.engine import Engine
from uec_retriever.errors import IndexBusyError

ROOM = 100_000  # numbers of records
ABSENT, COMING, THERE, GOING, GONE = range(5)
_BATCH = 40


@dataclass(frozen=True)
class Crowd:
    """Who works on an index.

    Attributes:
        writers: add texts, and change some of them, each its own.
        deleters: delete those that stay unchanged, each its share.
        readers: search, and look whether what they find can be.
        rounds: of a writer and a deleter; None: until they are stopped.
    """

    writers: int
    deleters: int
    readers: int
    rounds: int | None = None


@dataclass
class Part:
    """What a process of the crowd works on.

    Attributes:
        place: the index.
        crowd: all of them.
        share: which of its role it is.
        states: of each number, shared by all; only one process changes one at a time.
        stop: set when writing is to end.
        finished: set when it has.
    """

    place: Place
    crowd: Crowd
    share: int
    states: Any
    stop: Event
    finished: Event
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    revisions: Revisions = field(default_factory=dict)

    def result(self) -> tuple[Counter[str], list[str], Revisions]:
        """What the parent is told."""
        return self.counts, self.problems[:20], self.revisions

    def rounds(self) -> Iterator[int]:
        """Until the last one, or until all are stopped."""
        number = 0
        while not self.stop.is_set() and number != self.crowd.rounds:
            yield number
            number += 1

    def change(self, call: Any) -> None:
        """Call until no other process writes."""
        generator = random.Random()
        while True:
            try:
                call()
            except IndexBusyError:
                self.counts["refused as busy"] += 1
                time.sleep(generator.uniform(0.005, 0.05))
            else:
                self.counts["changes"] += 1
                return


def write(part: Part, pipe: Connection) -> None:
    """In a child process: add new records, and change those of even numbers."""
    _run(part, _write, pipe)


def delete(part: Part, pipe: Connection) -> None:
    """In a child process: delete records of odd numbers."""
    _run(part, _delete, pipe)


def read(part: Part, pipe: Connection) -> None:
    """In a child process: search until all writing has ended, then until all of it is found."""
    _run(part, _read, pipe)


def _run(part: Part, role: Any, pipe: Connection) -> None:
    logging.getLogger("uec_retriever").addHandler(logging.NullHandler())

    def go() -> Any:
        with Engine.open(part.place.location, device="cpu") as engine:
            role(part, engine)
        return part.result()

    answer(pipe, go)
    pipe.recv()


def _write(part: Part, engine: Engine) -> None:
    generator = random.Random(part.share)
    mine = iter(range(part.share, ROOM, part.crowd.writers))
    for _ in part.rounds():
        new = [next(mine) for _ in range(_BATCH)]
        for number in new:
            part.states[number] = COMING
        records = [revised(n, 0) for n in new]
        part.change(lambda records=records: engine.add_records(records))
        part.revisions.update(dict.fromkeys(new, 0))
        for number in new:
            part.states[number] = THERE
        kept = [n for n in part.revisions if n % 2 == 0]
        changes = {
            n: part.revisions[n] + generator.choice((1, RETOLD))
            for n in generator.sample(kept, min(len(kept), _BATCH // 4))
        }
        changed = [revised(n, r) for n, r in changes.items()]
        part.change(lambda changed=changed: engine.add_records(changed))
        part.revisions.update(changes)


def _delete(part: Part, engine: Engine) -> None:
    mine = range(2 * part.share + 1, ROOM, 2 * part.crowd.deleters)
    for _ in part.rounds():
        states = bytes(part.states)
        chosen = [n for n in mine if states[n] == THERE][: _BATCH // 4]
        if not chosen:
            time.sleep(0.02)
            continue
        for number in chosen:
            part.states[number] = GOING
        part.change(lambda chosen=chosen: engine.delete([f"{n:06}" for n in chosen]))
        for number in chosen:
            part.states[number] = GONE


def _read(part: Part, engine: Engine) -> None:
    generator = random.Random(part.share)
    while not part.finished.is_set():
        before = bytes(part.states)
        hits = [hit.record for result in engine.search_batch(QUERIES[:2], 20) for hit in result]
        there = [n for n, state in enumerate(before) if state == THERE and n % 2 == 0]
        asked = generator.sample(there, min(20, len(there)))
        got = engine.get([f"{n:06}" for n in asked])
        if len(got) != len(asked):
            part.problems.append(
                f"{len(asked) - len(got)} of {len(asked)} records that are there were not got"
            )
        after = bytes(part.states)
        for record in [*hits, *got]:
            number = int(record.id)
            if before[number] == GONE:
                part.problems.append(f"record {number} was found after it had been deleted")
            if after[number] == ABSENT:
                part.problems.append(f"record {number} was found before it came")
            if record != revised(number, record.metadata["revision"]):
                part.problems.append(f"record {number} is not whole: {record}")
        part.counts["searches"] += 2
        part.counts["hits"] += len(hits)
    wanted = {f"{n:06}" for n, state in enumerate(bytes(part.states)) if state == THERE}
    until = time.monotonic() + HANGS / 2
    found: set[str] = set()
    while found != wanted and time.monotonic() < until:  # a reader loads seldom what others change often
        found = {hit.id for hit in engine.search(QUERIES[0], len(wanted), candidates=len(wanted) + 1000)}
    if found != wanted:
        part.problems.append(f"a reader never found {len(wanted - found)} of {len(wanted)} records")


def gather(
    place: Place, processes: ForkServerContext, crowd: Crowd, seconds: float
) -> tuple[dict[str, int], list[str]]:
    """Make an index, let the crowd work on it, and look at what they leave.

    Args:
        place: of the index.
        processes: of the `forkserver` kind.
        crowd: who takes part.
        seconds: at most; writers and deleters with a number of rounds end before.

    Returns:
        What they did, and problems, a sentence each.
    """
    create(place).close()
    states = processes.RawArray("B", ROOM)
    stop, finished = processes.Event(), processes.Event()
    counts: Counter[str] = Counter()
    problems: list[str] = []
    revisions: Revisions = {}

    def part(share: int) -> Part:
        return Part(place, crowd, share, states, stop, finished)

    writing = [Child(processes, write, part(i)) for i in range(crowd.writers)]
    writing += [Child(processes, delete, part(i)) for i in range(crowd.deleters)]
    reading = [Child(processes, read, part(i)) for i in range(crowd.readers)]
    end = time.monotonic() + seconds
    for child in writing:
        child.pipe.poll(max(0.0, end - time.monotonic()))
    stop.set()
    for children in (writing, reading):
        for child in children:
            try:
                count, found, revised_ones = child.reply().value
                counts += count
                problems += found
                revisions.update(revised_ones)
                child.finish()
            except MishapError as mishap:
                problems.append(str(mishap))
                child.kill()
        finished.set()
    expected = {n: r for n, r in revisions.items() if states[n] == THERE}
    child = Child(
        processes, inspect, place, Expectation(expected, Change("nothing"), check=True, compare=True)
    )
    try:
        report: Inspection = child.reply().value
        problems += report.problems
        child.finish()
    except MishapError as mishap:
        problems.append(f"opened again: {mishap}")
        child.kill()
    counts["records"] = len(expected)
    return dict(counts), problems
