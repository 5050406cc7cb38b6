"""Differences between methods against numbers by hand."""

import numpy as np
import pytest

from benchmarks.comparison import compare_table, mean_difference
from tests.evaluation.retrieval_small import random_collection
from uec_retriever.evaluation.metrics import NDCG
from uec_retriever.evaluation.retrieval_study import Measurements


def measurements(name, **values):
    kinds = {"one": "single", "words": "single", "both": "uec", "bound": "oracle"}
    found = {label: {NDCG: np.array(v)} for label, v in values.items()}
    collection = random_collection(name=name)
    return Measurements(collection, "corpus", ["one"], kinds, found, {}, {}, {}, {})


@pytest.fixture
def measured():
    return [
        measurements("left", one=[0.2, 0.2], words=[0.4, 0.4], both=[0.5, 0.5], bound=[1, 1]),
        measurements("right", one=[0.9] * 3, words=[0.2] * 3, both=[0.8] * 3, bound=[1] * 3),
    ]


def test_sets_count_alike_and_pairs_are_resampled(measured):
    found = mean_difference(measured, "both", "words")
    assert (found.low, found.mean, found.high) == pytest.approx((0.35, 0.35, 0.35))


def test_the_table_shows_the_strongest_first_and_the_best_single_expert_of_each_set(measured):
    table = compare_table(measured, "both", "words")
    assert table["columns"] == ["other", "mean", "left", "right"]
    assert [row[0] for row in table["rows"]] == ["one", "words", "each set's best single expert"]
    assert table["rows"][0][1:] == ["+0.100 [+0.100, +0.100]", "+0.300", "-0.100"]
    assert table["rows"][-1][1:] == ["", "+0.100", "-0.100"]
