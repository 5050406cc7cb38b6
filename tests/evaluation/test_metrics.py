"""Metrics by hand; intervals against simulation."""

import math
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from uec_retriever.errors import MissingExtraError
from uec_retriever.evaluation.bootstrap import interval, mean_cell, resample, resample_means
from uec_retriever.evaluation.collection import Query
from uec_retriever.evaluation.metrics import RANK_METRICS, RETRIEVAL_METRICS, auroc, rank_metrics, token_f1


def test_rank_metrics_by_hand():
    queries = [
        Query("b", "", {"x": 1, "y": 1}),
        Query("a", "", {"x": 2, "y": 1, "z": 0}),
        Query("c", "", {"x": 1}),
    ]
    found = rank_metrics(queries, {"a": ["z", "y", "x"], "b": ["x", "q", "y"], "c": []})
    assert found["Recall@1"].tolist() == [0.5, 0, 0]
    assert found["Hit@1"].tolist() == [1, 0, 0]
    np.testing.assert_allclose(found["MAP"], [(1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2, 0])
    gain = [1, 1 / math.log2(3), 1 / 2]
    np.testing.assert_allclose(
        found["nDCG@10"],
        [(gain[0] + gain[2]) / (gain[0] + gain[1]), (gain[1] + 2 * gain[2]) / (2 + gain[1]), 0],
    )


def test_fractional_judgements_are_graded_gains():
    query = Query("a", "", {"x": 0.5, "y": 0.25, "z": 0.0, "w": 1.5})
    found = rank_metrics([query], {"a": ["z", "y", "w"]}, [*RANK_METRICS, "Recall@10"])
    discount = [1 / math.log2(place + 2) for place in range(3)]
    best = 1.5 * discount[0] + 0.5 * discount[1] + 0.25 * discount[2]
    assert found["nDCG@10"] == pytest.approx((0.25 * discount[1] + 1.5 * discount[2]) / best)
    assert found["Recall@10"] == pytest.approx(2 / 3)
    assert found["MAP"] == pytest.approx((1 / 2 + 2 / 3) / 3)


def test_without_the_extra_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingExtraError, match=r'pip install "uec-retriever\[eval\]"'):
        rank_metrics([Query("a", "", {"x": 1})], {})


@pytest.mark.parametrize(
    ("answer", "references", "expected"),
    [
        ("The cat sat.", ["a cat sat"], 1.0),
        ("cat", ["the cat sat", "dog"], 2 / 3),
        ("dog dog", ["dog"], 2 / 3),
        ("", ["cat"], 0.0),
        ("the", ["a"], 1.0),
        ("red", ["blue"], 0.0),
    ],
)
def test_token_f1_as_squad_counts(answer, references, expected):
    assert token_f1(answer, references) == pytest.approx(expected)


def test_the_interval_is_about_two_standard_errors():
    values = np.random.default_rng(1).normal(0.3, 1.0, 400)
    found = interval(values.mean(), resample_means(values))
    error = values.std() / 20
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.3 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.3 * error)
    assert interval(values.mean(), resample_means(values)) == found


def test_means_by_a_product_of_matrices_are_those_of_the_draws():
    values = np.random.default_rng(2).random(37)
    np.testing.assert_allclose(resample_means(values, 3), resample(lambda rows: values[rows].mean(), 37, 3))
    assert not np.allclose(resample_means(values, 3), resample_means(values, 4))
    assert interval(1.0, resample_means(np.ones(1))).low == 1  # a single query


def test_pairing_narrows_the_interval():
    base = np.random.default_rng(1).normal(0.0, 1.0, 200)
    found = mean_cell(base + 0.1, base)
    assert found["difference"] == {key: pytest.approx(0.1) for key in ("mean", "low", "high")}
    assert found["low"] < 0.1 - 0.05
    assert found["n"] == 200


def test_recall_and_reciprocal_rank_by_hand():
    queries = [Query("a", "", {"d3": 1, "d40": 2, "lost": 1}), Query("b", "", {"d12": 1})]
    ranked = [f"d{i}" for i in range(50)]
    found = rank_metrics(queries, {"a": ranked, "b": ranked}, RETRIEVAL_METRICS)
    assert list(found) == list(RETRIEVAL_METRICS)
    np.testing.assert_allclose(found["Recall@10"], [1 / 3, 0])
    np.testing.assert_allclose(found["Recall@100"], [2 / 3, 1])
    np.testing.assert_allclose(found["MRR@10"], [1 / 4, 0])
    np.testing.assert_allclose(found["MAP"], [(1 / 4 + 2 / 41) / 3, 1 / 13])


def test_auroc_is_sklearns():
    random = np.random.default_rng(0)
    inside, outside = random.normal(size=400).round(1), random.normal(1, 1, 250).round(1)
    strange = np.repeat([False, True], [400, 250])
    values = np.concatenate([inside, outside])
    found = auroc(np.stack([values, -values], axis=1), strange)
    expected = roc_auc_score(strange, values)
    np.testing.assert_allclose(found, [expected, 1 - expected])
    assert np.isnan(auroc(values[:, None], np.zeros(650, bool))).all()
