"""Killed at random and as Chroma saves, and many processes on one index: `benchmarks.endurance` at a small size."""

import logging
import os
import random

import pytest

from devtools.endurance.changes import Change, Place
from devtools.endurance.crowd import Crowd, gather
from devtools.endurance.kills import Siege

STRIKES = [
    ("add", True),
    ("update", False),
    ("delete", False),
    ("update", True),
    ("add", False),
    ("open", True),
]


@pytest.fixture
def place(models, tmp_path):
    return Place(tmp_path / "index", models["static"], models["other"])


def drawn():
    """A generator of another seed each time, which a failure prints; UEC_TEST_SEED repeats it."""
    seed = int(os.environ.get("UEC_TEST_SEED", random.SystemRandom().randrange(2**32)))
    logging.getLogger(__name__).warning("UEC_TEST_SEED=%d", seed)
    return random.Random(seed)


def test_killed_again_and_again(place, processes):
    siege = Siege(place, processes, drawn(), count=1100)
    siege.run(STRIKES, check=len(STRIKES), compare=len(STRIKES))
    assert siege.problems == []
    assert sum(tally["kills"] for tally in siege.figures().values()) == len(STRIKES)


def test_writers_a_deleter_and_a_reader_at_once(place, processes):
    crowd = Crowd(writers=2, deleters=1, readers=1, rounds=3)
    counts, problems = gather(place, processes, crowd, seconds=60)
    assert problems == []
    assert 0 < counts["records"] <= 2 * 3 * 40


def test_what_an_interrupted_change_may_leave():
    before = {n: 0 for n in range(600)}
    change = Change("update", {n: 100 for n in range(600)})
    first = {n: 100 if n < 256 else 0 for n in range(600)}
    assert change.problems(before, before) == change.problems(before, first) == []
    lost = {n: r for n, r in first.items() if n != 7}
    part = {n: 100 if n < 300 else 0 for n in range(600)}
    later = {n: 0 if n < 256 else 100 for n in range(600)}
    assert "record 7 is None" in change.problems(before, lost)[0]
    assert change.problems(before, part) == ["update: a chunk is stored in part"]
    assert change.problems(before, later) == ["update: a later chunk is stored, an earlier one is not"]
