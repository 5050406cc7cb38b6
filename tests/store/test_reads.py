"""Filters that SQLite refuses in one statement: asked in parts, and the answer is that of a naive evaluation."""

import numpy as np
import pytest
from chromadb.errors import InternalError

from tests.store.small import records, vectors
from tests.store.test_filters import holds
from uec_retriever.errors import StorageError
from uec_retriever.store import reads
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect

COUNT = 60
MANY = 33_000
FAR = range(1_000_000, 1_000_000 + MANY)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    from tests.store.small import MANIFEST

    made = ChromaStore.create(connect(tmp_path_factory.mktemp("chroma")), "uec", MANIFEST)
    items = [r for i in range(COUNT) for r in records(1, i, s=f"s{i}", even=i % 2 == 0)]
    made.put(items, vectors(COUNT), ["v"] * COUNT)
    yield made
    made.close()


def expected(where):
    return [f"id{i:03}" for i in range(COUNT) if holds(where, {"n": i, "s": f"s{i}", "even": i % 2 == 0})]


LARGE = {
    "integers": {"n": {"$in": [*FAR, 3, 5, 2.0, 7.5]}},
    "strings": {"s": {"$in": [*map(str, FAR), "s3", "s8"]}},
    "none of": {"n": {"$nin": [*FAR, 3, 5]}},
    "none of strings": {"s": {"$nin": [*map(str, FAR), "s3", "s8"]}},
    "with others": {"n": {"$in": [*FAR, 3, 4, 5]}, "even": True},
    "either": {"$or": [{"n": {"$in": [*FAR, 3, 4]}}, {"s": "s9"}, {"s": {"$in": []}}]},
    "both": {"$and": [{"n": {"$nin": [*FAR, 3]}}, {"s": {"$in": [*map(str, FAR), "s3", "s4"]}}]},
    "nothing": {"n": {"$in": list(FAR)}},
    "many alternatives": {"$or": [{"n": i} for i in range(30, 1500)]},
    "many conditions": {"$and": [{"n": {"$ne": i}} for i in range(30, 1500)]},
}


@pytest.mark.parametrize("where", LARGE.values(), ids=LARGE)
def test_large_filters_in_every_read(store, where):
    right = expected(where)
    assert store.ids(where) == right
    assert [r.id for page in store.pages(where) for r in page] == right
    some = ["id005", "id004", "absent", "id003", "id050"]
    assert [r.id for r in store.get(some, where)] == [i for i in some if i in right]
    query = vectors(3, seed=9)
    for limit in (4, COUNT):
        means = dict(zip((f"id{i:03}" for i in range(COUNT)), (vectors(COUNT) @ query.T), strict=True))
        for row, candidates in enumerate(store.query(query, limit, where)):
            best = sorted(right, key=lambda i: -means[i][row])[:limit]
            assert [r.id for r in candidates.records] == best
            assert np.allclose(candidates.means, [means[i][row] for i in best], atol=1e-6)


def test_parts_of_a_search_are_joined(store, monkeypatch):
    monkeypatch.setattr(reads, "_VALUES", 2)
    monkeypatch.setattr(reads, "_IDS", 7)
    where = {"n": {"$nin": [1, 2, 3]}}
    one = store.query(vectors(2, seed=3), 10, where)
    monkeypatch.undo()
    other = store.query(vectors(2, seed=3), 10, where)
    assert [[r.id for r in c.records] for c in one] == [[r.id for r in c.records] for c in other]


@pytest.mark.parametrize(("failures", "fails"), [(5, False), (100, True)])
@pytest.mark.parametrize(
    "sign", ["Error finding id", "Error creating hnsw segment reader: Nothing found on disk"]
)
def test_a_graph_that_is_behind_for_a_moment_is_no_failure(store, monkeypatch, sign, failures, fails):
    monkeypatch.setattr(reads, "_VALUES", 1)
    waited: list[float] = []
    monkeypatch.setattr(reads.time, "sleep", waited.append)
    real, left = type(store.collection).query, [failures]

    def query(self, *args, **keywords):
        if left[0]:
            left[0] -= 1
            raise InternalError(f"Error executing plan: Internal error: {sign}")
        return real(self, *args, **keywords)

    monkeypatch.setattr(type(store.collection), "query", query)
    if fails:
        with pytest.raises(StorageError, match=sign):
            store.query(vectors(1), 3, {"n": {"$in": [1, 2]}})
        assert 1 < sum(waited) < 3
    else:
        [found] = store.query(vectors(1), 3, {"n": {"$in": [1, 2]}})
        assert sorted(r.id for r in found.records) == ["id001", "id002"]


def test_another_failure_is_told_at_once(store, monkeypatch):
    calls = []

    def query(self, *args, **keywords):
        calls.append(args)
        raise InternalError("the disk is full")

    monkeypatch.setattr(type(store.collection), "query", query)
    with pytest.raises(StorageError, match="disk"):
        store.query(vectors(1), 3)
    assert len(calls) == 1


def test_a_read_that_takes_long_is_not_begun_again_and_again(store, monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(reads.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(reads.time, "sleep", lambda seconds: None)

    def read():
        calls.append(now[0])
        now[0] += 1.5  # as if it loaded a large graph
        raise StorageError("Chroma could not query: Error finding id")

    with pytest.raises(StorageError, match="finding id"):
        reads.read_patiently(read)
    assert len(calls) == 2
