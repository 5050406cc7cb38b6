"""Reading records straight from Chroma's sqlite file, against Chroma itself."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.store.small import MANIFEST, put, records, vectors
from tests.store.test_chroma import KINDS
from uec_retriever.data.records import Record, same_content
from uec_retriever.errors import StorageError
from uec_retriever.store import embedded
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.rows import COLUMNS

ITEMS = [Record(f"kind {i}", f"text {i}", {key: value}) for i, (key, value) in enumerate(KINDS.items())]


@pytest.fixture
def store(tmp_path):
    (tmp_path / "chroma").mkdir()
    made = ChromaStore.create(connect(tmp_path / "chroma"), "uec", MANIFEST, tmp_path / "chroma")
    yield made
    made.close()


def by_chroma(store, ids):
    got = store.collection.get(ids=ids, include=["documents", "metadatas", "embeddings"])
    return {i: values for i, *values in zip(*(got[name] for name in COLUMNS), strict=True)}


def directly(store, ids):
    columns, others = store._access.rows(ids)
    return {i: values for i, *values in zip(*(columns[name] for name in COLUMNS), strict=True)}, others


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for identifier, (text, metadata, vector) in found.items():
        assert text == expected[identifier][0]
        assert same_content(
            Record(identifier, text, metadata), Record(identifier, text, expected[identifier][1])
        )
        for key, value in metadata.items():
            assert type(value) is type(expected[identifier][1][key])
        np.testing.assert_array_equal(vector, expected[identifier][2])


def test_every_kind_of_metadata_text_and_vector_is_as_chroma_gives_it(store):
    whole = Record("whole", "embedded otherwise", {"a": 1}, "what was embedded", "payload", "source")
    store.put([*ITEMS, whole], vectors(len(ITEMS) + 1), ["v" * 2000] * (len(ITEMS) + 1))
    ids = [*(r.id for r in ITEMS), "whole", "absent"]
    found, others = directly(store, ids)
    assert not others and len(found) == len(ITEMS) + 1
    assert_same(found, by_chroma(store, ids))


def test_replaced_deleted_and_changed_records(store):
    items = records(6)
    put(store, items)
    put(store, [Record("id001", "new", {"other": True})], seed=7)
    store.delete(["id002"])
    store.replace_metadata([Record("id003", items[3].text, {"m": "new"})], {"id003": items[3]})
    ids = [r.id for r in items]
    found, others = directly(store, ids)
    assert others == ["id003"]  # its last change in the log is of metadata alone
    expected = by_chroma(store, ids)
    assert expected.pop("id003")[1]["m"] == "new"
    assert_same(found, expected)
    assert sorted(store.stored(ids)) == ["id000", "id001", "id003", "id004", "id005"]
    assert store.stored(ids)["id003"].record.metadata == {"m": "new"}


def test_another_collection_of_the_same_ids_stays_out(store, tmp_path):
    put(store, records(2), seed=1)
    other = ChromaStore.create(store.client, "other", MANIFEST, tmp_path / "chroma")
    put(other, records(3), seed=2)
    for each in (store, other):
        ids = ["id000", "id001", "id002"]
        assert_same(directly(each, ids)[0], by_chroma(each, ids))


@pytest.mark.parametrize("loss", ["vectors", "tables"])
def test_what_the_file_does_not_tell_chroma_does(store, tmp_path, loss):
    items = records(5)
    put(store, items)
    expected = store.stored([r.id for r in items])
    assert len(expected) == 5
    with sqlite3.connect(tmp_path / "chroma" / "chroma.sqlite3") as connection:
        if loss == "vectors":  # as an index that 0.1.0 began
            connection.execute("UPDATE embeddings_queue SET vector = NULL WHERE seq_id <= 3")
        else:  # as a later Chroma may have it
            connection.execute("ALTER TABLE embeddings_queue RENAME COLUMN encoding TO coding")
    connection.close()
    if loss == "tables":
        with pytest.raises(StorageError):
            directly(store, ["id000"])
    found = store.stored([r.id for r in items])
    assert {i: each.record for i, each in found.items()} == {i: each.record for i, each in expected.items()}
    for i, each in found.items():
        np.testing.assert_array_equal(each.mean, expected[i].mean)


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.stored(["a"])


def test_while_something_is_changed_here_chroma_tells(store, monkeypatch):
    """The two copies of SQLite in a process do not exclude each other: what is read meanwhile may be half new."""
    items = records(5)
    put(store, items)
    ids = [r.id for r in items]
    assert len(directly(store, ids)[0]) == 5
    with store._access.changing():
        assert directly(store, ids) == ({}, ids)
    changed = threading.Event()

    def meanwhile(log, asked):
        writer.start()
        assert not changed.wait(0.2)  # it waits until this is read
        return real(log, asked)

    def write():
        store.replace_metadata([replace(items[0], metadata={"new": 1})], {items[0].id: items[0]})
        changed.set()

    real, writer = embedded.read_rows, threading.Thread(target=write)
    monkeypatch.setattr(embedded, "read_rows", meanwhile)
    assert len(directly(store, ids)[0]) == 5
    assert changed.wait(10)
    monkeypatch.undo()
    writer.join()
    assert len(directly(store, ids)[0]) == 4  # the log has no vector beside a change of metadata


def test_threads_that_read_while_others_replace_see_records_of_one_moment(store):
    ids = [f"id{i}" for i in range(20)]

    def write(generation):
        made = [Record(i, f"{i} of {generation}", {"generation": generation}) for i in ids]
        store.put(made, np.full((len(ids), 4), generation, np.float32), [f"v{generation}"] * len(ids))

    write(0)
    done = threading.Event()

    def read():
        torn = []
        while not done.is_set():
            torn += [
                (each.record, each.mean)
                for each in store.stored(ids).values()
                if each.record.text.split()[-1] != str(each.record.metadata["generation"])
            ]
        return torn

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for generation in range(1, 40):
            write(generation)
        done.set()
        assert not any(reader.result() for reader in readers)
