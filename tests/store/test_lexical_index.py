"""The lexical index: exact counts and scores after any changes."""

import random
import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.lexical_corpus import K1, WORDS, B, check, corpus, fresh, naive, same
from uec_retriever.store.lexical import LexicalIndex, documents, moment, postings, search


@pytest.fixture
def small_rows(monkeypatch):
    """Rows of so few postings and lengths that small indexes have many."""
    monkeypatch.setattr(postings, "MOST", 4)
    monkeypatch.setattr(documents, "BLOCK", 8)


@pytest.fixture(params=[0, moment.WHOLE], ids=["by parts", "as a whole"])
def whole(request, monkeypatch):
    """Both ways to search: among postings too many to go through, and through all of them."""
    monkeypatch.setattr(moment, "WHOLE", request.param)


# scores


def test_scores_are_those_of_bm25s():
    bm25s = pytest.importorskip("bm25s")
    texts = {k: v for k, v in corpus(200, words=list("abcdefghijklmnopqrstuvwxyz")).items() if v}
    other = bm25s.BM25(k1=K1, b=B, method="lucene")
    other.index(list(texts.values()), show_progress=False)
    index = fresh(texts)
    for query in (["a", "z"], ["q", "r", "s"], list("abcdefgh")):
        n, _, df = index.statistics(query)
        weights = dict(zip(query, np.log1p((n - df + 0.5) / (df + 0.5)).tolist(), strict=True))
        hits = dict(index.search(weights, len(texts), K1, B))
        wanted = other.get_scores(query) * (K1 + 1)  # bm25s leaves this factor out
        found = [hits.get(identifier, 0.0) for identifier in texts]
        assert np.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("look", [0, 1200, 10**9], ids=["postings", "either", "documents"])
def test_the_best_are_found_by_whatever_way(monkeypatch, small_rows, whole, look, seed):
    monkeypatch.setattr(search, "_LOOK", look)
    texts = corpus(300, seed)
    draw = random.Random(seed)
    index = fresh(texts)
    for limit in (1, 3, 30, 1000):
        weights = {t: draw.random() ** 3 for t in draw.sample(WORDS, draw.randint(1, 9))}
        check(index.search(weights, limit, K1, B), naive(texts, weights), limit)


@pytest.mark.parametrize("direct", [0, 2000], ids=["looked up", "scored directly"])
@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("share", [1, 2, 10, 300])
def test_only_allowed_documents_are_found(monkeypatch, small_rows, whole, direct, rounds, share):
    monkeypatch.setattr(search, "_DIRECT", direct)
    monkeypatch.setattr(search, "_ROUNDS", rounds)
    texts = corpus(600)
    index = fresh(texts)
    allowed = [*list(texts)[::share], "not there", "\ud800"]
    weights = {"a": 0.1, "d": 1.0, "日本": 2.0}
    for limit in (1, 10, 1000):
        check(index.search(weights, limit, K1, B, allowed), naive(texts, weights, allowed), limit)
    assert index.search(weights, 5, K1, B, []) == []


def test_allowed_documents_that_are_the_worst_are_found(monkeypatch, whole):
    monkeypatch.setattr(search, "_DIRECT", 5)
    texts = {f"id{i:03}": ["a"] * (i < 900) + ["b"] + ["c"] * (i // 100) for i in range(1000)}
    allowed = [f"id{i}" for i in range(900, 1000)]
    hits = fresh(texts).search({"a": 3.0, "b": 0.1}, 10, K1, B, allowed)
    check(hits, naive(texts, {"a": 3.0, "b": 0.1}, allowed), 10)


def test_equal_scores_are_ordered_by_id(whole):
    names = [f"{i:04}" for i in range(500)]
    random.Random(0).shuffle(names)
    hits = fresh(dict.fromkeys(names, ["a", "b"])).search({"a": 1.0, "b": 2.0}, 7, K1, B)
    assert [identifier for identifier, _ in hits] == sorted(names)[:7]


def test_frequencies_and_lengths_of_any_documents(whole):
    index = fresh({"x": ["a", "b", "a"], "y": [], "z": ["c"] * 300})
    tf, lengths = index.frequencies(
        ["z", "none", "x", "y", "x", "\ud800"], ["a", "c", "unknown", "b", "a", ""]
    )
    assert tf.tolist() == [
        [0, 300, 0, 0, 0, 0],
        [0] * 6,
        [2, 0, 0, 1, 2, 0],
        [0] * 6,
        [2, 0, 0, 1, 2, 0],
        [0] * 6,
    ]
    assert lengths.tolist() == [300, -1, 3, 0, 3, -1]
    tf, lengths = index.frequencies([], ["a"])
    assert (tf.shape, lengths.shape) == ((0, 1), (0,))
    assert index.frequencies(["x"], [])[0].shape == (1, 0)


@pytest.mark.parametrize("seed", range(3))
def test_both_ways_give_the_same_bits(monkeypatch, seed):
    texts, draw = corpus(600, seed), random.Random(seed)
    index = fresh(texts)
    for limit in (1, 30, 1000):
        terms = draw.sample(WORDS, draw.randint(1, len(WORDS)))
        weights, ids = {t: draw.random() ** 3 for t in terms}, [*draw.sample(list(texts), 50), "none"]
        found = []
        for whole in (0, 10**9):
            monkeypatch.setattr(moment, "WHOLE", whole)
            hits = [index.search(weights, limit, K1, B, allowed) for allowed in (None, ids)]
            found.append((hits, *(part.tolist() for part in index.frequencies(ids, terms))))
        assert found[0] == found[1]


def test_what_is_kept_in_memory_is_bounded_and_of_the_version_that_is_read(monkeypatch, small_rows):
    monkeypatch.setattr(moment, "_TERMS", 3)
    monkeypatch.setattr(moment, "_POSTINGS", 100)
    texts = corpus(60)
    index = fresh(texts)
    for seed in range(4):
        weights = dict.fromkeys(random.Random(seed).sample(WORDS, 5), 1.0)
        for _ in range(2):
            check(index.search(weights, 10, K1, B), naive(texts, weights), 10)
            assert index.statistics(list(weights))[2].tolist() == [
                sum(t in own for own in texts.values()) for t in weights
            ]
        assert len(index._kept._terms) <= 5
        assert 0 <= index._kept._room <= 100
        changed = {"new": ["a", *weights], **dict(list(texts.items())[seed : seed + 2])}
        index.change(changed, [list(texts)[-1]], "")
        texts = {**{k: v for k, v in texts.items() if k != list(texts)[-1]}, **changed}


def test_queries_of_any_length_and_none(words):
    assert words.search({}, 5, K1, B) == []
    assert words.statistics([])[2].shape == (0,)
    assert words.search({"a": 1.0}, 5, K1, B) == []
    words.change({"x": ["a"], "empty": []}, [], "")
    many = {f"w{i}": 1.0 for i in range(10_000)}
    assert words.search(many, 5, K1, B) == []
    assert [i for i, _ in words.search({**many, "a": 1.0, "": 1.0, "y" * 300: 1.0}, 5, K1, B)] == ["x"]
    assert words.search({"a": 0.0}, 5, K1, B) == []
    assert words.search({"a": 1.0}, 5, 0, 0) == [("x", 1.0)]
    words.change({}, ["x"], "")
    assert words.statistics(["a"])[:2] == (1, 0.0)
    assert words.search({"a": 1.0}, 5, K1, B) == []


# changes

_texts = st.dictionaries(
    st.integers(0, 30).map(lambda i: f"id{i}"), st.lists(st.sampled_from(WORDS), max_size=12), max_size=12
)
_changes = st.lists(
    st.tuples(_texts, st.lists(st.integers(0, 30).map(lambda i: f"id{i}"), max_size=12)), max_size=8
)


@settings(max_examples=40, deadline=None)
@given(changes=_changes)
def test_after_any_changes_it_is_as_a_new_one(changes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "MOST", 4)
        patch.setattr(documents, "BLOCK", 8)
        known = {}
        with LexicalIndex.open(None, {}) as index:
            for i, (put, delete) in enumerate(changes):
                index.change(put, delete, str(i))
                known = {k: v for k, v in known.items() if k not in delete} | put
                assert index.mark == str(i)
                index.search({"a": 1.0}, 3, K1, B)  # keeps lengths, which must not be stale later
            with fresh(known) as new:
                same(index, new)


def test_a_large_index_changed_bit_by_bit(small_rows, words):
    texts, draw = corpus(400, 1), random.Random(1)
    words.change(texts, [], "")
    for turn in range(15):
        put = corpus(draw.randint(0, 20), turn)
        delete = draw.sample(sorted(texts), 20)
        words.change(put, delete, "")
        texts = {k: v for k, v in texts.items() if k not in delete} | put
    with fresh(texts) as new:
        same(words, new)
    words.change({}, texts, "")
    with sqlite3.connect(words._database.path) as rows:
        for table in ("documents", "postings", "terms"):
            assert rows.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    rows.close()


def test_numbers_of_deleted_documents_are_given_out_again(words):
    for turn in range(5):
        words.change({f"{turn}-{i}": ["a"] for i in range(10)}, [f"{turn - 1}-{i}" for i in range(10)], "")
    with words._read() as connection:
        assert documents.read_state(connection).numbers == 10
