"""Look at an index that was attacked, in a process of its own: a crash there is seen, too."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from devtools.endurance.changes import Change, Place, Revisions, revised
from devtools.endurance.child import QUERIES, answer
from devtools.numbered import pairs
from uec_retriever.data.records import Record
from uec_retriever.engine.check import check_index
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.experts.expert import Expert
from uec_retriever.store.repair import unreachable

_ROUNDING = 1e-4
_SAMPLE = 300  # vectors looked at each time
_BEYOND = 0.01  # share of texts that Chroma's graph may not reach after many changes


@dataclass(frozen=True)
class Expectation:
    """What an index must hold.

    Attributes:
        before: what was acknowledged.
        change: what was in flight, and may have happened in part.
        temperature: of the manifest before; None: any.
        check: search for every text by its own vector.
        compare: search as in an untouched index of the same records.
    """

    before: Revisions
    change: Change
    temperature: float | None = None
    check: bool = False
    compare: bool = False


@dataclass(frozen=True)
class Inspection:
    """What it does hold.

    Attributes:
        seconds: that opening took.
        made_anew: the graph of vectors was torn or lost.
        found: revisions.
        temperature: of the manifest.
        problems: a sentence each.
    """

    seconds: float
    made_anew: bool
    found: Revisions
    temperature: float
    problems: list[str]


def inspect(place: Place, expected: Expectation, pipe: Connection) -> None:
    """In a child process: send an `Inspection`."""
    answer(pipe, lambda: inspect_index(place, expected))
    pipe.recv()


def inspect_index(place: Place, expected: Expectation) -> Inspection:
    """Open an index, compare all of it with what it must hold."""
    notes = _Notes()
    logging.getLogger("uec_retriever").addHandler(notes)
    start = time.monotonic()
    with Engine.open(place.location, device="cpu") as engine:
        seconds = time.monotonic() - start
        records = engine.get()
        found, problems = _revisions(records)
        if len(records) != engine.count():
            problems.append(f"{engine.count()} records are counted, {len(records)} are there")
        problems += expected.change.problems(expected.before, found)
        temperature = engine.manifest.temperature
        if expected.temperature is not None and temperature not in (
            expected.temperature,
            expected.change.temperature,
        ):
            problems.append(f"the temperature is {temperature}, not {expected.temperature}")
        problems += _vector_problems(engine, records, [*expected.change.records])
        if expected.compare:
            problems += _differences(place, engine, records)
    if expected.check:
        problems += check_index(place.location).problems
    made_anew = any("anew from the log" in m for m in notes.messages)
    return Inspection(seconds, made_anew, found, temperature, problems[:20])


class _Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _revisions(records: Sequence[Record]) -> tuple[Revisions, list[str]]:
    found: Revisions = {}
    problems = []
    for record in records:
        number, revision = int(record.id), record.metadata.get("revision", -1)
        if number in found:
            problems.append(f"record {number} is there twice")
        if record != revised(number, revision):
            problems.append(f"record {number} is not whole: {record}")
        found[number] = revision
    return found, problems


def _vector_problems(engine: Engine, records: Sequence[Record], changed: Sequence[int]) -> list[str]:
    """What is wrong with the vectors of records that were in flight, and of some others."""
    ids = {f"{number:06}" for number in changed}
    step = max(1, len(records) // _SAMPLE)
    chosen = [*records[::step], *(r for r in records if r.id in ids)]
    if not chosen:
        return []
    vectors = engine.vectors_by_id([r.id for r in chosen])
    wanted = engine.embed_documents([r.embedding_text for r in chosen])
    return [
        f"the vector of record {int(record.id)} is {'lost' if record.id not in vectors else 'that of another text'}"
        for record, vector in zip(chosen, wanted, strict=True)
        if not np.allclose(vectors.get(record.id, np.nan), vector, atol=_ROUNDING)
    ]


def _differences(place: Place, engine: Engine, records: Sequence[Record]) -> list[str]:
    """Where the answers differ from those of an untouched index of the same records, all candidates looked at."""
    expert = Expert.load(place.model, label="static", device="cpu")
    with Engine.create(Location(), [expert], pairs()) as untouched:
        if "recalibrated" in engine.manifest.reference:
            untouched.recalibrate(pairs(), temperature=engine.manifest.temperature)
        untouched.add_records(records)
        problems = []
        for query in QUERIES:
            ours, theirs = _answers(engine, query, len(records)), _answers(untouched, query, len(records))
            missing = theirs.keys() - ours.keys()
            beyond = unreachable(
                engine.store, sorted(missing)
            )  # Chroma's graph may lose some (chroma 7758): uec check
            if len(beyond) < len(missing) or len(beyond) > _BEYOND * len(records):
                problems.append(f"{query!r} finds {len(ours)} texts, {len(theirs)} in an untouched index")
            elif not np.allclose(
                [*ours.values()], [theirs.get(i, np.nan) for i in ours], rtol=0, atol=_ROUNDING
            ):
                problems.append(f"{query!r} is answered otherwise than in an untouched index")
    return problems


def _answers(engine: Engine, query: str, count: int) -> dict[str, tuple[float, float]]:
    """Id -> score and deviation, of all texts."""
    hits = engine.search(query, max(1, count), candidates=max(1, count)).hits
    return {hit.id: (hit.raw_score, hit.deviation) for hit in hits}
