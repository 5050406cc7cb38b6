"""Engines and experts that are copied, pickled, dropped; and those that live in memory."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import tempfile
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor

import chromadb
import pytest
import torch
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings

from devtools.handles import handles
from tests.engine.small import answers, bert_model, load, pairs, sentences, static_model
from uec_retriever import Engine, Expert, Location
from uec_retriever.engine.copies import reopen
from uec_retriever.errors import InvalidInputError, ModelMismatchError, StorageError

SECRET = "hunter2-is-my-password"
QUERIES = sentences(3, seed=5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "static": static_model(folder / "static", 0),
        "bert": bert_model(folder / "bert", folder / "workspace"),
    }


@pytest.fixture
def engine(tmp_path, folders):
    with Engine.create(tmp_path / "index", load(folders), pairs()) as engine:
        engine.add(sentences(20))
        yield engine


def found_elsewhere(engine):
    return answers(engine, QUERIES)


def test_a_pickled_engine_is_opened_again(engine):
    restored = pickle.loads(pickle.dumps(engine))
    assert restored is not engine
    assert answers(restored, QUERIES) == answers(engine, QUERIES)
    assert [e.model.device for e in restored.experts] == [torch.device("cpu")] * 2
    assert copy.deepcopy(engine) is engine


def test_a_process_pool_takes_an_engine(engine, processes):
    with ProcessPoolExecutor(1, processes) as pool:
        assert pool.submit(found_elsewhere, engine).result(120) == answers(engine, QUERIES)


def test_an_engine_whose_model_has_moved_is_opened_with_it(engine, folders, tmp_path):
    moved = tmp_path / "moved"
    os.rename(folders["static"], moved)
    try:
        opened = Engine.open(tmp_path / "index", experts={"static": moved}, device="cpu")
        assert answers(pickle.loads(pickle.dumps(opened)), QUERIES) == answers(engine, QUERIES)
    finally:
        os.rename(moved, folders["static"])


def test_what_could_not_be_opened_again_is_refused(folders, tmp_path):
    experts = load({"static": folders["static"]})
    with Engine.create(Location(), experts, pairs()) as passing:
        with pytest.raises(InvalidInputError, match="folder of your own"):
            pickle.dumps(passing)
    client = chromadb.EphemeralClient()
    in_memory = Engine.create(Location(tmp_path, client=client, collection="refused"), experts, pairs())
    with pytest.raises(InvalidInputError, match="client of your own cannot be pickled"):
        pickle.dumps(in_memory)
    given = Expert(experts[0].model, "static")
    with Engine.create(tmp_path / "given", [given], pairs()) as engine:
        with pytest.raises(InvalidInputError, match=r"'static'.*in memory.*Expert\.load"):
            pickle.dumps(engine)


def test_headers_stay_behind_and_a_server_that_wants_them_says_so(tmp_path):
    place = Location(tmp_path, "http://127.0.0.1:9", {"Authorization": SECRET})
    assert SECRET.encode() not in pickle.dumps(place)
    restored = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(place))))
    assert restored == Location(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="not pickled: give them again.*CHROMA_CLIENT_AUTH_CREDENTIALS"):
        reopen(restored, {})
    with pytest.raises(StorageError) as other:
        reopen(Location(tmp_path, "http://127.0.0.1:9"), {})
    assert "pickled" not in str(other.value)


def test_chroma_reads_credentials_from_the_environment(monkeypatch):
    monkeypatch.setenv("CHROMA_CLIENT_AUTH_CREDENTIALS", SECRET)
    assert Settings().chroma_client_auth_credentials == SECRET


def test_experts_are_copied_and_pickled(folders):
    [expert] = load({"bert": folders["bert"]})
    expected = expert.linearise(QUERIES, "query").embeddings
    for other in (copy.deepcopy(expert), pickle.loads(pickle.dumps(expert)), copy.copy(expert)):
        assert other.label == "bert"
        assert torch.equal(other.linearise(QUERIES, "query").embeddings, expected)
    assert copy.deepcopy(expert).model is not expert.model
    assert copy.copy(expert).model is expert.model
    secret = Expert.load(folders["bert"], device="cpu", token=SECRET, processor_kwargs={"token": SECRET})
    assert SECRET.encode() not in pickle.dumps(secret)


def test_another_model_in_the_place_of_the_pickled_one_is_refused(tmp_path):
    pickled = pickle.dumps(Expert.load(static_model(tmp_path / "model", 0), device="cpu"))
    static_model(tmp_path / "model", 1)
    with pytest.raises(ModelMismatchError, match="pickled"):
        pickle.loads(pickled)


@pytest.mark.parametrize("kind", ["static", "bert"])
def test_models_are_copied_and_pickled_while_an_expert_reads_them(folders, kind):
    [expert] = load({kind: folders[kind]})
    expected = expert.linearise(QUERIES, "query").embeddings
    for model in (copy.deepcopy(expert.model), pickle.loads(pickle.dumps(expert.model))):
        with expert.head._recorder.capture() as capture:
            model.encode(QUERIES)
        assert capture.embedding is None  # a copy tells the original's expert nothing
        assert torch.equal(Expert(model, kind).linearise(QUERIES, "query").embeddings, expected)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts handles in /proc")
def test_dropped_engines_leave_no_handles(folders, tmp_path):
    experts = load({"static": folders["static"]})
    Engine.create(tmp_path / "index", experts, pairs()).add(["the wing"])
    before = handles()
    for number in range(5):
        Engine.create(tmp_path / f"{number}", experts, pairs()).add(["the wing"])
        assert Engine.open(tmp_path / f"{number}", device="cpu").count() == 1
    files, threads = handles()
    assert files <= before[0] + 1 and threads <= before[1] + 1


def test_reading_outlives_the_engine(folders, tmp_path):
    experts = load({"static": folders["static"]})
    Engine.create(tmp_path / "index", experts, pairs()).add(["the wing"])
    pages = Engine.open(tmp_path / "index", device="cpu").pages()
    gc.collect()
    assert [record.text for page in pages for record in page] == ["the wing"]


def test_dropping_one_engine_leaves_another_on_its_folder(folders, tmp_path):
    experts = load({"static": folders["static"]})
    kept = Engine.create(tmp_path / "index", experts, pairs())
    for _ in range(3):
        Engine.open(tmp_path / "index", device="cpu")
        gc.collect()
    kept.add(["the wing"])
    assert kept.count() == 1


def test_an_engine_dropped_while_chroma_counts_its_clients(folders, tmp_path):
    """As garbage collection may do it, in the very thread that holds Chroma's lock."""
    engine = Engine.create(tmp_path / "index", load({"static": folders["static"]}), pairs())
    with SharedSystemClient._refcount_lock:
        del engine
    for thread in threading.enumerate():
        if thread.daemon and "close_client" in thread.name:
            thread.join(10)
    assert Engine.open(tmp_path / "index", device="cpu").count() == 0


def test_a_cell_with_an_index_in_memory_runs_twice(folders):
    script = f"""
        import chromadb, glob, tempfile
        from tests.engine.small import pairs
        from uec_retriever import Engine, Location, Recipe
        for run in range(3):
            place = Location(client=chromadb.EphemeralClient())
            engine = Engine.from_texts(["the wing", "the cat"], [{folders["static"]!r}], place, Recipe(pairs()), device="cpu")
            assert engine.count() == 2, engine.count()
            assert [h.text for h in engine.search("the wing", 1)] == ["the wing"]
            assert Engine.open(place, device="cpu").count() == 2
            assert len(glob.glob(tempfile.gettempdir() + "/uec-*")) == 1
    """
    _run_apart(script)


def test_a_fork_leaves_its_parents_folder():
    script = """
        import os
        from uec_retriever.temporary import temporary_folder
        class Owner: pass
        owner = Owner()
        folder = temporary_folder(owner)
        child = os.fork()
        if not child:
            del owner
            raise SystemExit
        assert os.waitpid(child, 0)[1] == 0
        assert folder.is_dir()
        del owner
        assert not folder.exists()
    """
    _run_apart(script)


def _run_apart(script):
    """In a process whose temporary folder is empty, and must be so afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
            check=True,
            timeout=240,
            env={**os.environ, "TMPDIR": folder, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert [name for name in os.listdir(folder) if name.startswith("uec-")] == []
