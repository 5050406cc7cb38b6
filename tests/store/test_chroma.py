import numpy as np
import pytest

from tests.store.small import codes, put, records, vectors
from uec_retriever.data.records import Record, same_content
from uec_retriever.errors import (
    InvalidInputError,
)

KINDS = {
    "string": "word",
    "empty": "",
    "space": " ",
    "unicode": "é 🙂 漢字\n\t\"'\\",
    "long": "x" * 5000,
    "int": 3,
    "zero": 0,
    "small": -(2**63),
    "big": 2**63 - 1,
    "float": 0.1,
    "whole": 2.0,
    "huge": 1e300,
    "tiny": 5e-324,
    "yes": True,
    "no": False,
    "strings": ["b", "a", ""],
    "ints": [3, 1, 2**62],
    "floats": [0.1, 2.0],
    "bools": [True, False],
    "ключ.with $ signs": 1,
    "a#b": "h",
}


def listed(candidates):
    return list(candidates.records)


def matching(store, where=None):
    return [record for page in store.pages(where) for record in page]


def test_put_and_get_over_several_batches(store):
    items = records(8)
    put(store, items)
    assert store.count() == 8
    wanted = ["id007", "absent", "id000", "id004", "id003", "id001"]
    assert store.get(wanted) == [items[7], items[0], items[4], items[3], items[1]]
    assert matching(store) == items
    assert matching(store, {"n": {"$gte": 5}}) == items[5:]
    assert store.get([]) == []
    assert store.get(["absent"]) == []


def test_ids_given_twice_are_one(store):
    put(store, records(5))
    assert [r.id for r in store.get(["id004", "id001", "id004"])] == ["id004", "id001"]
    assert store.delete(["id004", "id001", "id004"]) == 2
    assert store.count() == 3


@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_pages_hold_every_record_once(store, size):
    items = records(8)
    put(store, items)
    pages = list(store.pages(size=size))
    assert [r for page in pages for r in page] == items
    assert max(map(len, pages)) <= size
    odd = [r for page in store.pages({"n": {"$in": [1, 3, 5, 7]}}, size=2) for r in page]
    assert odd == items[1::2]


def test_replacing_takes_text_vector_and_variance(store):
    put(store, records(8))
    new = [Record("id002", "new text", {"n": 2}), Record("id009", "another", {})]
    store.put(new, np.eye(4, dtype=np.float32)[:2], ["new", "fresh"])
    assert store.count() == 9
    assert store.get(["id002", "id009"]) == new
    (found,) = store.query(np.eye(4, dtype=np.float32)[:1], 1)
    assert (listed(found)[0].id, found.variances) == ("id002", ["new"])
    np.testing.assert_allclose(found.means, [1.0], atol=1e-6)


@pytest.mark.parametrize("how", ["put", "replace_metadata"])
def test_stale_metadata_vanishes(store, how):
    items = records(8, old=1, tags=["a"])
    put(store, items)
    new = [Record(r.id, r.text, {"n": r.metadata["n"], "fresh": "x"}) for r in items[:5]]
    new[0] = Record("id000", "text 0", {})
    if how == "put":
        put(store, new)
    else:
        store.replace_metadata(new, {r.id: r for r in items})
    assert matching(store) == [*new, *items[5:]]
    assert matching(store, {"old": 1}) == items[5:]
    assert matching(store, {"tags": {"$contains": "a"}}) == items[5:]


@pytest.mark.parametrize("how", ["put", "replace_metadata"])
def test_a_key_may_change_its_type(store, how):
    values = [1, 1.5, False, "x", [2], ["y"], [0.5], [True]]
    pairs = [(old, new) for old in values for new in values]
    old = Record("a", "text", {f"k{i}": old for i, (old, _) in enumerate(pairs)})
    put(store, [old])
    changed = [Record("a", "text", {f"k{i}": new for i, (_, new) in enumerate(pairs)})]
    if how == "put":
        put(store, changed)
    else:
        store.replace_metadata(changed, {"a": old})
    assert store.get(["a"]) == changed
    got = store.get(["a"])[0].metadata
    assert [type(got[f"k{i}"]) for i in range(len(pairs))] == [type(new) for _, new in pairs]


def test_replacing_metadata_keeps_vector_and_variance(store):
    items = records(7)
    put(store, items)
    before = store.query(vectors(1, 5), 7)[0]
    new = [Record(r.id, "ignored", {"other": r.id}) for r in items]
    store.replace_metadata(new, {r.id: r for r in items})
    after = store.query(vectors(1, 5), 7)[0]
    assert [r.text for r in listed(after)] == [r.text for r in listed(before)]
    assert after.variances == before.variances
    np.testing.assert_array_equal(after.means, before.means)


@pytest.mark.parametrize("key", KINDS)
def test_metadata_of_every_kind_comes_back_unchanged(store, key):
    item = Record("a", "text", {key: KINDS[key]})
    put(store, [item])
    (by_query,) = listed(store.query(vectors(1), 1)[0])
    for got in (*store.get(["a"]), *matching(store), *next(store.pages()), by_query):
        value = got.metadata[key]
        assert got == item
        assert type(value) is type(KINDS[key])
        if isinstance(value, list):
            assert [type(v) for v in value] == [type(v) for v in KINDS[key]]


def test_floats_come_back_but_for_the_last_bit(store):
    """Chroma's own loss: what compares records must bear it (`same_content`)."""
    drawn = [0.1 * i for i in range(40)] + np.random.default_rng(0).normal(size=60).tolist()
    items = [Record(f"{i:03}", "text", {"x": x, "l": [x]}) for i, x in enumerate(drawn)]
    put(store, items)
    got = matching(store)
    assert all(same_content(a, b) for a, b in zip(items, got, strict=True))
    np.testing.assert_array_max_ulp(np.array([r.metadata["x"] for r in got]), np.array(drawn), 1)


def test_nothing_of_ours_is_in_metadata(store):
    put(store, [Record("a", "text", {})])
    assert store.get(["a"])[0].metadata == {}
    assert listed(store.query(vectors(1), 1)[0])[0].metadata == {}
    raw = store.collection.get(include=["metadatas"])["metadatas"][0]
    assert raw.pop("uec:n") > 1.7e12  # milliseconds, when it was put
    assert raw == {"uec:v": "va"}  # so there was something to hide


def test_delete(store):
    put(store, records(8))
    assert store.delete(["id001", "absent"]) == 1
    assert store.delete(["id001"]) == 0
    assert store.delete(store.ids({"n": {"$gte": 4}})) == 4
    assert store.delete(["id000", "id002", "id003"]) == 3
    assert store.count() == 0


def test_query_is_the_dot_product(store):
    items = records(50)
    means = vectors(50)
    store.put(items, means, codes(items))
    queries = vectors(3, 1) * 0.7
    for query, found in zip(queries, store.query(queries, 50), strict=True):
        dots = means @ query
        order = np.argsort(-dots)
        assert [r.id for r in listed(found)] == [items[i].id for i in order]
        np.testing.assert_allclose(found.means, dots[order], atol=1e-6)
        assert found.variances == [f"v{items[i].id}" for i in order]


def test_many_queries_with_many_candidates_each(store):
    items = records(600)
    put(store, items)
    found = store.query(vectors(64, 1), 600)  # more than SQLite takes in one statement
    assert [len(listed(f)) for f in found] == [600] * 64


def test_query_with_filter_limit_and_nothing_there(store):
    assert listed(store.query(vectors(2), 5)[1]) == []
    put(store, records(20))
    (found,) = store.query(vectors(1, 1), 4, {"n": {"$lt": 3}})
    assert {r.id for r in listed(found)} == {"id000", "id001", "id002"}
    assert len(listed(store.query(vectors(1), 4)[0])) == 4
    assert listed(store.query(vectors(1), 4, {"n": 99})[0]) == []


BAD_FILTERS = [{"n": {"$near": 1}}, {"$and": []}, {"n": None}, {"n": {"$in": 3}}, {1: 2}, "n > 1", ["n"]]


@pytest.mark.parametrize("bad", BAD_FILTERS, ids=str)
def test_filters_that_chroma_refuses_are_named(store, bad):
    put(store, records(2))
    calls = (
        lambda: store.query(vectors(1), 1, bad),
        lambda: matching(store, bad),
        lambda: store.ids(bad),
        lambda: store.get(["id000"], bad),
    )
    for call in calls:
        with pytest.raises(InvalidInputError) as caught:
            call()
        assert str(caught.value).count(repr(bad)) == 1
    assert store.count() == 2


def test_pages_lose_nothing_while_others_delete(store):
    put(store, records(60))
    seen = []
    for page in store.pages(size=10):
        seen += page
        store.delete([r.id for r in page[:5]])
    assert seen == records(60)


def test_a_filter_costs_as_many_calls_as_there_are_matches(store, monkeypatch):
    put(store, records(60))
    calls, real = [], store.collection.get
    monkeypatch.setattr(store.collection, "get", lambda *a, **k: calls.append(k) or real(*a, **k))
    assert [r.id for page in store.pages({"n": {"$lt": 2}}, size=10) for r in page] == ["id000", "id001"]
    assert len(calls) == 2


def test_a_long_variance_is_kept_in_parts(store):
    """Just below 1,000 characters a key, Chroma takes twice the space and time for a record."""
    coded = "".join(chr(97 + i % 26) for i in range(2500))
    store.put(records(1), vectors(1), [coded])
    raw = store.collection.get(include=["metadatas"])["metadatas"][0]
    assert sorted(raw) == ["n", "uec:n", "uec:v", "uec:v1", "uec:v2"]
    assert max(len(part) for part in raw.values() if isinstance(part, str)) < 1000
    assert matching(store) == records(1)
    assert store.query(vectors(1), 1)[0].variances == [coded]


def test_many_queries_are_one_call_to_chroma_and_come_in_order(store, monkeypatch):
    put(store, records(50))
    calls, real = [], store.collection.query
    monkeypatch.setattr(store.collection, "query", lambda **k: calls.append(k) or real(**k))
    queries = vectors(100, 3)
    together = store.query(queries, 5)
    assert len(calls) == 2
    alone = [store.query(query[None], 5)[0] for query in queries]
    assert [listed(found) for found in together] == [listed(found) for found in alone]


def test_what_fails_in_our_own_code_is_no_fault_of_chroma(store):
    with pytest.raises(ValueError, match="inhomogeneous"):
        store.put(records(2), [[1.0, 2.0, 3.0, 4.0], [1.0]], ["a", "b"])
    with pytest.raises(ValueError, match="could not convert"):
        store.query([["a", "b", "c", "d"]], 1)
    assert store.count() == 0


def test_a_record_of_someone_else_is_left_out_and_named(store, caplog):
    store.put([Record("ours", "text", {})], vectors(2)[:1], ["dg=="])
    store.collection.add(ids=["x"], embeddings=vectors(1), documents=["text"])
    store.collection.add(ids=["y"], embeddings=vectors(1), documents=["text"], metadatas=[{"a": 1}])
    assert [r.id for r in store.query(vectors(1), 9)[0].records] == ["ours"]
    assert "1 records that something else wrote" in caplog.text and "'y'" in caplog.text


def test_a_variance_that_0_1_0_wrote_over_one_in_parts(store):
    """It keeps long ones whole under one key, and does not know of the others."""
    store.put(records(1), vectors(1), ["n" * 1500])
    store.collection.update(ids=["id000"], metadatas=[{"uec:v": "o" * 1300}])
    assert store.query(vectors(1), 1)[0].variances == ["o" * 1300]
