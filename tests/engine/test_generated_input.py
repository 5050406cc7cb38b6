"""Generated input through the whole engine: what comes out is an answer that a dictionary would give, or our error.

Hypothesis prints the example that fails, and with `--hypothesis-seed` the run can be repeated.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.generated import ANYTHING, GENERATED, SCALARS, deep, ours
from tests.engine.small import sentences
from tests.store.test_filters import holds
from uec_retriever.errors import InvalidInputError

TEXTS = sentences(24, 5)
IDS = [f"d{i}" for i in range(len(TEXTS))]
METADATAS = [
    {"n": i, "half": i / 2, "even": i % 2 == 0, "s": f"s{i % 5}", "tags": [f"t{i % 3}", f"t{i % 4}"]}
    for i in range(len(TEXTS))
]
STORED = dict(zip(IDS, METADATAS, strict=True))
KEYS = st.sampled_from(("n", "half", "even", "s", "tags", "absent"))
NAMES = st.sampled_from(
    ("$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$contains", "$not_contains")
)
ANY_WHERE = st.recursive(
    st.dictionaries(KEYS | st.sampled_from(("$and", "$or", "$not", "", "uec:v")), ANYTHING, max_size=2)
    | st.builds(lambda k, n, v: {k: {n: v}}, KEYS, NAMES | st.text(max_size=3), ANYTHING),
    lambda inner: st.builds(
        lambda word, parts: {word: parts}, st.sampled_from(("$and", "$or")), st.lists(inner, max_size=3)
    ),
    max_leaves=4,
)
VALUES = st.one_of(
    st.integers(-1, 25), st.sampled_from((0.5, 2.0, 7.25, -0.5)), st.sampled_from(("s0", "s3", "t1", "t2"))
)
NUMBERS = st.integers(-1, 25) | st.sampled_from((0.5, 2.0, 7.25))
GOOD_LEAF = st.one_of(
    st.builds(lambda k, v: {k: v}, KEYS, VALUES | st.booleans()),
    st.builds(lambda k, n, v: {k: {n: v}}, KEYS, st.sampled_from(("$gt", "$gte", "$lt", "$lte")), NUMBERS),
    st.builds(
        lambda k, n, v: {k: {n: v}}, KEYS, st.sampled_from(("$in", "$nin")), st.lists(VALUES, max_size=4)
    ),
    st.builds(lambda n, v: {"tags": {n: v}}, st.sampled_from(("$contains", "$not_contains")), VALUES),
)
GOOD_WHERE = st.recursive(
    GOOD_LEAF | st.just({}),
    lambda inner: (
        st.builds(
            lambda word, parts: {word: parts},
            st.sampled_from(("$and", "$or")),
            st.lists(inner, min_size=1, max_size=3),
        )
        | st.builds(lambda a, b: {**a, **b}, inner, inner)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def index(loaded, tmp_path_factory):
    from tests.engine.small import pairs
    from uec_retriever.engine.engine import Engine

    engine = Engine.create(tmp_path_factory.mktemp("generated") / "index", [loaded["static"]], pairs())
    engine.add(TEXTS, IDS, METADATAS)
    yield engine
    engine.close()


@GENERATED
@given(k=ANYTHING, candidates=st.none() | ANYTHING, temperature=st.none() | ANYTHING)
def test_options_of_a_search(index, k, candidates, temperature):
    found = ours(index.search, "wing flow", k, candidates=candidates, temperature=temperature)
    assert found is None or len(found) <= len(IDS)


@pytest.mark.parametrize(
    "odd", [10**5000, deep(5000), deep(5001), float("nan"), np.ones(3)], ids=lambda v: str(type(v))
)
def test_what_has_no_repr_is_refused_all_the_same(index, odd):
    for call in (
        lambda: index.search("wing", [odd]),
        lambda: index.search("wing", candidates=[odd]),
        lambda: index.search("wing", temperature=odd),
        lambda: index.search("wing", where={"tags": {"$contains": {"a": odd}}}),
        lambda: index.search("wing", where={"$and": odd}),
        lambda: index.search(odd),
        lambda: index.get([odd]),
        lambda: index.delete(["d1", odd]),
        lambda: index.add([odd]),
        lambda: index.add(["a"], [odd]),
        lambda: index.add(["a"], metadatas=[{"a": [odd]}]),
        lambda: index.search_embedding([odd]),
    ):
        with pytest.raises(InvalidInputError):
            call()


@pytest.mark.parametrize("k", [100, 2**31, 3_000_000_000, 2**63, 10**400])
def test_more_hits_than_there_are_texts_gives_them_all(index, k):
    assert len(index.search("wing flow", k)) == len(IDS)
    assert len(index.search("wing flow", 3, candidates=k)) == 3


@GENERATED
@given(query=ANYTHING)
def test_queries(index, query):
    for call in (index.search, index.search_embedding, index.search_together):
        ours(call, query, 3)
    ours(index.search_batch, query)
    ours(index.rescore, query, TEXTS[:2])
    ours(index.rescore, "wing", query)
    for call in (index.embed_queries, index.embed_documents):
        ours(call, query)


@GENERATED
@given(where=ANY_WHERE)
def test_any_filter_is_applied_or_refused(index, where):
    found = [
        ours(index.ids, where),
        ours(index.get, None, where),
        ours(index.search, "wing", 24, where=where),
    ]
    ids = [None if one is None else {r if isinstance(r, str) else r.id for r in one} for one in found]
    assert ids[0] == ids[1] == ids[2]


@GENERATED
@given(where=GOOD_WHERE)
def test_filters_find_what_a_naive_evaluation_finds(index, where):
    right = [i for i in IDS if holds(where, STORED[i])]
    assert index.ids(where) == right
    assert [r.id for r in index.get(where=where)] == right
    assert [r.id for r in index.get(IDS[::-2], where)] == [i for i in IDS[::-2] if i in right]
    assert {h.id for h in index.search("wing flow", len(IDS), where=where)} == set(right)


@GENERATED
@given(ids=ANYTHING | st.lists(st.sampled_from(IDS) | ANYTHING, max_size=4))
def test_ids_to_read(index, ids):
    found = ours(index.get, ids)
    assert (
        found is None
        or ids is None
        or [r.id for r in found] == [i for i in dict.fromkeys(ids) if i in STORED]
    )
    ours(index.vectors_by_id, ids)


@pytest.mark.parametrize("call", ["get", "delete", "vectors_by_id"])
@pytest.mark.parametrize("ids", [["d1", 2], ["d1", ["d2"]], [b"d1"], 3, "d1", [None], ["\ud800"]], ids=ascii)
def test_ids_that_no_record_can_have_are_refused_and_nothing_is_done(index, call, ids):
    with pytest.raises(InvalidInputError, match=r"id \d |list of ids"):
        getattr(index, call)(ids)
    assert index.count() == len(IDS)


@GENERATED
@given(
    texts=st.lists(st.sampled_from(TEXTS) | SCALARS, max_size=3) | ANYTHING,
    ids=st.none() | st.lists(SCALARS, max_size=3) | ANYTHING,
    metadatas=st.none() | st.lists(st.dictionaries(KEYS, SCALARS, max_size=2), max_size=3) | ANYTHING,
    where=st.none() | GOOD_WHERE | ANY_WHERE,
    existing=st.sampled_from(["replace", "refuse", "skip"]) | ANYTHING,
)
def test_adding_and_deleting(index, texts, ids, metadatas, where, existing):
    report = ours(index.add, texts, ids, metadatas, existing=existing)
    there = {r.id: r.metadata for r in index.get()}
    assert len(there) == index.count() == len(IDS) + (report.added if report else 0)
    matched = ours(index.ids, where) if where is not None else None
    gone = ours(index.delete, where=where)
    assert gone in (None, len(matched or []))
    if gone:
        assert {r.id for r in index.get()} == there.keys() - set(matched)
    index.delete([r.id for r in index.get() if r.id not in STORED])
    index.add(TEXTS, IDS, METADATAS)
    assert {r.id: r.metadata for r in index.get()} == STORED


@pytest.mark.parametrize("where", [{}, {"n": {"$nin": []}}, {"$and": [{}, {}]}])
def test_a_filter_that_every_record_matches_deletes_nothing(index, where):
    with pytest.raises(InvalidInputError, match="would delete every text"):
        index.delete(where=where)
    assert index.count() == len(IDS)


def test_deleting_by_a_filter_that_sqlite_refuses(index):
    far = range(10**6, 10**6 + 33_000)
    assert index.delete(where={"n": {"$in": [*far, 3, 5]}}) == 2
    assert {h.id for h in index.search("wing", 30, where={"n": {"$nin": [*far, 4]}})} == set(IDS) - {
        "d3",
        "d4",
        "d5",
    }
    assert index.add(TEXTS, IDS, METADATAS).added == 2
