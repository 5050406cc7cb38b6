"""A lexical index follows its collection: exactly, whoever changes that, and whatever becomes of its file."""

import contextlib
import json
import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from devtools.chroma import running_chroma
from tests.store.lexical_corpus import same
from tests.store.small import MANIFEST, codes, vectors
from uec_retriever.data.records import Record
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.errors import StorageError
from uec_retriever.store import log
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.lexical import LexicalIndex, following
from uec_retriever.store.lexical.following import LexicalFollower

ANALYZER = WordAnalyzer()
KEPT = []  # of a server, to the end: closing Chroma's client leaves a connection, of which Python warns in other tests
NOUNS = [f"noun{i}" for i in range(30)]
TERMS = sorted({term for noun in NOUNS for term in ANALYZER.terms(noun)})


def put(store, texts):
    items = [Record(i, text) for i, text in texts.items()]
    store.put(items, vectors(len(items)), codes(items))


def fresh_of(store):
    """A new index of what is stored now."""
    made = LexicalIndex.open(None, {})
    made.change({r.id: ANALYZER.terms(r.embedding_text) for page in store.pages() for r in page}, [], "")
    return made


def follows(follower, store):
    """The index is that of what is stored now."""
    with fresh_of(store) as wanted:
        follower.look_again()
        follower.read(lambda index: same(index, wanted, TERMS))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_chroma(tmp_path_factory.mktemp("served")) as served:
        yield served.url


@pytest.fixture(params=["folder", "memory", "server"])
def store(request, tmp_path):
    if request.param == "folder":
        made = ChromaStore.create(connect(tmp_path / "chroma"), "uec", MANIFEST, tmp_path / "chroma")
    else:
        import chromadb

        url = request.getfixturevalue("server") if request.param == "server" else None
        client = chromadb.EphemeralClient() if url is None else connect(url=url)
        made = ChromaStore.create(client, f"uec{random.randrange(10**9)}", MANIFEST)
    yield made
    if request.param == "server":
        KEPT.append(made)
    else:
        made.close()


@pytest.fixture
def folder_store(tmp_path):
    with contextlib.closing(
        ChromaStore.create(connect(tmp_path / "chroma"), "uec", MANIFEST, tmp_path / "chroma")
    ) as made:
        yield made


@pytest.fixture
def follow(tmp_path):
    """`follow(store)`: a new follower, of the same file each time."""
    with contextlib.ExitStack() as closing:

        def new(store, analyzer=ANALYZER):
            follower = LexicalFollower(store, tmp_path / "words" / "uec.sqlite3", analyzer)
            closing.callback(follower.close)
            return follower

        yield new


def test_any_sequence_of_changes_gives_the_index_of_what_is_there(store, follow, monkeypatch):
    monkeypatch.setattr(following, "_AT_ONCE", 7)
    draw, follower, alive = random.Random(3), follow(store), set()
    for step in range(25):
        ids = [f"id{i}" for i in draw.sample(range(40), draw.randint(1, 12))]
        if step % 3 == 2 and alive:
            store.delete(gone := draw.sample(sorted(alive), min(len(alive), 5)))
            alive -= set(gone)
        else:
            put(store, {i: " ".join(draw.choices(NOUNS, k=draw.randint(1, 9))) for i in ids})
            alive |= set(ids)
        if draw.random() < 0.6:
            follows(follower, store)
    follows(follow(store), store)


def test_texts_are_indexed_as_they_are_embedded(store, follow):
    store.put([Record("a", "the text", {}, "Title: the text")], vectors(1), ["v"])
    _, _, df = follow(store).read(lambda index: index.statistics(["titl", "text"]))
    assert df.tolist() == [1, 1]


def test_records_of_someone_else_are_no_reason_to_look_again_and_again(store, follow, monkeypatch):
    put(store, {"ours": "noun1"})
    store.collection.upsert(["theirs"], [[1, 0, 0, 0]])
    follower = follow(store)
    assert follower.read(len) == 2
    monkeypatch.setattr(LexicalFollower, "_compare", None)
    put(store, {"ours": "noun2"})
    follower.look_again()
    assert follower.read(len) == 2


@pytest.fixture
def two_clients(server):
    name = f"uec{random.randrange(10**9)}"
    ours = ChromaStore.create(connect(url=server), name, MANIFEST)
    theirs, _ = ChromaStore.open(connect(url=server), name)
    KEPT.extend([ours, theirs])
    return ours, theirs


def test_changes_of_another_client_of_a_server_are_seen(two_clients, follow, monkeypatch):
    ours, theirs = two_clients
    put(theirs, {f"id{i}": f"noun{i}" for i in range(5)})
    follower = follow(ours)
    follows(follower, ours)
    put(theirs, {"id1": "another text", "id9": "noun9"})
    theirs.delete(["id3"])
    monkeypatch.setattr(following, "_SOON", 0.0)
    end = time.monotonic() + 60
    while follower.read(lambda index: index.statistics(["anoth"]))[2].tolist() != [1]:
        assert time.monotonic() < end
        time.sleep(0.1)
    follows(follower, ours)


def test_changes_of_another_process_in_a_folder_are_seen_at_once(folder_store, follow, tmp_path):
    put(folder_store, {f"id{i}": f"noun{i} noun1" for i in range(5)})
    follower = follow(folder_store)
    follows(follower, folder_store)
    with writing_process(tmp_path / "chroma") as change:
        change({"id1": "another text", "id9": "noun9"}, ["id3"])
        with fresh_of(folder_store) as wanted:
            follower.read(lambda index: same(index, wanted, TERMS))  # without look_again


@contextlib.contextmanager
def writing_process(database):
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.store.following_writer", str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def change(put, delete, **more):
        child.stdin.write(json.dumps({"put": put, "delete": delete, **more}) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "done\n"

    try:
        yield change
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()


def test_deletes_that_the_log_has_dropped_are_followed(folder_store, follow, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "_SLACK", 0)
    put(folder_store, {f"id{i}": f"noun{i}" for i in range(20)})
    follows(follow(folder_store), folder_store)
    folder_store.delete([f"id{i}" for i in range(15)])
    put(folder_store, {"last": "noun3"})
    folder_store._access._current().log.compact(without_graph=True)
    follower = follow(folder_store)
    assert follower.read(len) == 6
    follows(follower, folder_store)


def test_a_collection_that_was_restored_from_an_earlier_copy_is_followed_anew(follow, tmp_path, caplog):
    database = tmp_path / "chroma"
    store = ChromaStore.create(connect(database), "uec", MANIFEST, database)
    put(store, {"a": "noun1", "b": "noun2"})
    store.close()
    shutil.copytree(database, tmp_path / "backup")
    store, _ = ChromaStore.open(connect(database), "uec", database)
    put(store, {"a": "noun3"})
    put(store, {"c": "noun4"})
    follow(store).read(len)
    store.close()
    shutil.rmtree(database)
    shutil.copytree(tmp_path / "backup", database)
    store, _ = ChromaStore.open(connect(database), "uec", database)
    follows(follow(store), store)
    assert "another state of the collection" in caplog.text
    store.close()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill(path):
    path.write_bytes(b"no database" * 2000)


def scribble(path):
    size = path.stat().st_size
    with path.open("r+b") as file:
        for place in range(8192, size, 8192):
            file.seek(place)
            file.write(os.urandom(8192))


def age(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut, fill, scribble, age, empty, os.remove])
def test_whatever_became_of_the_file_the_index_is_made_anew(harm, store, follow, tmp_path, caplog):
    put(store, {f"id{i}": f"noun{i % 7} noun1 word{i}" for i in range(300)})
    first = follow(store)
    follows(first, store)
    first.close()
    harm(tmp_path / "words" / "uec.sqlite3")
    with caplog.at_level(logging.WARNING):
        follows(follow(store), store)
    assert ("anew" in caplog.text) == (harm not in (os.remove, empty))


@pytest.mark.parametrize("harm", [os.remove, fill])
def test_a_file_that_goes_while_it_is_open_is_made_anew(harm, store, follow, tmp_path):
    put(store, {f"id{i}": f"noun{i % 7} noun1" for i in range(100)})
    follower = follow(store)
    follows(follower, store)
    path = tmp_path / "words" / "uec.sqlite3"
    os.remove(path)
    if harm is fill:
        fill(path)
    assert follower.read(lambda index: index.statistics(["noun1"]))[2].tolist() == [100]
    follows(follower, store)


def test_two_followers_of_one_file_agree_when_one_has_made_it_anew(store, follow, tmp_path):
    put(store, {f"id{i}": f"noun{i % 7} noun1" for i in range(50)})
    one, other = follow(store), follow(store)
    follows(one, store)
    follows(other, store)
    os.remove(tmp_path / "words" / "uec.sqlite3")
    for _ in range(2):
        for follower in (one, other):
            assert follower.read(len) == 50
    inode = (tmp_path / "words" / "uec.sqlite3").stat().st_ino
    assert one.read(len) == other.read(len) == 50
    assert (tmp_path / "words" / "uec.sqlite3").stat().st_ino == inode


def test_other_settings_are_not_mixed(store, follow):
    put(store, {"a": "the houses"})
    assert follow(store).read(lambda index: index.statistics(["hous"]))[2].tolist() == [1]
    plain = follow(store, WordAnalyzer(None))
    assert plain.read(lambda index: index.statistics(["hous", "houses"]))[2].tolist() == [0, 1]


def test_where_no_file_can_be_made_words_are_kept_in_memory(store, tmp_path, caplog):
    (tmp_path / "words").write_text("a file, no folder")
    put(store, {"a": "noun1"})
    with contextlib.closing(LexicalFollower(store, tmp_path / "words" / "uec.sqlite3", ANALYZER)) as follower:
        assert follower.read(len) == 1
        put(store, {"b": "noun2"})
        follows(follower, store)
    assert caplog.text.count("in memory") == 1


def test_a_full_disk_leaves_words_in_memory_and_the_file_as_it_was(store, follow, tmp_path, monkeypatch):
    put(store, {"a": "noun1"})
    follower = follow(store)
    follows(follower, store)
    real = LexicalIndex.change

    def change(index, texts, delete, mark):
        if index._database.path is not None:
            raise StorageError("the disk is full")
        real(index, texts, delete, mark)

    monkeypatch.setattr(LexicalIndex, "change", change)
    put(store, {"b": "noun2"})
    follows(follower, store)
    monkeypatch.undo()
    follows(follow(store), store)


def test_a_kill_while_it_is_made_loses_nothing(folder_store, follow, tmp_path):
    put(folder_store, {f"id{i}": " ".join(random.choices(NOUNS, k=30)) for i in range(3000)})
    code = (
        "import sys; from pathlib import Path\n"
        "from uec_retriever.store.chroma import ChromaStore\n"
        "from uec_retriever.store.connection import connect\n"
        "from uec_retriever.store.lexical import following\n"
        "from uec_retriever.data.words import WordAnalyzer\n"
        "following._AT_ONCE = 100\n"
        "database = Path(sys.argv[1])\n"
        "store, _ = ChromaStore.open(connect(database), 'uec', database)\n"
        "f = following.LexicalFollower(store, Path(sys.argv[2]), WordAnalyzer())\n"
        "f.read(len, lambda n: print(n, flush=True))\n"
    )
    path = tmp_path / "words" / "uec.sqlite3"
    for changes in (1, 3):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "chroma"), str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(changes):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with LexicalIndex.open(path, ANALYZER.settings()) as index:
        assert 0 < len(index) < 3000
    follows(follow(folder_store), folder_store)


def test_how_far_it_is_behind(store, follow):
    put(store, {"a": "noun1", "b": "noun2"})
    follower = follow(store)
    assert follower.behind() is None
    follower.read(len)
    assert (follow(store).behind() or 0) <= 2  # a server tells the last seconds' changes again
    put(store, {f"id{i}": "noun3" for i in range(5)})
    assert follow(store).behind() >= 5


def test_an_earlier_copy_that_has_grown_past_the_mark_is_followed_anew(follow, tmp_path, caplog):
    database = tmp_path / "chroma"
    store = ChromaStore.create(connect(database), "uec", MANIFEST, database)
    put(store, {f"id{i}": "noun1" for i in range(5)})
    store.close()
    shutil.copytree(database, tmp_path / "backup")
    store, _ = ChromaStore.open(connect(database), "uec", database)
    for i in range(5):
        put(store, {f"id{i}": "noun2"})
    follow(store).read(len)
    store.close()
    shutil.rmtree(database)
    shutil.copytree(tmp_path / "backup", database)
    store, _ = ChromaStore.open(connect(database), "uec", database)
    put(store, {f"new{i}": "noun3" for i in range(20)})
    follows(follow(store), store)
    assert "another state of the collection" in caplog.text
    store.close()


def test_a_change_that_took_long_is_numbered_again(store, monkeypatch):
    if store._access.number() is None:
        pytest.skip("a log numbers the changes")
    real, told = store._access.number, []
    monkeypatch.setattr(
        store._access, "number", lambda: told.append(real()) or told[-1] - 20_000 * (len(told) == 1)
    )
    put(store, {"a": "noun1", "b": "noun2"})
    found = store.collection.get(include=["metadatas", "documents"])
    assert all(m["uec:n"] >= told[0] and m["uec:v"] for m in found["metadatas"])
    assert sorted(found["documents"]) == ["noun1", "noun2"]
