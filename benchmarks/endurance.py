"""Indexes under attack: kills, a full disk, many processes. Nothing is lost or doubled, and no answer is different.

    python -m benchmarks.endurance
    python -m benchmarks.endurance --texts 1100 --kills 6 --disk-texts 200 --disk-step 1000000 --seconds 3   # small

- kills: a process adds, updates, deletes, recalibrates, reindexes, repairs, opens and so on, and acknowledges each
  change. It is killed at random, or as Chroma saves its graph. Then another process opens the index: what was
  acknowledged is there, what was in flight is as before or after it, chunk by chunk; texts, metadata and vectors are
  right. Now and then every text is searched for by its own vector, and answers are compared with those of an
  untouched index of the same records, with all texts as candidates.
- disk: a small disk in memory is full at 0 bytes, 100 kB, 200 kB and so on, while texts are added, updated and
  deleted. Only our error may come; with space again, the same process or another goes on. Needs to mount.
- embedded, server: writers, deleters and readers work on one index, in a folder or through `chroma run`.

A crash, a hang and a foreign traceback are problems, too. Exit code 1 if there is any.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from benchmarks.common import SEED, console, save_result, show
from benchmarks.own_tables import endurance
from devtools.chroma import running_chroma
from devtools.endurance.changes import Place
from devtools.endurance.crowd import Crowd, gather
from devtools.endurance.disk import FullDisk, MountRefusedError, small_disk
from devtools.endurance.kills import STRIKES, Siege, Strike
from devtools.numbered import static_model

PARTS = ("kills", "disk", "embedded", "server")
Outcome = tuple[dict[str, Any], list[str]]


def main() -> int:
    """Run, print, save; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--texts", type=int, default=5000, help="in the index whose processes are killed")
    parser.add_argument("--kills", type=int, default=210)
    parser.add_argument(
        "--check", type=int, default=10, help="every text is searched for after so many kills"
    )
    parser.add_argument("--compare", type=int, default=30, help="answers are compared after so many kills")
    parser.add_argument("--disk-texts", type=int, default=600, help="there at first, and added")
    parser.add_argument("--disk-step", type=int, default=100_000, help="bytes")
    parser.add_argument("--disk-most", type=int, default=4_000_000, help="bytes that are free at most")
    parser.add_argument("--seconds", type=float, default=60, help="that many processes work on one index")
    parser.add_argument("--crowd", type=int, nargs=3, default=[3, 2, 3], help="writers, deleters, readers")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    console.print(f"seed {arguments.seed}")
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        ["benchmarks.common", "devtools.endurance.disk", "devtools.endurance.crowd"]
    )
    parts: dict[str, Callable[[Place, argparse.Namespace, ForkServerContext], Outcome]] = {
        "kills": _kills,
        "disk": _disk,
        "embedded": _embedded,
        "server": _server,
    }
    result: dict[str, Any] = {"seed": arguments.seed, "texts": arguments.texts, "crowd": arguments.crowd}
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        model, other = (static_model(Path(folder) / f"model-{seed}", seed) for seed in (0, 1))
        for part in arguments.parts:
            start = time.monotonic()
            place = Place(Path(folder) / part / "index", model, other)
            place.folder.parent.mkdir()
            figures, found = parts[part](place, arguments, processes)
            result[part] = {"seconds": time.monotonic() - start, **figures}
            problems += (f"{part}: {problem}" for problem in found)
            console.print(f"{part}: {result[part]['seconds']:.0f} s, {len(found)} problems")
    result["problems"] = problems
    for table in endurance(result):
        heads = list(table.columns)
        show(table.title, heads, [[row.label, *map(str, row.entries)] for row in table.rows])
    for problem in problems:
        console.print(problem, markup=False)
    save_result("endurance", result, arguments.out)
    return int(bool(problems))


def strikes(count: int, generator: random.Random) -> list[Strike]:
    """So many kinds of kill, in rounds that have each as often as `STRIKES` says, shuffled."""
    found: list[Strike] = []
    while len(found) < count:
        together = [strike for strike, number in STRIKES.items() for _ in range(number)]
        generator.shuffle(together)
        found += together
    return found[:count]


def _kills(place: Place, arguments: argparse.Namespace, processes: ForkServerContext) -> Outcome:
    generator = random.Random(arguments.seed)
    siege = Siege(place, processes, generator, arguments.texts)
    siege.run(strikes(arguments.kills, generator), check=arguments.check, compare=arguments.compare)
    return {"kinds": siege.figures()}, siege.problems


def _disk(place: Place, arguments: argparse.Namespace, processes: ForkServerContext) -> Outcome:
    size = 5 * (arguments.disk_most + 5000 * arguments.disk_texts) // 1_000_000 + 8
    with contextlib.ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(place.folder.parent / "disk", size))
        except MountRefusedError as error:
            console.print(f"left out: {error}", markup=False)
            return {"left_out": str(error)}, []
        full = FullDisk(place, disk, processes, arguments.disk_texts)
        full.run(arguments.disk_step, arguments.disk_most)
    return full.figures(), full.problems


def _embedded(place: Place, arguments: argparse.Namespace, processes: ForkServerContext) -> Outcome:
    return gather(place, processes, Crowd(*arguments.crowd), arguments.seconds)


def _server(place: Place, arguments: argparse.Namespace, processes: ForkServerContext) -> Outcome:
    with running_chroma(place.folder.parent / "database") as server:
        return gather(replace(place, url=server.url), processes, Crowd(*arguments.crowd), arguments.seconds)


if __name__ == "__main__":
    raise SystemExit(main())
