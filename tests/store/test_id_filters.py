"""Filters by the ids of records, alone and among others, in whatever takes a filter."""

import numpy as np
import pytest

from tests.store.test_filters import MANIFEST
from uec_retriever.data.records import ID_KEY, Record
from uec_retriever.errors import InvalidInputError
from uec_retriever.store import reads
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect

COUNT = 40


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = ChromaStore.create(connect(tmp_path_factory.mktemp("ids")), "ids", MANIFEST)
    records = [Record(f"r{i}", f"text {i}", {"n": i}) for i in range(COUNT)]
    angles = np.linspace(0, np.pi / 2, COUNT)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    store.put(records, vectors, ["v"] * COUNT)
    return store


def numbers(ids):
    return sorted(int(i[1:]) for i in ids)


WANTED = {ID_KEY: {"$in": ["r3", "r5", "r30", "gone"]}}
CASES = [
    (WANTED, [3, 5, 30]),
    ({ID_KEY: "r7"}, [7]),
    ({**WANTED, "n": {"$lt": 10}}, [3, 5]),
    ({"$or": [WANTED, {"n": {"$gte": 38}}, {"n": 0}]}, [0, 3, 5, 30, 38, 39]),
    ({"$or": [{"n": 0}, {"$and": [{"n": {"$gt": 3}}, WANTED]}]}, [0, 5, 30]),
    ({"$and": [WANTED, {ID_KEY: {"$in": ["r5", "r6"]}}]}, [5]),
    ({ID_KEY: {"$in": []}}, []),
    ({ID_KEY: {"$in": ["gone"]}}, []),
]


@pytest.mark.parametrize(("where", "expected"), CASES)
def test_records_of_these_ids_and_no_others(store, where, expected):
    assert numbers(store.ids(where)) == expected
    assert numbers(r.id for page in store.pages(where) for r in page) == expected
    asked = [f"r{i}" for i in range(COUNT)]
    assert numbers(r.id for r in store.get(asked, where)) == expected
    [found] = store.query(np.array([[1.0, 0.0]]), COUNT, where)
    assert [r.id for r in found.records] == [f"r{i}" for i in expected]  # nearest first


def test_more_ids_than_chroma_takes_at_once(store, monkeypatch):
    monkeypatch.setattr(reads, "_VALUES", 3)
    monkeypatch.setattr(reads, "_IDS", 4)
    where = {ID_KEY: {"$in": [f"r{i}" for i in range(0, COUNT, 2)]}}
    assert numbers(store.ids(where)) == list(range(0, COUNT, 2))
    [found] = store.query(np.array([[1.0, 0.0]]), 5, where)
    assert [r.id for r in found.records] == ["r0", "r2", "r4", "r6", "r8"]


@pytest.mark.parametrize("condition", [{"$ne": "r1"}, {"$nin": ["r1"]}, {"$gt": 1}, {"$in": ["r1", 2]}, 3])
def test_only_what_ids_can_be_is_asked(store, condition):
    with pytest.raises(InvalidInputError, match=r"takes \$eq and \$in with strings|takes a number"):
        store.ids({ID_KEY: condition})
