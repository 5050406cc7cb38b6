"""A full disk, a read-only folder, a server that is gone."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devtools.chroma import running_chroma
from tests.engine.small import answers, contents, numbered, pairs, sentences
from tests.mounts import read_only as mounted_read_only
from tests.mounts import small_disk as mounted_small_disk
from uec_retriever.data.records import Record
from uec_retriever.engine.check import IndexCheck, check_index
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.estimate import estimate
from uec_retriever.engine.location import Location
from uec_retriever.engine.open import open_store
from uec_retriever.errors import CorruptFileError, StorageError

QUERIES = sentences(8, 2, 5)
COUNT = 2500  # Chroma writes its vector index to disk at every 1000


@pytest.fixture
def make(create):
    """Here every index is made, none is a copy: some disks have no room for one."""
    return create


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, loaded):
    engine = Engine.create(tmp_path_factory.mktemp("undisturbed") / "index", [loaded["static"]], pairs())
    engine.add_records(numbered(COUNT))
    return engine


def exact(engine):
    """Search results that do not depend on how the vector index approximates."""
    return [
        [(h.id, round(h.raw_score, 4), round(h.deviation, 4)) for h in r]
        for r in engine.search_batch(QUERIES, 20, candidates=COUNT)
    ]


@pytest.fixture
def small_disk(tmp_path):
    with mounted_small_disk(tmp_path / "disk", 24) as folder:
        yield folder


def fill(folder, leave):
    """Fill a disk with a file, but for some bytes."""
    free = shutil.disk_usage(folder).free
    (folder / "filler").write_bytes(b"\0" * (free - leave))


def in_time(call, *args, **options):
    """The result of a call, or its exception; a call that hangs, as Chroma's did, fails."""
    outcome = {}

    def run():
        try:
            outcome["result"] = call(*args, **options)
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert outcome, "the call hangs"
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


FULL = "(?i)disk.*full.*free some disk space and run the same command again"


@pytest.mark.parametrize("leave", [0, 900_000])
def test_a_full_disk(small_disk, make, reopen, undisturbed, leave):
    engine = make("static", folder=small_disk / "index")
    engine.add_records(numbered(100))
    fill(small_disk, leave)
    for _ in range(2):
        with pytest.raises(StorageError, match=FULL):
            in_time(engine.add_records, numbered(COUNT))
    assert len(in_time(engine.search, "cat", 5)) == 5
    (small_disk / "filler").unlink()
    stored = in_time(contents, engine)
    assert 100 <= len(stored) < COUNT
    report = in_time(engine.add_records, numbered(COUNT))
    assert (report.unchanged, report.added) == (len(stored), COUNT - len(stored))
    for opened in (engine, reopen(small_disk / "index")):
        assert contents(opened) == contents(undisturbed)
        assert exact(opened) == exact(undisturbed)


@pytest.mark.parametrize("leave", [0, 900_000])
def test_deleting_and_updating_on_a_full_disk(small_disk, make, leave):
    engine = make("static", folder=small_disk / "index")
    engine.add_records(numbered(1500))
    fill(small_disk, leave)
    new = [Record(r.id, r.text, {"new": "x" * 900, "n": r.metadata["n"]}) for r in numbered(1500)]
    with pytest.raises(StorageError, match=FULL):
        in_time(engine.add_records, new)
    (small_disk / "filler").unlink()
    in_time(engine.add_records, new)
    assert contents(engine) == {r.id: r for r in new}
    assert engine.delete(where={"n": {"$lt": 1400}}) == 1400
    assert engine.count() == 100


def test_a_disk_too_full_for_a_new_index(small_disk, make):
    fill(small_disk, 20_000)
    with pytest.raises(StorageError, match="(?i)space|full"):
        make("static", folder=small_disk / "index")
    (small_disk / "filler").unlink()
    assert make("static", folder=small_disk / "index").add_records(numbered(10)).added == 10


@pytest.fixture
def read_only(make, tmp_path):
    """A folder with an index of 50 texts, mounted read-only, and what it answered before."""
    engine = make("static", folder="original")
    engine.add_records(numbered(50))
    folder = tmp_path / "read-only"
    shutil.copytree(tmp_path / "original", folder)
    with mounted_read_only(folder):
        yield folder, answers(engine, QUERIES)


def test_a_read_only_folder_is_searched_and_not_written(read_only, reopen):
    folder, found = read_only
    for _ in range(2):
        with reopen(folder) as engine:
            assert answers(engine, QUERIES) == found
            for write in (lambda: engine.add(["new"]), lambda: engine.delete(["000001"])):
                with pytest.raises(StorageError, match="cannot write to .*it can be searched only"):
                    write()
    shutil.copytree(folder, folder.parent / "writable")
    assert answers(reopen(folder.parent / "writable"), QUERIES) == found


def test_a_read_only_folder_is_looked_at_without_its_models(read_only):
    folder, _ = read_only
    location = Location(folder)
    for _ in range(2):
        store = open_store(location)[1]
        assert len(store.ids()) == store.count() == 50
        store.close()
    assert check_index(location) == IndexCheck(50, (), ())
    assert estimate(numbered(51), None, location).texts == 1


def test_a_folder_that_becomes_read_only(make, small_disk, caplog):
    engine = make("static", folder=small_disk / "index")
    engine.add_records(numbered(50))
    found = answers(engine, QUERIES)
    with mounted_read_only(small_disk):
        for _ in range(2):
            for write in (lambda: engine.add(["new"]), lambda: engine.delete(["000001"])):
                with pytest.raises(StorageError, match="cannot write to .*index"):
                    write()
        with ThreadPoolExecutor(8) as pool:  # connections are opened that will never write
            assert all(a == found for a in pool.map(lambda _: answers(engine, QUERIES), range(16)))
    assert engine.add(["new"]).added == 1
    assert engine.search("new").hits[0].text == "new"
    assert "indexed in memory" not in caplog.text


def test_a_read_only_place_for_a_new_index(read_only, make):
    folder, _ = read_only
    with pytest.raises(StorageError, match="cannot write to .*Choose another folder"):
        make("static", folder=folder / "new")


def test_no_server(make, tmp_path, models):
    for url in ("http://127.0.0.1:9", "127.0.0.1:9", "https://127.0.0.1:9"):
        with pytest.raises(StorageError, match="cannot reach a Chroma server.*chroma run"):
            make("static", url=url)
        with pytest.raises(StorageError, match="cannot reach a Chroma server.*chroma run"):
            Engine.open(Location(tmp_path / "index", url=url))


def test_a_server_that_dies(make, tmp_path):
    database = tmp_path / "database"
    with running_chroma(database) as server:
        engine = make("static", url=server.url)
        engine.add_records(numbered(20))
        server.kill()
        for call in (
            lambda: engine.search("cat"),
            lambda: engine.search("cat", where={"n": 1}),
            lambda: engine.add(["new"]),
            lambda: engine.get(),
            lambda: engine.get(["000001"]),
            lambda: engine.delete(["000001"]),
            lambda: engine.recalibrate(pairs()),
            engine.count,
        ):
            with pytest.raises(StorageError, match="chroma run"):
                call()
    with running_chroma(database) as server:
        assert Engine.open(Location(tmp_path / "index", url=server.url), device="cpu").count() == 20


DAMAGE = {
    "another head": lambda found: b"x" * 100 + found[100:],
    "half of it": lambda found: found[: len(found) // 2],
    "zeros in it": lambda found: found[:4096] + bytes(len(found) - 8192) + found[-4096:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_database_is_told_by_its_folder_and_not_copied(make, reopen, tmp_path, damage, monkeypatch):
    make("static").close()
    database = tmp_path / "index" / "chroma" / "chroma.sqlite3"
    database.write_bytes(DAMAGE[damage](database.read_bytes()))
    monkeypatch.setattr("uec_retriever.store.home.copy_database", None)
    for look in (reopen, check_index, lambda folder: open_store(Location(folder))):
        with pytest.raises(CorruptFileError, match=f"{tmp_path}.* is damaged .*put back a copy"):
            look(tmp_path / "index")
