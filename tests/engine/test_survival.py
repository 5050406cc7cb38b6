"""Torn graphs, lost graphs, old indexes and other processes: nothing is lost, and nothing is found wrong."""

import json
import os
import pickle
import shutil
import signal
import sqlite3
import time

import pytest

from tests.engine.small import WORDS, add_numbered, contents, numbered, pairs
from uec_retriever.data.records import Record
from uec_retriever.engine.check import check_index, count_unprotected, repair_index
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.location import Location
from uec_retriever.errors import CorruptFileError, NotAnIndexError, StorageError
from uec_retriever.store.log import ChromaLog

COUNT = 1200  # Chroma saves its graph at every 1000


@pytest.fixture(scope="module")
def original(tmp_path_factory, loaded):
    """An index that is closed, and what it holds."""
    folder = tmp_path_factory.mktemp("original") / "index"
    with Engine.create(folder, [loaded["static"]], pairs()) as engine:
        engine.add_records(numbered(COUNT))
        return folder, contents(engine)


@pytest.fixture
def index(original, tmp_path):
    """A copy of it, and what it holds."""
    folder, everything = original
    shutil.copytree(folder, tmp_path / "index")
    return tmp_path / "index", everything


def graph(folder):
    """The folder of the graph."""
    database = folder / "chroma"
    return database / ChromaLog.of(database, "uec").graph


def forget_log(folder):
    """As an older version leaves it: without the log of what the graph holds, and without a seal."""
    log = ChromaLog.of(folder / "chroma", "uec")
    with sqlite3.connect(folder / "chroma" / "chroma.sqlite3") as database:
        database.execute(
            "UPDATE embeddings_queue_config SET config_json_str = ?",
            (json.dumps({"automatically_purge": True, "_type": "EmbeddingsQueueConfigurationInternal"}),),
        )
        database.execute(
            "DELETE FROM embeddings_queue WHERE seq_id <= (SELECT seq_id FROM max_seq_id WHERE segment_id = ?)",
            (log.graph,),
        )
    (folder / "chroma" / f"uec-graph-{log.graph}.json").unlink()


DAMAGES = {
    "torn pickle": lambda files: cut(files / "index_metadata.pickle", 1000),
    "empty pickle": lambda files: cut(files / "index_metadata.pickle", 0),
    "torn vectors": lambda files: cut(files / "data_level0.bin", 5000),
    "zeros": lambda files: (files / "data_level0.bin").write_bytes(
        bytes((files / "data_level0.bin").stat().st_size)
    ),
    "noise": lambda files: (files / "data_level0.bin").write_bytes(
        os.urandom((files / "data_level0.bin").stat().st_size)
    ),
    "torn links": lambda files: cut(files / "link_lists.bin", 100),
    "torn header": lambda files: cut(files / "header.bin", 50),
    "no header": lambda files: (files / "header.bin").unlink(),
    "no pickle": lambda files: (files / "index_metadata.pickle").unlink(),
    "nothing": shutil.rmtree,
}


def cut(file, size):
    with file.open("r+b") as opened:
        opened.truncate(size)


def all_found(folder, everything):
    with Engine.open(folder, device="cpu") as engine:
        assert contents(engine) == everything
    checked = check_index(folder)
    assert (checked.count, checked.lost, checked.problems) == (len(everything), (), ())


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_graph_is_made_anew_before_chroma_reads_it(index, damage, encoded):
    folder, everything = index
    damage(graph(folder))
    all_found(folder, everything)


@pytest.mark.parametrize(
    "damage", [d for n, d in DAMAGES.items() if n != "zeros"], ids=[n for n in DAMAGES if n != "zeros"]
)
def test_a_damaged_graph_of_an_older_version_is_refused_and_repaired(index, damage):
    folder, everything = index
    forget_log(folder)
    damage(graph(folder))
    for _ in range(2):
        with pytest.raises(CorruptFileError, match="uec repair"):
            Engine.open(folder, device="cpu")
    report = repair_index(folder, device="cpu")
    assert (report.count, report.logged, report.embedded) == (COUNT, 0, 1024)
    all_found(folder, everything)


def test_a_whole_index_of_an_older_version_is_opened_and_protected_without_a_model(index, monkeypatch):
    folder, everything = index
    forget_log(folder)
    with Engine.open(folder, device="cpu") as engine:
        assert contents(engine) == everything
    assert "could lose 1024" in check_index(folder).problems[0]
    assert count_unprotected(folder) == 1024
    monkeypatch.setattr("uec_retriever.engine.load.load_ensemble", None)
    report = repair_index(folder)
    assert (report.count, report.logged, report.embedded) == (COUNT, 1024, 0)
    assert count_unprotected(folder) == 0
    shutil.rmtree(graph(folder))
    all_found(folder, everything)


def test_texts_that_a_graph_lacks_are_noticed(index):
    folder, everything = index
    forget_log(folder)
    file = graph(folder) / "index_metadata.pickle"
    told = pickle.loads(file.read_bytes())
    del told["id_to_label"]["000003"]
    file.write_bytes(pickle.dumps(told))
    with pytest.raises(CorruptFileError, match="1 texts are not in the graph"):
        Engine.open(folder, device="cpu")
    repair_index(folder, device="cpu")
    all_found(folder, everything)


def test_a_pickle_that_would_run_something_is_refused(index, tmp_path, monkeypatch):
    folder, _ = index
    forget_log(folder)
    (graph(folder) / "index_metadata.pickle").write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorruptFileError, match=r"os\.system"):
        Engine.open(folder, device="cpu")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("inherited", [False, True])
def test_a_fork_of_a_process_that_had_an_index_open_says_so_and_does_not_hang(index, inherited):
    folder, _ = index
    with Engine.open(folder, device="cpu") as engine:
        experts = {e.label: e for e in engine.experts}
    engine = Engine.open(folder, experts=experts) if inherited else None
    if (child := os.fork()) == 0:
        try:
            engine.ids() if engine else Engine.open(folder, experts=experts)
        except StorageError as error:
            os.write(2, str(error).encode())
            os._exit(0 if "forked" in str(error) else 1)
        os._exit(2)
    until = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.05)
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if engine:
        assert engine.count() == len(engine.ids())  # here it goes on
        engine.close()
    assert ended == (child, 0)


def test_the_log_does_not_grow_with_changes(index):
    folder, _ = index
    with Engine.open(folder, device="cpu") as engine:
        for turn in WORDS[:3]:
            changed = [Record(r.id, f"{r.text} {turn}", r.metadata) for r in numbered(COUNT)]
            engine.add_records(changed)
        engine.delete(where={"n": {"$gte": 1000}})
        everything = contents(engine)
    with sqlite3.connect(folder / "chroma" / "chroma.sqlite3") as database:
        rows = database.execute("SELECT count(*) FROM embeddings_queue").fetchone()[0]
    assert rows <= 2 * COUNT + 1000
    shutil.rmtree(graph(folder))
    all_found(folder, everything)


def test_changes_after_the_log_is_compacted_are_kept(index):
    """Chroma numbers a change from the last row of its log, and passes over numbers that it has seen."""
    folder, everything = index
    with Engine.open(folder, device="cpu") as engine:
        for turn in WORDS[:2]:
            changed = [Record(r.id, f"{r.text} {turn}", r.metadata) for r in numbered(COUNT)]
            engine.add_records(changed)
        engine.delete(where={"n": {"$gte": 100}})
        with sqlite3.connect(folder / "chroma" / "chroma.sqlite3") as database:
            assert database.execute("SELECT count(*) FROM embeddings_queue").fetchone()[0] <= 101
        everything = {r.id: r for r in [*numbered(80), *numbered(20, COUNT)]}
        engine.add_records(everything.values())
        engine.delete(where={"$and": [{"n": {"$gte": 80}}, {"n": {"$lt": COUNT}}]})
        assert contents(engine) == everything
    all_found(folder, everything)


def test_a_graph_made_anew_holds_no_deleted_texts(index):
    """Among many deleted elements Chroma cannot reach some that are there."""
    folder, everything = index
    with Engine.open(folder, device="cpu") as engine:
        engine.delete(where={"n": {"$lt": 150}})
    shutil.rmtree(graph(folder))
    all_found(folder, {i: r for i, r in everything.items() if r.metadata["n"] >= 150})
    told = pickle.loads((graph(folder) / "index_metadata.pickle").read_bytes())
    assert told["total_elements_added"] == COUNT - 150


def test_a_reader_sees_what_another_process_writes(make, processes, tmp_path):
    reader = make("static")
    reader.add_records(numbered(50))
    child = processes.Process(target=add_numbered, args=(str(tmp_path / "index"), 1500))
    child.start()
    while child.is_alive():
        hits = reader.search("cat", 10).hits
        assert len(hits) == 10
    child.join()
    assert child.exitcode == 0
    until = time.monotonic() + 60  # a reader loads seldom what others change often
    while len(reader.search("cat", 1500, candidates=1500)) < 1500:
        assert time.monotonic() < until
    assert reader.add(["another"]).added == 1  # nothing of the other's is lost
    with Engine.open(Location(tmp_path / "index"), device="cpu") as fresh:
        assert len(fresh.search("cat", 2000, candidates=2000)) == 1501
    reader.close()
    assert check_index(tmp_path / "index").problems == ()


def test_a_folder_that_is_gone_says_so_and_its_successor_opens(make, tmp_path):
    engine = make("static")
    engine.add_records(numbered(20))
    shutil.move(tmp_path / "index", tmp_path / "moved")
    for call in (
        lambda: engine.search("cat"),
        engine.count,
        lambda: engine.get(["000001"]),
        lambda: engine.add(["x"]),
    ):
        with pytest.raises(NotAnIndexError, match="is gone: open the index again"):
            call()
    new = make("static")
    new.add_records(numbered(10))
    assert new.count() == 10
    assert Engine.open(tmp_path / "moved", device="cpu").count() == 20
