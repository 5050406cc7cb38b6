"""How far a lexical index has followed its collection is never told wrongly."""

import contextlib
import random
import shutil
import sqlite3

import chromadb
import pytest
from filelock import FileLock, Timeout

from tests.store.small import MANIFEST, codes, vectors
from uec_retriever.data.records import Record
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.store import access
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.lexical import LexicalIndex, following
from uec_retriever.store.lexical.following import LexicalFollower


def put(store, texts):
    items = [Record(i, text) for i, text in texts.items()]
    store.put(items, vectors(len(items)), codes(items))


def create(database, name="uec"):
    return contextlib.closing(ChromaStore.create(connect(database), name, MANIFEST, database))


def follow(store, path):
    return contextlib.closing(LexicalFollower(store, path, WordAnalyzer()))


def df(follower, *terms):
    return follower.read(lambda index: index.statistics(terms))[2].tolist()


def test_numbers_that_chroma_gives_anew_once_another_collection_is_deleted(tmp_path):
    database = tmp_path / "chroma"
    with create(database) as store, create(database, "other") as other:
        put(store, {"a": "old", "b": "kept"})
        put(other, {str(i): "text" for i in range(10)})
        with follow(store, tmp_path / "words.sqlite3") as follower:
            assert df(follower, "old", "new") == [1, 0]
            other.client.delete_collection("other")
            put(store, {"a": "new"})
            put(store, {f"more{i}": "text" for i in range(20)})
            assert df(follower, "old", "new") == [0, 1]


def test_a_collection_that_is_made_anew_under_the_same_name(tmp_path):
    database = tmp_path / "chroma"
    with create(database) as store:
        put(store, {"a": "old", "b": "kept"})
        with follow(store, tmp_path / "words.sqlite3") as follower:
            assert df(follower, "old", "new") == [1, 0]
            store.client.delete_collection("uec")
            with create(database) as anew:
                put(anew, {"a": "new", "b": "kept", "c": "text"})
                anew.delete(["c"])
                store._access._loaded = None
                assert df(follower, "old", "new") == [0, 1]


def test_the_first_build_is_alone_too(tmp_path):
    lock = FileLock(tmp_path / "words" / "uec.lock")

    def look(_):
        with pytest.raises(Timeout):
            lock.acquire(timeout=0)

    with create(tmp_path / "chroma") as store:
        put(store, {"a": "text"})
        with follow(store, tmp_path / "words" / "uec.sqlite3") as follower:
            assert follower.read(len, look) == 1


def test_a_first_build_that_was_interrupted_is_finished_though_the_counts_are_equal(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "_AT_ONCE", 10)
    monkeypatch.setattr(access, "OVERLAP", -60_000)  # as if a minute had passed since the texts were put
    name, path = f"uec{random.randrange(10**9)}", tmp_path / "words.sqlite3"
    store = ChromaStore.create(chromadb.EphemeralClient(), name, MANIFEST)
    put(store, {f"id{i}": f"noun{i}" for i in range(20)})
    with follow(store, path) as follower, pytest.raises(KeyboardInterrupt):
        follower.read(len, interrupt)
    with LexicalIndex.open(path, WordAnalyzer().settings()) as index:
        known = index.ids()
    store.delete(known)
    assert store.count() == len(known) == 10
    with follow(store, path) as follower:
        assert follower.read(lambda index: index.ids()) == sorted(store.ids())


def interrupt(_):
    raise KeyboardInterrupt


def test_an_earlier_file_that_is_put_back_is_brought_up_again(tmp_path):
    path = tmp_path / "words.sqlite3"
    with create(tmp_path / "chroma") as store:
        put(store, {"a": "old"})
        with follow(store, path) as follower:
            assert df(follower, "old", "new") == [1, 0]
        shutil.copy(path, tmp_path / "kept")
        with follow(store, path) as follower:
            put(store, {"a": "new"})
            assert df(follower, "old", "new") == [0, 1]
            LexicalIndex.remove(path)
            (tmp_path / "kept").rename(path)
            assert df(follower, "old", "new") == [0, 1]


def test_a_change_that_chroma_has_logged_and_not_yet_made_is_followed_once_it_is_made(tmp_path):
    """Chroma logs a change in one transaction and makes the rows of it in the next."""
    database = tmp_path / "chroma"
    with create(database) as store, follow(store, tmp_path / "words.sqlite3") as follower:
        put(store, {"a": "old", "b": "kept"})
        assert df(follower, "old", "new", "later") == [1, 0, 0]
        with sqlite3.connect(database / "chroma.sqlite3") as connection:
            [(*logged, metadata)] = connection.execute(
                "SELECT topic, id, vector, encoding, operation, metadata FROM embeddings_queue WHERE id = 'a'"
            )
            connection.execute(
                "INSERT INTO embeddings_queue (topic, id, vector, encoding, operation, metadata) VALUES (?, ?, ?, ?, ?, ?)",
                (*logged, metadata.replace("old", "new")),
            )
        connection.close()
        follower.close()  # so that it looks again
        assert df(follower, "old", "new", "later") == [1, 0, 0]
        put(store, {"c": "later"})  # with which Chroma makes both
        assert [r.text for r in store.get(["a"])] == ["new"]
        assert df(follower, "old", "new", "later") == [0, 1, 1]
