"""Filters over stored integers, fractions, booleans, strings and lists, against a naive evaluation in Python."""

import itertools
import math
import operator

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devtools.generated import examples
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
    return all(holds_key(key, condition, metadata) for key, condition in where.items())


def holds_key(key, condition, metadata):
    if key in ("$and", "$or"):
        return (all if key == "$and" else any)(holds(part, metadata) for part in condition)
    if not isinstance(condition, dict):
        condition = {"$eq": condition}
    return all(holds_operator(key, name, value, metadata) for name, value in condition.items())


def holds_operator(key, name, value, metadata):
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
        return {key: {name: draw(st.lists(values, max_size=3))}}
    value = draw(values)
    return {key: value if name == "plain" else {name: value}}


def merged(parts):
    """Filters in one object, as far as their keys and operators differ."""
    joined = {}
    for part in parts:
        for key, condition in part.items():
            there = joined.get(key, {})
            both_operators = isinstance(there, dict) and isinstance(condition, dict)
            joined[key] = {**there, **condition} if both_operators else condition
    return joined


WHERES = st.recursive(
    leaves(),
    lambda inner: (
        st.builds(
            lambda word, parts: {word: parts},
            st.sampled_from(("$and", "$or")),
            st.lists(inner, min_size=1, max_size=3),
        )
        | st.lists(inner, max_size=3).map(merged)
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


@settings(
    max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
    ("where", "words"),
    [
        ({"a": {"$like": 1.5}}, "operator '\\$like': use one of \\$eq, "),
        ({"a": {1: 1.5}}, "operator 1: use one of"),
        ({"a": {"$in": 1.5}}, "\\$in of 'a' takes a list of values, got 1.5"),
        ({"a": {"$in": "abc"}}, "takes a list of values, got 'abc'"),
        ({"a": {"$in": [[1]]}}, "a string, a number or a boolean, or \\$in for any of several, got \\[1\\]"),
        ({"a": [1, 2]}, "or \\$in for any of several"),
        ({"a": None}, "a string, a number or a boolean, got None"),
        ({"a": b"x"}, "got b'x'"),
        ({"a": {"$gt": "x"}}, "\\$gt of 'a' takes a number, got 'x'"),
        ({"a": {"$gt": True}}, "\\$gt of 'a' takes a number, got True"),
        ({"a": {"$lt": math.nan}}, "finite numbers, got nan"),
        ({"a": {"$contains": math.inf}}, "finite numbers, got inf"),
        ({"a": np.array([1, 2])}, "or \\$in for any of several, got array"),
        ({"a": np.float32(np.nan)}, "finite numbers, got nan"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"\ud800": 1}, "keys of metadata, which are strings"),
        ({1: 1}, "keys of metadata, which are strings, got 1"),
        ({"a": {}}, "says nothing of 'a'"),
        ({"$and": {"a": 1.5}}, "\\$and takes a list of filters"),
        ({"$and": []}, "takes a list of filters, at least one"),
        ({"$or": [1.5, {"a": {"$gt": 1}}]}, "takes a list of filters, got 1.5 in it"),
        ({"$not": [{"a": 1}]}, "there is no '\\$not': filters are joined with \\$and or \\$or"),
        ([("a", 1)], "a filter is a dictionary"),
        ([], "a filter is a dictionary"),
        ("a", "a filter is a dictionary"),
    ],
    ids=ascii,
)
def test_what_is_no_filter_is_refused_saying_why(store, where, words):
    with pytest.raises(InvalidInputError, match=words):
        chroma_where(where)


def nested(depth, step=lambda inner: {"$and": [inner, {"a": 1}]}):
    where = {"a": 1}
    for _ in range(depth):
        where = step(where)
    return where


def test_filters_within_each_other():
    assert list(chroma_where(nested(90))) == ["$and"]
    for depth in (100, 20_000):
        with pytest.raises(InvalidInputError, match="more than 100 filters within each other: flatten it"):
            chroma_where(nested(depth))


def test_alternating_joins_deeper_than_chroma_takes(store):
    where = {"number": 1}
    for i in range(90):
        where = {"$or" if i % 2 else "$and": [where, {"number": {"$ne" if i % 2 else "$gt": 0.5}}]}
    assert found(store, where) == expected(where)


def test_what_programs_write_is_made_what_chroma_takes(store):
    assert chroma_where({"a": {"$nin": []}}) is None
    assert chroma_where({"$and": [{}, {"$and": [{"a": 1}]}]}) == {"a": {"$eq": 1}}
    assert chroma_where({"a": 1, "b": {"$gt": 1, "$lt": 3}}) == {
        "$and": [{"a": {"$eq": 1}}, {"b": {"$gt": 1}}, {"b": {"$lt": 3}}]
    }
    assert chroma_where({"$or": [{"a": {"$in": []}}, {"b": 1}]}) == {"b": {"$eq": 1}}
    assert found(store, {"number": {"$in": []}}) == set()
    assert store.query(np.ones((1, 2)), 5, {"number": {"$in": []}})[0].records == []


@pytest.mark.parametrize(
    "value",
    [np.float32(1.5), np.float64(2.5), np.int64(2), np.str_("a"), np.bool_(True), np.array(2)],
    ids=repr,
)
def test_values_of_numpy_are_those_of_python(store, value):
    for key in ("number", "any"):
        assert found(store, {key: value}) == expected({key: value.item()})
        for name in ("$in", "$nin"):
            plain = expected({key: {name: [value.item()]}})
            assert found(store, {key: {name: [value]}}) == plain
            assert found(store, {key: {name: np.array([value])}}) == plain


def test_nothing_and_no_mapping():
    assert chroma_where(None) is chroma_where({}) is None
    given = {"$and": [{"a": {"$in": [1, 1.5]}}, {"b": "x"}]}
    copied = repr(given)
    assert chroma_where(given)["$and"][1] == {"b": {"$eq": "x"}}
    assert repr(given) == copied
    assert chroma_where({"a": {"$contains": 2**2000}}) == {
        "a": {"$contains": pytest.approx(1.797e308, rel=1e-3)}
    }
