"""Filters over stored integers, fractions, booleans, strings and lists, against a naive evaluation in Python."""

import itertools
import math
import operator

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from uec_retriever.data.records import Record
from uec_retriever.errors import InvalidInputError
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.filters import chroma_where
from uec_retriever.store.manifest import ExpertEntry, Manifest

MANIFEST = Manifest((ExpertEntry("a", "/a", "f", 2, "kron", "e" * 64, 0.0, 0.0, 1.0),), "block", 0.5, "none")
NUMBERS = (-2, -1, 0, 1, 2, 3, -1.5, -0.5, 0.5, 1.0, 1.5, 2.0, 2.5)
LARGE = (2**62, 2**63 - 1, -(2**63), 1e22, -1e22)
STRINGS = ("", "a", "b", "ab")
LISTS = (["a"], ["a", "b"], [1], [1, 2], [1.0, 2.5], [-1.5], [True, False])
VALUES = {
    "number": (*NUMBERS, *LARGE, True, False),
    "string": STRINGS,
    "list": LISTS,
    "any": (*STRINGS, 1, 1.5, True),
}
RANGES = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
SINGLES = [{key: value} for key, values in VALUES.items() for value in values]
METADATA = [
    {"other": 1},
    *SINGLES,
    *[{**a, **b} for a, b in itertools.combinations(SINGLES, 2) if a.keys() != b.keys()][::7],
]


def same(stored, value):
    """Equal by value, but a bool is no number."""
    return isinstance(stored, bool) == isinstance(value, bool) and stored == value


def holds(where, metadata):
    [(key, condition)] = where.items()
    if key in ("$and", "$or"):
        return (all if key == "$and" else any)(holds(part, metadata) for part in condition)
    if not isinstance(condition, dict):
        condition = {"$eq": condition}
    [(name, value)] = condition.items()
    there = key in metadata
    stored = metadata.get(key)
    plain, items = (None, stored) if isinstance(stored, list) else (stored, [])
    if name in RANGES:
        number = isinstance(plain, int | float) and not isinstance(plain, bool)
        return number and RANGES[name](plain, value)
    return {
        "$eq": lambda: there and same(plain, value),
        "$ne": lambda: not (there and same(plain, value)),
        "$in": lambda: there and any(same(plain, v) for v in value),
        "$nin": lambda: not (there and any(same(plain, v) for v in value)),
        "$contains": lambda: any(same(item, value) for item in items),
        "$not_contains": lambda: not any(same(item, value) for item in items),
    }[name]()


@st.composite
def leaves(draw):
    key = draw(st.sampled_from(tuple(VALUES)))
    numbers, strings = st.sampled_from((*NUMBERS, *LARGE)), st.sampled_from(STRINGS)
    kinds = {"number": (numbers,), "string": (strings,)}.get(key, (numbers, strings))
    values = draw(st.sampled_from(kinds))
    names = ["$contains", "$not_contains"] if key == "list" else ["$eq", "$ne", "$in", "$nin", "plain"]
    if values is numbers and key != "list":
        names += RANGES
    name = draw(st.sampled_from(names))
    if name in ("$in", "$nin"):
        return {key: {name: draw(st.lists(values, min_size=1, max_size=3))}}
    value = draw(values)
    return {key: value if name == "plain" else {name: value}}


WHERES = st.recursive(
    leaves(),
    lambda inner: st.builds(
        lambda word, parts: {word: parts},
        st.sampled_from(("$and", "$or")),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = ChromaStore.create(connect(tmp_path_factory.mktemp("chroma")), "uec", MANIFEST)
    records = [Record(str(i), f"text {i}", metadata) for i, metadata in enumerate(METADATA)]
    made.put(records, np.ones((len(records), 2), dtype=np.float32), ["v"] * len(records))
    yield made
    made.close()


def found(store, where):
    return {int(i) for i in store.ids(where)}


def expected(where):
    return {i for i, metadata in enumerate(METADATA) if holds(where, metadata)}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=WHERES)
@example(where={"number": {"$lt": 1.5}})
@example(where={"number": {"$nin": [2.5, 1, -1.5]}})
@example(where={"list": {"$not_contains": 1}})
def test_filters_find_what_a_naive_evaluation_finds(store, where):
    assert found(store, where) == expected(where)


@pytest.mark.parametrize("name", [*RANGES, "$eq", "$ne"])
@pytest.mark.parametrize("value", [*NUMBERS, *LARGE, 2**63, -(2**63) - 1, 2**70])
def test_every_comparison_with_every_number(store, name, value):
    where = {"number": {name: value}}
    assert found(store, where) == expected(where)


@pytest.mark.parametrize("value", [True, False])
def test_booleans_are_no_numbers(store, value):
    for where in ({"number": value}, {"number": {"$ne": value}}, {"list": {"$contains": value}}):
        assert found(store, where) == expected(where)


def test_it_holds_in_every_call_that_takes_a_filter(store):
    where = {"number": {"$lt": -1.5}}
    [lacking] = [str(i) for i, m in enumerate(METADATA) if m == {"number": -2}]
    assert lacking in store.ids(where)
    assert lacking in {r.id for page in store.pages(where) for r in page}
    assert lacking in {r.id for r in store.get([lacking], where)}
    assert lacking in {r.id for r in store.query(np.ones((1, 2)), len(METADATA), where)[0].records}
    assert set(store.ids(where)) == {str(i) for i in expected(where)}


@pytest.mark.parametrize(
    "where",
    [
        {"a": 1, "b": 2.5},
        {"a": {"$gt": 1.5, "$lt": 2.5}},
        {"a": {"$like": 1.5}},
        {"a": {"$in": 1.5}},
        {"$and": {"a": 1.5}},
        {"$or": [1.5, {"a": {"$gt": 1}}]},
        {"a": {"$lt": math.nan}},
        {"a": {"$contains": math.inf}},
        {"a": {}},
    ],
)
def test_what_is_no_filter_is_left_to_chroma_to_refuse(where):
    assert repr(chroma_where(where)) == repr(where)


def test_nothing_and_no_mapping():
    assert chroma_where(None) is chroma_where({}) is None
    with pytest.raises(InvalidInputError, match="a filter is a dictionary"):
        chroma_where([("a", 1)])
    given = {"$and": [{"a": {"$in": [1, 1.5]}}, {"b": "x"}]}
    copied = repr(given)
    assert chroma_where(given)["$and"][1] == {"b": {"$eq": "x"}}
    assert repr(given) == copied
    assert chroma_where({"a": {"$contains": 2**2000}}) == {
        "a": {"$contains": pytest.approx(1.797e308, rel=1e-3)}
    }
