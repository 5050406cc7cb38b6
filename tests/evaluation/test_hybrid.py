"""Hybrids of words and dense experts against numbers by hand."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.retrieval_small import random_collection, random_encoded, rank_all
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.choosing import LabelledSet, mean_ndcg
from uec_retriever.evaluation.fusion import reciprocal_rank_fusion
from uec_retriever.evaluation.hybrid import (
    WEIGHTS,
    Hybrid,
    choose_weights_of_words,
    normalise_range,
    words_scorer,
)
from uec_retriever.evaluation.metrics import NDCG, rank_metrics
from uec_retriever.evaluation.words import CountedPassages, EncodedWords
from uec_retriever.experts.lexical import LexicalExpert

ALL = slice(0, 7)
LABELS = ["a", "b"]


@pytest.fixture
def encoded():
    generator = np.random.default_rng(1)
    texts = [" ".join(generator.choice(list("vwxyz"), 5)) for _ in range(23)]
    counted = CountedPassages.count(texts, WordAnalyzer(stop_words=False))
    queries = [" ".join(generator.choice(list("vwxyz"), 2)) for _ in range(7)]
    return replace(random_encoded(), words=EncodedWords.encode(LexicalExpert(), counted, queries))


def test_ranges_by_hand():
    scores = np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0]])
    np.testing.assert_allclose(normalise_range(scores, None, None), [[0, 1, 0.5], [0, 0, 0]])
    np.testing.assert_allclose(normalise_range(scores, None, 0.0), [[1 / 3, 1, 2 / 3], [1, 1, 1]])
    hidden = np.array([[False, True, False], [False, False, False]])
    np.testing.assert_allclose(normalise_range(scores, hidden, None), [[0, 2, 1], [0, 0, 0]])


@pytest.mark.parametrize(("way", "lows"), [("min-max", (None, None)), ("TMM", (0.0, -1.0))])
@pytest.mark.parametrize("dense", ["b", "all"])
def test_convex_combinations_by_hand(encoded, way, lows, dense):
    collection = random_collection(groups=["ab"[i % 2] for i in range(23)])
    collection = replace(collection, queries=[replace(q, group="a") for q in collection.queries])
    one = LabelledSet(collection, encoded, "group")
    found = Hybrid(way, dense).scorer(encoded, LABELS, one.barred, 0.3)(ALL)
    cosines = encoded.cosines(ALL)
    cosine = cosines[1] if dense == "b" else (cosines[0] + cosines[1]) / 2
    words = encoded.words.moments(ALL)[0]
    for row in range(7):
        expected = np.zeros(23)
        for scores, low, weight in ((words[row], lows[0], 0.3), (cosine[row], lows[1], 0.7)):
            own = scores[::2]  # those of the group
            least = own.min() if low is None else low
            expected += weight * (scores - least) / (own.max() - least)
        np.testing.assert_allclose(found[row, ::2], expected[::2], rtol=1e-9)


def test_a_convex_combination_of_ranks_does_not_exist(encoded):
    with pytest.raises(InvalidInputError, match="reads ranks"):
        Hybrid("RRF", "a").scorer(encoded, LABELS, lambda rows: None, 0.5)


def test_ranks_are_fused_with_one_or_all(encoded):
    scorers = {"words": words_scorer(encoded), "a": encoded.cosine_of(0), "b": encoded.cosine_of(1)}
    found = rank_all(scorers, random_collection(), depth=9)
    dense = {label: found[label] for label in LABELS}
    for hybrid, parts in ((Hybrid("RRF", "b"), ["words", "b"]), (Hybrid("RRF", "all"), ["words", *LABELS])):
        expected = reciprocal_rank_fusion([found[p] for p in parts])
        np.testing.assert_array_equal(hybrid.fuse_ranks(found["words"], dense).documents, expected.documents)


def test_the_weight_of_highest_ndcg_is_chosen(encoded):
    hybrids = {"one": Hybrid("TMM", "a"), "ranks": Hybrid("RRF", "a")}
    sets = [LabelledSet(random_collection(seed), encoded) for seed in (0, 5)]
    chosen = choose_weights_of_words(hybrids, LABELS, sets)
    assert list(chosen) == ["one"]

    def quality(weight):
        means = []
        for one in sets:
            scorer = hybrids["one"].scorer(encoded, LABELS, one.barred, weight)
            ranked = rank_all({"x": scorer}, one.collection)["x"].ids(one.collection)
            means.append(rank_metrics(one.collection.queries, ranked, (NDCG,))[NDCG].mean())
        return np.mean(means)

    best = max(quality(w) for w in WEIGHTS)
    assert quality(chosen["one"]) == pytest.approx(best)


def test_mean_over_sets_not_over_queries(encoded):
    sets = [LabelledSet(random_collection(s).sample(n, 0), encoded) for s, n in ((0, 7), (5, 2))]
    found = mean_ndcg(sets, lambda one: {1: one.encoded.cosine_of(0)})
    each = [one.ndcg({1: one.encoded.cosine_of(0)})[1] for one in sets]
    assert [len(values) for values in each] == [7, 2]
    assert found[1] == pytest.approx((each[0].mean() + each[1].mean()) / 2)
