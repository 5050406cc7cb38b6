"""What many deletions do to Chroma's graph: searches reach every text all the same, or say that they do not."""

import logging

import numpy as np
import pytest

from devtools.chroma import running_chroma
from tests.store.small import MANIFEST, codes
from uec_retriever.data.records import Record
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.graph_files import elements
from uec_retriever.store.log import ChromaLog

TEXTS, ROUNDS = 120, 40
KEPT = []  # to the end: closing Chroma's client of a server leaves a connection, of which Python warns in other tests
DRAW = np.random.default_rng(0)


def directions(number):
    drawn = DRAW.standard_normal((number, 4)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def put(store, number, start=0):
    records = [Record(f"id{i}", f"text {i}") for i in range(start, start + number)]
    for first in range(0, number, 256):
        part = records[first : first + 256]
        store.put(part, directions(len(part)), codes(part))
    return [r.id for r in records]


def found(store):
    """How many of all texts some searches find, the fewest."""
    return min(map(len, store.query(directions(20), TEXTS + 80)))


def replaced_all(store):
    """Other texts in the place of all, again and again; how many the searches find each time."""
    for _ in range(ROUNDS):
        ids = put(store, TEXTS)
        yield found(store)
        store.delete(ids)


def test_texts_that_the_graph_lost_are_found_and_that_is_told_in_the_log(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "uec_retriever.store.reader")
    store = ChromaStore.create(connect(tmp_path), "uec", MANIFEST, tmp_path)
    assert set(replaced_all(store)) == {TEXTS}
    assert caplog.records and all("made anew" in r.getMessage() for r in caplog.records)
    store.close()


def test_not_again_before_something_has_changed(tmp_path):
    store = ChromaStore.create(connect(tmp_path), "uec", MANIFEST, tmp_path)
    put(store, TEXTS)
    assert store._access.make_graph_anew() and not store._access.make_graph_anew()
    assert found(store) == TEXTS
    put(store, 1, TEXTS)
    assert not store._access.make_graph_anew()
    put(store, 20, TEXTS)
    assert store._access.make_graph_anew()
    store.close()


def test_a_server_cannot_be_mended_from_here_and_that_is_told_once(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "uec_retriever.store.reader")
    with running_chroma(tmp_path) as served:
        store = ChromaStore.create(connect(url=served.url), "uec", MANIFEST)
        assert min(replaced_all(store)) < TEXTS
    KEPT.append(store)
    [record] = caplog.records
    assert "'uec repair' mends it" in record.getMessage()


@pytest.mark.parametrize("left", [100, 1_500])
def test_a_graph_of_mostly_deleted_texts_is_made_anew(tmp_path, left, caplog):
    store = ChromaStore.create(connect(tmp_path), "uec", MANIFEST, tmp_path)
    ids = put(store, 4_096)
    folder = tmp_path / ChromaLog.of(tmp_path, "uec").graph
    assert elements(folder) >= 3_000
    store.delete(ids[left:])
    store.compact()
    assert found(store) == min(left, TEXTS + 80)
    assert elements(folder) in (0, left)  # one of less than a thousand Chroma does not save
    assert sorted(store.ids()) == sorted(ids[:left])
    assert not caplog.records
    store.close()


def test_a_graph_of_some_deleted_texts_stays(tmp_path):
    store = ChromaStore.create(connect(tmp_path), "uec", MANIFEST, tmp_path)
    ids = put(store, 4_096)
    folder = tmp_path / ChromaLog.of(tmp_path, "uec").graph
    store.delete(ids[:1_500])
    store.compact()
    assert elements(folder) > 3_000
    store.close()
