"""A full disk stops writing, and neither opening nor searching."""

import contextlib
import gc
import multiprocessing
import os
import shutil
import sqlite3
import tempfile

import pytest

from tests.engine.small import add_numbered, answers, contents, numbered, sentences
from tests.mounts import small_disk
from uec_retriever.engine.check import IndexCheck, check_index
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.engine.open import open_store
from uec_retriever.errors import NotAnIndexError, StorageError

QUERIES = sentences(8, 2, 5)
FULL = "(?i)full.*free some disk space"


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", 16) as folder:
        yield folder


@contextlib.contextmanager
def full(disk, leave=0):
    """Nothing more can be written there, until the end."""
    filler = disk / "filler"
    filler.write_bytes(b"\0" * (shutil.disk_usage(disk).free - leave))
    try:
        yield
    finally:
        filler.unlink(missing_ok=True)


def files(folder):
    """What lies in an index, but for what SQLite keeps beside an open database of words."""
    return {
        f: f.read_bytes() for f in folder.rglob("*") if f.is_file() and not f.name.endswith(("-shm", "-wal"))
    }


@pytest.fixture(params=[60, 1100], ids=["in Chroma's log alone", "with a saved graph"])
def filled(request, create, disk, monkeypatch, tmp_path):
    """Folder of an index that is closed, what it holds, and what it finds; copies are made beside the disk."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with create("static", folder=disk / "index", lexical=True) as engine:
        engine.add_records(numbered(request.param))
        return disk / "index", contents(engine), answers(engine, QUERIES)


def test_an_index_on_a_full_disk_is_opened_and_searched(filled, disk, reopen, caplog, tmp_path):
    folder, stored, found = filled
    before = files(folder)
    with full(disk):
        with reopen(folder) as engine:
            assert answers(engine, QUERIES) == found
            assert contents(engine) == stored
            for write in (lambda: engine.add(["new"]), lambda: engine.delete(["000001"])):
                with pytest.raises(StorageError, match=FULL):
                    write()
                assert answers(engine, QUERIES) == found
        assert "searching in a copy" in caplog.text and str(folder) in caplog.text
        assert "in memory" not in caplog.text and "without words" not in caplog.text
        assert check_index(Location(folder)) == IndexCheck(len(stored), (), ())
        store = open_store(Location(folder))[1]
        assert len(store.ids()) == len(stored)
        store.close()
        engine = store = None
        assert files(folder) == before
    gc.collect()
    assert not [*(tmp_path / "temporary").iterdir()]
    assert answers(reopen(folder), QUERIES) == found


@pytest.mark.parametrize("leave", [0, 4096, 20_000, 60_000, 300_000])
def test_a_running_engine_searches_on_and_adds_again_once_there_is_room(filled, disk, reopen, leave, caplog):
    folder, stored, found = filled
    engine = reopen(folder)
    more = [r for r in numbered(2300) if r.id not in stored]
    with full(disk, leave):
        assert answers(engine, QUERIES) == found
        with pytest.raises(StorageError, match=FULL):
            engine.add_records(more)
        there = contents(engine)
        assert stored.items() <= there.items()
        assert answers(engine, QUERIES, 3)
        with pytest.raises(StorageError, match=FULL):
            engine.add_records(more)
        with reopen(folder) as another:
            assert contents(another) == there == contents(engine)
            assert answers(another, QUERIES) == answers(engine, QUERIES)
    report = engine.add_records(more)
    assert report.added + report.unchanged == len(more)
    assert contents(engine) == contents(reopen(folder)) == {r.id: r for r in numbered(2300)}
    assert answers(engine, QUERIES) == answers(reopen(folder), QUERIES)
    assert "without words" not in caplog.text


def test_a_copy_is_left_for_what_others_have_changed(filled, disk, reopen):
    folder, stored, found = filled
    with full(disk):
        engine = reopen(folder)
        assert answers(engine, QUERIES) == found
    process = multiprocessing.get_context("spawn").Process(
        target=add_numbered, args=(str(folder), len(stored) + 40)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0
    with contextlib.closing(sqlite3.connect(folder / "chroma" / "chroma.sqlite3")) as rows, rows:
        rows.execute(  # of which no seal tells
            "UPDATE embedding_metadata SET string_value = 'other' WHERE id = 1 AND key = 'chroma:document'"
        )
    with full(disk):
        _loaded_long_ago(engine)
        assert len(contents(engine)) == len(stored) + 40
        assert engine.get(["000000"])[0].text == "other"
    assert engine.add(["new"]).added == 1
    assert len(contents(reopen(folder))) == len(stored) + 41


def _loaded_long_ago(engine, seconds=3600):
    """As if it were so, so that changes are looked for; with a time to come they are not, as where loading takes long."""
    loaded = engine.store._access._loaded
    object.__setattr__(loaded, "since", loaded.since - seconds)


def test_no_room_for_a_copy_either(filled, disk, reopen, monkeypatch):
    folder, _, found = filled
    with full(disk):
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(StorageError, match="cannot copy .*free some disk space, or set TMPDIR"):
            reopen(folder)
        assert sorted(os.listdir(disk)) == ["filler", "index"]
    with reopen(folder) as engine:
        assert answers(engine, QUERIES) == found


def test_words_kept_in_memory_go_to_their_file_once_there_is_room(filled, disk, reopen, caplog):
    folder, _, found = filled
    shutil.rmtree(folder / "words")
    with full(disk), Engine.open(folder, device="cpu") as engine:
        assert answers(engine, QUERIES) == found
        assert "words are indexed in memory" in caplog.text
        (disk / "filler").unlink()
        engine.add(["new"])
        assert [f.suffix for f in (folder / "words").glob("*.sqlite3")] == [".sqlite3"]
    caplog.clear()
    assert reopen(folder).search("new").hits[0].text == "new"
    assert "indexing" not in caplog.text


def test_a_copy_that_somebody_has_cleared_away_is_made_anew(filled, disk, reopen, tmp_path):
    folder, stored, found = filled
    with full(disk), reopen(folder) as engine:
        for copy in (tmp_path / "temporary").iterdir():
            shutil.rmtree(copy)
        _loaded_long_ago(engine)
        assert answers(engine, QUERIES) == found
        assert contents(engine) == stored


def test_an_index_that_is_gone_while_its_copy_is_searched_is_not_made_anew(filled, disk, reopen):
    folder, _, found = filled
    with full(disk), reopen(folder) as engine:
        assert answers(engine, QUERIES) == found
        shutil.rmtree(folder)
        _loaded_long_ago(engine)
        for call in (lambda: engine.search("cat"), lambda: engine.add(["new"])):
            with pytest.raises(NotAnIndexError, match="is gone"):
                call()
        assert not folder.exists()


def test_whoever_searches_in_an_old_copy_leaves_the_words_of_others(filled, disk, reopen, caplog):
    folder, _, _ = filled
    with full(disk):
        old = reopen(folder)  # its words are not looked at yet
        assert old.count() and "searching in a copy" in caplog.text
    with reopen(folder) as engine:
        engine.add(["something new"], ["new"])
        engine.search("new")
        before = [f.stat().st_ino for f in (folder / "words").glob("*.sqlite3")]
        _loaded_long_ago(old, -3600)
        assert old.search("new").hits
        assert [f.stat().st_ino for f in (folder / "words").glob("*.sqlite3")] == before
    assert "indexing all words anew" not in caplog.text
    old.close()
