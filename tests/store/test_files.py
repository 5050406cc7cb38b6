"""The files of an embedded database: copied beside a writer, on the disk before they are sealed, served by another."""

import contextlib
import os
import shutil
import sqlite3
import threading

import numpy as np
import pytest

from devtools.chroma import running_chroma
from tests.store.small import MANIFEST
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.location import Location
from uec_retriever.errors import IndexBusyError, StorageError
from uec_retriever.store import log
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.graph_files import copy_database, is_sealed, seal
from uec_retriever.store.lexical import LexicalIndex
from uec_retriever.store.lexical.place import Place
from uec_retriever.store.log import DATABASE_FILE, ChromaLog, copy_rows
from uec_retriever.store.repair import rebuild


@pytest.fixture
def database(tmp_path):
    """A database of two tables that every change keeps equal."""
    folder = tmp_path / "database"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / DATABASE_FILE)) as rows, rows:
        for table in ("a", "b"):
            rows.execute(f"CREATE TABLE {table} (n INTEGER, filler TEXT)")
            rows.executemany(f"INSERT INTO {table} VALUES (0, ?)", [("x" * 2000,)] * 300)
    return folder


def numbers(folder):
    with contextlib.closing(sqlite3.connect(folder / DATABASE_FILE)) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {rows.execute(f"SELECT DISTINCT n FROM {table}").fetchone() for table in ("a", "b")}


def change(rows):
    for table in ("a", "b"):
        rows.execute(f"UPDATE {table} SET n = n + 1, filler = filler || 'y'")


def test_rows_are_copied_as_they_are_at_one_moment(database, tmp_path):
    ended = threading.Event()

    def write():
        with contextlib.closing(sqlite3.connect(database / DATABASE_FILE, timeout=60)) as rows:
            while not ended.is_set():
                with rows:
                    change(rows)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(15):
            (tmp_path / str(turn)).mkdir()
            copy_rows(database, tmp_path / str(turn))
            assert len(numbers(tmp_path / str(turn))) == 1
    finally:
        ended.set()
        writer.join()


def test_a_change_that_a_kill_left_half_done_is_undone_in_the_copy(database, tmp_path):
    killed, copied = tmp_path / "killed", tmp_path / "copied"
    copied.mkdir()
    with contextlib.closing(sqlite3.connect(database / DATABASE_FILE)) as rows:
        rows.execute("PRAGMA cache_size = 1")  # what is changed goes to the file at once
        change(rows)
        shutil.copytree(database, killed)
        rows.rollback()
    assert (killed / f"{DATABASE_FILE}-journal").stat().st_size
    before = (killed / DATABASE_FILE).read_bytes()
    copy_rows(killed, copied)
    assert (killed / DATABASE_FILE).read_bytes() == before  # it may be on a disk that cannot be written
    assert numbers(copied) == {(0,)}


def test_graph_files_are_on_the_disk_before_their_seal(tmp_path, monkeypatch):
    graph = tmp_path / "graph"
    graph.mkdir()
    (graph / "header.bin").write_bytes(b"1")
    (graph / "length.bin").write_bytes(b"2")
    flushed, flush = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (flushed.append(os.fstat(number).st_ino), flush(number)))

    def of_graph():
        files = {f.stat().st_ino: f.name for f in graph.iterdir()}
        found = [files[n] for n in flushed if n in files]
        assert flushed[-1] not in files  # the seal itself is the last
        flushed.clear()
        return found

    seal(tmp_path, "graph", 1)
    assert of_graph() == ["header.bin", "length.bin"]
    seal(tmp_path, "graph", 2)
    assert of_graph() == []
    (graph / "length.bin").write_bytes(b"333")
    seal(tmp_path, "graph", 3)
    assert of_graph() == ["length.bin"]
    assert is_sealed(tmp_path, "graph", 3)
    (tmp_path / "copy" / "graph").mkdir(
        parents=True
    )  # of an index that cannot be written: somebody else flushes that
    for file in graph.iterdir():
        (tmp_path / "copy" / "graph" / file.name).symlink_to(file)
    seal(tmp_path / "copy", "graph", 3)
    assert of_graph() == []


def test_what_its_owner_is_replacing_is_not_copied(database, tmp_path):
    (database / ".uec-graph-1.json.0a").write_text("half a seal")
    (database / "uec-graph-1.json").symlink_to(tmp_path / "gone")  # as if replaced after it was listed
    (tmp_path / "copy").mkdir()
    copy_database(database, tmp_path / "copy", links=True)
    assert [f.name for f in (tmp_path / "copy").iterdir()] == [DATABASE_FILE]


def test_what_a_server_has_open_is_not_opened_beside_it(tmp_path):
    folder = tmp_path / "chroma"
    folder.mkdir()
    ChromaStore.create(connect(folder), "one", MANIFEST, folder).close()
    with running_chroma(folder):
        before = {f: f.stat().st_mtime_ns for f in folder.rglob("*") if "sqlite3" not in f.name}
        engine_folder = IndexFolder(Location(tmp_path))
        for opening in (
            lambda: engine_folder.client(),
            lambda: ChromaStore.open(connect(folder), "one", folder),
            lambda: rebuild(folder, "one", lambda records: np.zeros((len(records), 2)), lambda done: None),
        ):
            with pytest.raises(StorageError, match=r"'chroma run' \(process \d+\) serves .*--server"):
                opening()
        assert before.items() <= {f: f.stat().st_mtime_ns for f in folder.rglob("*")}.items()
    store, _ = ChromaStore.open(connect(folder), "one", folder)
    store.close()


def test_a_copy_waits_for_who_writes_and_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "_PATIENCE", 0.2)
    (tmp_path / "copy").mkdir()
    store = ChromaStore.create(connect(tmp_path), "uec", MANIFEST, tmp_path)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(IndexBusyError, match="goes on writing"):
            log.copy_rows(tmp_path, tmp_path / "copy")
        other.execute("ROLLBACK")
    log.copy_rows(tmp_path, tmp_path / "copy")
    assert ChromaLog.of(tmp_path / "copy", "uec").count() == 0


def test_a_copy_of_words_waits_for_who_has_them_open_and_not_for_ever(tmp_path):
    with LexicalIndex.open(tmp_path / "words.sqlite3", {}) as words:
        words.change({"a": ["word"]}, [], "mark")
        place, full = Place(tmp_path / "words.sqlite3"), sqlite3.OperationalError("full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            place.copy(full, 0.2)
    place.copy(full, 0.2)
    assert place.path != tmp_path / "words.sqlite3" and place.path.is_file()


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_can_be_written_and_removed_whatever_the_modes_of_the_database(database, tmp_path, links):
    graph = database / "graph"
    graph.mkdir()
    (graph / "header.bin").write_bytes(b"x")
    (graph / "header.bin").chmod(0o444)
    graph.chmod(0o555)
    copy = tmp_path / "copy"
    copy.mkdir()
    copy_database(database, copy, links=links)
    assert (copy / "graph").stat().st_mode & 0o700 == 0o700
    assert links or (copy / "graph" / "header.bin").stat().st_mode & 0o600 == 0o600
    assert (graph / "header.bin").stat().st_mode & 0o777 == 0o444
    assert (copy / "graph" / "header.bin").stat().st_mtime_ns == (graph / "header.bin").stat().st_mtime_ns
