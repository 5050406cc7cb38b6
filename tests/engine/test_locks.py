"""Locks with the database, and on a server."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import chromadb
import pytest
from filelock import FileLock

from tests.engine.small import (
    far_pairs,
    hold_lock,
    pairs,
    sentences,
    telling,
)
from uec_retriever.engine.check import check_index, count_unprotected
from uec_retriever.errors import (
    IndexBusyError,
    InvalidInputError,
    StorageError,
)
from uec_retriever.store import locks
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.locks import LOCK_FILE, graph_lock, server_lock, write_lock
from uec_retriever.store.log import ChromaLog

TEXTS = telling(120)
QUERIES = sentences(6, 2, 5)


def test_the_lock_lies_with_the_database_of_a_client_of_ones_own(make, processes, tmp_path):
    client = chromadb.PersistentClient(str(tmp_path / "elsewhere"))
    engine = make("static", client=client)
    engine.add(["one"])
    ours, theirs = processes.Pipe()
    lock = tmp_path / "elsewhere" / LOCK_FILE
    child = processes.Process(target=hold_lock, args=(str(lock), theirs), daemon=True)
    child.start()
    try:
        assert ours.poll(60)
        with pytest.raises(IndexBusyError, match="another process is writing to .*elsewhere"):
            engine.add(["two"])
        ours.send("let go")
        child.join(60)
    finally:
        child.kill()
        child.join()
    assert engine.add(["two"]).added == 1
    assert not (tmp_path / "index" / "chroma").exists()


def test_the_lock_is_held_and_given_back_by_every_thread(make, tmp_path):
    client = make("static").store.client
    held = threading.Lock()

    def take():
        with write_lock(client), write_lock(client):
            assert held.acquire(blocking=False), "two threads hold it"
            held.release()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: take(), range(100)))
    with FileLock(tmp_path / "index" / "chroma" / LOCK_FILE, timeout=0):
        pass


def test_writers_of_a_server_change_its_manifest_one_after_the_other(make, server):
    made = make("static", url=server, collection="counted")
    changes = 6

    def change(number):
        store, manifest = ChromaStore.open(connect(url=server), "counted")
        done = 0
        while done < changes:
            try:
                manifest = store.save_manifest(
                    replace(manifest, reference=f"{manifest.reference} {number}"), replacing=manifest
                )
                done += 1
            except IndexBusyError:
                manifest = store.read_manifest()
        return done

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(change, range(4))) == 4 * changes
    stored = made.store.read_manifest()
    assert stored.generation == 4 * changes
    added = stored.reference.removeprefix(made.manifest.reference).split()
    assert sorted(added) == sorted(str(n) for n in range(4) for _ in range(changes))
    assert not ChromaStore.exists(made.store.client, "counted.lock")


def leave_lock(client, name, **metadata):
    client.create_collection(name, metadata=metadata or {"uec:lock": "killed"}, embedding_function=None)


def test_a_lock_that_a_killed_client_left_is_broken(make, server, monkeypatch):
    engine = make("static", url=server, collection="left")
    client = engine.store.client
    leave_lock(client, "left.lock")
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    with server_lock(client, "left"):
        held = client.get_collection("left.lock", embedding_function=None).metadata
        assert held["uec:lock"] != "killed"
    assert not ChromaStore.exists(client, "left.lock")
    assert engine.recalibrate(pairs(seed=5)).generation == 1


def test_a_lock_is_broken_once_however_many_wait(make, server, monkeypatch):
    """The second to break it deletes nothing but the lock that it saw, not the one that took its place."""
    engine = make("static", url=server, collection="waited")
    client = engine.store.client
    leave_lock(client, "waited.lock")
    stale = client.get_collection("waited.lock", embedding_function=None)
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    with server_lock(client, "waited"):
        locks._discard(client, stale)
        assert ChromaStore.exists(client, "waited.lock")


def test_a_collection_that_is_no_lock_is_left_alone(make, server, monkeypatch):
    engine = make("static", url=server, collection="guest")
    leave_lock(engine.store.client, "guest.lock", theirs=1)
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    with pytest.raises(StorageError, match="'guest.lock' that is none of ours.*rename it"):
        engine.recalibrate(far_pairs())
    assert ChromaStore.exists(engine.store.client, "guest.lock")
    with pytest.raises(InvalidInputError, match="'.lock' at the end"):
        make("static", url=server, collection="other.lock")


def test_one_database_has_one_lock_however_it_is_spelled(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = chromadb.PersistentClient(str(tmp_path / "elsewhere"))
    other = chromadb.PersistentClient("elsewhere")
    with write_lock(one), write_lock(other):
        pass


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_holds_nothing_of_its_parents(make):
    client = make("static").store.client
    with write_lock(client):
        child = os.fork()
        if child == 0:
            os._exit(int(bool(locks._held or locks._mutexes)))
        assert os.waitpid(child, 0)[1] == 0
    assert locks._held


@pytest.mark.parametrize("look", [check_index, count_unprotected])
def test_the_log_is_looked_at_while_this_process_writes_nothing(make, tmp_path, monkeypatch, look):
    """SQLite does not exclude what this process writes by Chroma's copy of it: a page would be torn."""
    make("static").close()
    database, seen = tmp_path / "index" / "chroma", []
    missing = ChromaLog.missing

    def locked():
        try:
            with graph_lock(database, 0.05):
                return False
        except IndexBusyError:
            return True

    def spy(log):
        with ThreadPoolExecutor(1) as another:
            seen.append(another.submit(locked).result())
        return missing(log)

    monkeypatch.setattr(ChromaLog, "missing", spy)
    look(tmp_path / "index")
    assert seen and all(seen)
