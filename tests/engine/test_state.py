"""One state, read once a call and swapped whole; several engines, threads and processes on one index."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from chromadb.api.client import SharedSystemClient

from tests.engine.small import (
    answers,
    contents,
    far_pairs,
    numbered,
    pairs,
    recalibrate_index,
    sentences,
    telling,
)
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.engine.recipe import Recipe
from uec_retriever.errors import (
    IndexBusyError,
    ModelMismatchError,
    NotAnIndexError,
    StorageError,
    UECError,
)

TEXTS = telling(120)
QUERIES = sentences(6, 2, 5)


@pytest.fixture
def twins(make, experts):
    """Two engines on one index, in one process."""
    first = make("static", "bert")
    first.add(TEXTS)
    return first, Engine.open(
        first._folder.path, experts=dict(zip(("static", "bert"), experts("static", "bert"), strict=True))
    )


def test_confidence_does_not_undo_the_recalibration_of_another_engine(twins):
    first, second = twins
    theirs = second.recalibrate(far_pairs(), temperature=0.25)
    first.calibrate_confidence(limit=64)
    stored = first.store.read_manifest()
    assert stored.confidence is not None
    assert replace(stored, confidence=None) == theirs
    assert first.manifest == stored
    assert second.manifest == theirs  # which knows nothing of it before it writes


def test_confidence_does_not_undo_the_recalibration_of_another_process(make, processes, tmp_path):
    engine = make("static", "bert")
    engine.add(TEXTS)
    child = processes.Process(target=recalibrate_index, args=(str(tmp_path / "index"), 0.25), daemon=True)
    child.start()
    child.join(120)
    assert child.exitcode == 0
    assert engine.manifest.temperature != 0.25
    engine.calibrate_confidence(limit=64)
    for manifest in (engine.manifest, engine.store.read_manifest()):
        assert manifest.temperature == 0.25
        assert manifest.confidence is not None
        assert "(recalibrated)" in manifest.reference
    assert engine.manifest.generation == 2


@pytest.mark.parametrize("name", ["search", "search_batch", "search_together", "rescore"])
def test_a_search_during_a_recalibration_is_calibrated_the_old_way_throughout(make, monkeypatch, name):
    """The recalibration ends while the query is being encoded."""
    engine = make("static", "bert", temperature=0.5)
    engine.add(TEXTS)

    def found():
        if name == "rescore":
            result = engine.rescore("wing heat", TEXTS[:20])
            return result.raw_scores.tolist(), result.deviations.tolist(), result.coefficients
        query = "wing heat" if name == "search" else ["wing heat"]
        result = getattr(engine, name)(query, 20)
        result = result[0] if name == "search_batch" else result
        return result.hits, result.coefficients

    before, expert = found(), engine.experts[0]
    real, calls = type(expert).encode, []

    def encode(self, texts, role, **options):
        if not calls and role == "query":
            calls.append(role)
            engine.recalibrate(far_pairs(), temperature=0.1)
        return real(self, texts, role, **options)

    monkeypatch.setattr(type(expert), "encode", encode)
    assert found() == before
    assert calls == ["query"] and engine.manifest.temperature == 0.1
    assert found() != before


def test_threads_search_while_another_recalibrates(make):
    engine = make("static", "bert")
    engine.add(TEXTS)
    possible, given = [], [pairs(seed=5), far_pairs()]
    for calibration in given:
        engine.recalibrate(calibration, temperature=0.25)
        possible.append(answers(engine, QUERIES))
    assert possible[0] != possible[1]
    done, found = threading.Event(), []

    def search():
        while not done.is_set():
            found.append(answers(engine, QUERIES))

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(search) for _ in range(4)]
        try:
            for i in range(6):
                engine.recalibrate(given[i % 2], temperature=0.25)
        finally:
            done.set()
        for job in jobs:
            job.result()
    assert found
    assert all(result in possible for result in found)


def test_two_engines_in_one_process_take_turns(twins):
    """Before, the second was refused as 'another process'."""
    first, second = twins
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(engine.add_records, numbered(300, start))
            for engine, start in ((first, 0), (second, 300))
        ]
        assert [job.result().added for job in jobs] == [300, 300]
    assert len(contents(first)) == len(TEXTS) + 600


def test_an_engine_does_not_write_into_an_index_made_anew(make, experts):
    old = make("static")
    path = old._folder.path
    old.store.client.delete_collection("uec")
    Engine.create(path, experts("other"), pairs())
    for write in (lambda: old.add(["new"]), lambda: old.recalibrate(pairs())):
        with pytest.raises(ModelMismatchError, match="open it again"):
            write()


def test_engines_on_a_server_do_not_undo_each_other(make, server, tmp_path):
    first = make("static", url=server, collection="many")
    first.add(TEXTS)
    second = Engine.open(Location(tmp_path / "index", url=server, collection="many"), device="cpu")
    theirs = second.recalibrate(far_pairs())
    first.calibrate_confidence(limit=64)
    assert replace(first.store.read_manifest(), confidence=None) == theirs
    real = second.store.read_manifest
    calls = []

    def read():  # what another process stores while this one computes
        calls.append(1)
        if len(calls) == 2:
            first.recalibrate(pairs(seed=5))
        return real()

    second.store.read_manifest = read
    with pytest.raises(IndexBusyError, match="nothing was changed, run it again"):
        second.recalibrate(far_pairs())
    stored = first.store.read_manifest()
    assert stored == first.manifest
    assert second.recalibrate(far_pairs()).generation == stored.generation + 1


def test_threads_of_one_engine_on_a_server_take_turns(make, server):
    engine = make("static", url=server, collection="turns")
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(engine.recalibrate, pairs(seed=seed)) for seed in range(3)]
        assert sorted(job.result().generation for job in jobs) == [1, 2, 3]
    assert engine.manifest.generation == engine.store.read_manifest().generation == 3


def test_an_index_that_is_gone_says_so(make):
    engine = make("static")
    engine.add(["one"])
    engine.store.client.delete_collection("uec")
    for call in (lambda: engine.search("one"), engine.count, lambda: engine.get(["x"])):
        with pytest.raises(NotAnIndexError, match="gone.*open it again"):
            call()


def test_a_closed_index_says_so_whatever_is_asked_of_it(make):
    engine = make("static")
    engine.add(["one"])
    engine.close()
    for call in (
        engine.count,
        lambda: engine.search("one"),
        lambda: engine.add(["x"]),
        lambda: engine.recalibrate(pairs()),
    ):
        with pytest.raises(StorageError, match="the index is closed: open it again"):
            call()


def test_what_fails_to_open_or_be_made_is_closed(make, experts, tmp_path):
    def clients():
        return dict(SharedSystemClient._identifier_to_refcount)

    engine = make("static")
    path, before = engine._folder.path, clients()
    for fail in (
        lambda: Engine.open(path, experts={"static": experts("other")[0]}),
        lambda: Engine.from_texts(["text"], experts("other"), path),
        lambda: Engine.from_texts(["text"], location=path, recipe=Recipe(structure="diag")),
        lambda: make("static"),
    ):
        with pytest.raises(UECError):
            fail()
    assert clients() == before
