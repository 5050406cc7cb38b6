"""An index on a disk that is full at every 100 kB: changes fail with our error, and nothing is lost."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerContext
from pathlib import Path

from devtools.endurance.changes import RETOLD, Change, Place, Revisions
from devtools.endurance.child import Child, MishapError, create, work
from devtools.endurance.inspection import Expectation, Inspection, inspect

_FILLER = "filler"


class MountRefusedError(Exception):
    """This user may not mount a file system."""


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A small file system in memory.

    Args:
        folder: where it is mounted; made.
        megabytes: its size.

    Raises:
        MountRefusedError: where mounting is not permitted.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MountRefusedError(f"there is no mount: {error}") from error
    if done.returncode:
        raise MountRefusedError(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


@dataclass
class FullDisk:
    """An index that is changed while its disk is full.

    Attributes:
        place: of the index to begin with, on another disk; made here.
        disk: the small one, empty.
        processes: of the `forkserver` kind.
        count: texts of the index to begin with; as many are added.
        problems: that were found, a sentence each.
        steps: how often the disk was filled.
        refused: changes that failed with our error.
        graphs_made_anew: openings afterwards that found a graph torn or lost.
        longest_opening: of these, in seconds.
    """

    place: Place
    disk: Path
    processes: ForkServerContext
    count: int
    problems: list[str] = field(default_factory=list)
    steps: int = 0
    refused: int = 0
    graphs_made_anew: int = 0
    longest_opening: float = 0.0

    def __post_init__(self) -> None:
        self._start: Revisions = {n: 0 for n in range(self.count)}
        create(self.place).close()
        child = Child(self.processes, work, self.place, True)
        child.reply()
        child.send(Change("add", dict(self._start)))
        child.reply()
        child.finish()

    def run(self, step: int, most: int) -> None:
        """Leave 0 bytes, `step`, twice that and so on, until all changes succeed or `most` bytes are left."""
        for free in range(0, most + 1, step):
            known = len(self.problems)
            refused = self._fill(free)
            self.problems[known:] = [f"{free:,} bytes free: {p}" for p in self.problems[known:]]
            if not refused and len(self.problems) == known:
                return

    def figures(self) -> dict[str, float]:
        """What happened."""
        return {
            "steps": self.steps,
            "refused": self.refused,
            "graphs_made_anew": self.graphs_made_anew,
            "longest_opening": self.longest_opening,
            "problems": len(self.problems),
        }

    def _changes(self) -> list[Change]:
        """Add, update all, delete the first half."""
        return [
            Change("add", {n: 0 for n in range(self.count, 2 * self.count)}),
            Change("update", {n: RETOLD for n in range(2 * self.count)}),
            Change("delete", dict.fromkeys(range(self.count))),
        ]

    def _fill(self, free: int) -> int:
        """Change the index with so many bytes free; gives how many changes were refused."""
        place = replace(self.place, folder=self.disk / "index")
        shutil.copytree(self.place.folder, place.folder)
        revisions, refused = dict(self._start), 0
        child = Child(self.processes, work, place, True)
        filler = self.disk / _FILLER
        self.steps += 1
        try:
            child.reply()
            with filler.open("wb") as file:
                file.write(b"\0" * max(0, shutil.disk_usage(self.disk).free - free))
            for change in self._changes():
                refused = self._refused(child, change)
                if refused:
                    break
                change.apply(revisions)
            filler.unlink()
            if refused and self.steps % 2:  # another process goes on, from what this one leaves
                child.kill()
                revisions = self._look(place, Expectation(revisions, change))
                child = Child(self.processes, work, place, True)
                child.reply()
            revisions = dict(self._start)
            for change in self._changes():
                child.send(replace(change, kind="update") if change.kind == "add" else change)
                child.reply()
                change.apply(revisions)
            child.finish()
            self._look(place, Expectation(revisions, Change("nothing"), check=True))
        except MishapError as mishap:
            self.problems.append(str(mishap))
            child.kill()
        filler.unlink(missing_ok=True)
        shutil.rmtree(place.folder)
        self.refused += refused
        return refused

    def _refused(self, child: Child, change: Change) -> int:
        """1 if a change fails for want of space, with our error and advice; 0 if it succeeds."""
        child.send(change)
        reply = child.reply(errors=True)
        if reply.error is None:
            return 0
        if reply.kind != "StorageError" or not {"full", "space"} & {*reply.error.lower().split()}:
            self.problems.append(f"{change.kind}: {reply.error}")
        return 1

    def _look(self, place: Place, expected: Expectation) -> Revisions:
        child = Child(self.processes, inspect, place, expected)
        report: Inspection = child.reply().value
        child.finish()
        self.graphs_made_anew += report.made_anew
        self.longest_opening = max(self.longest_opening, report.seconds)
        self.problems += report.problems
        return report.found
