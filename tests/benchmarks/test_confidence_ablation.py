"""What a prior adds, against differences known by construction."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.confidence_ablation import SHOWN, Ablation, ablate, ablation_table
from uec_retriever.confidence.fit import expected_calibration_error
from uec_retriever.evaluation.abstention import nauc


@pytest.fixture
def searches():
    generator = np.random.default_rng(0)
    hits = generator.random(80) < 0.6
    ndcg = np.where(hits, generator.uniform(0.3, 1, 80), 0.0)
    noisy = np.clip(0.3 + 0.3 * hits + generator.normal(0, 0.3, 80), 0, 1)
    return hits, ndcg, noisy


def test_two_equal_models_differ_by_nothing(searches):
    hits, ndcg, noisy = searches
    found = ablate([noisy, noisy / 2], [noisy, noisy / 2], hits, ndcg)
    assert np.array_equal(found.present, found.absent) and not found.draws.any()


def test_metrics_are_those_of_their_libraries(searches):
    hits, ndcg, noisy = searches
    found = ablate([noisy, noisy / 2], [np.full(80, 0.5)] * 2, hits, ndcg)
    outcomes, values = np.append(hits, np.zeros(80, bool)), np.append(noisy, noisy / 2)
    areas = roc_auc_score(hits, noisy), roc_auc_score(outcomes, values)
    others = nauc(ndcg, noisy), expected_calibration_error(outcomes, values)
    assert found.present == pytest.approx([*areas, *others])
    assert found.absent[:2] == pytest.approx([0.5, 0.5])
    low, high = np.quantile(found.draws[:, 0], [0.025, 0.975])
    assert 0 < low < areas[0] - 0.5 < high


def test_a_set_in_which_all_searches_succeed_has_no_area_among_them(searches):
    _, ndcg, noisy = searches
    found = ablate([noisy, noisy / 2], [noisy, noisy], np.ones(80, bool), ndcg)
    assert np.isnan(found.present[0]) and not np.isnan(found.present[1])
    assert ablation_table({"one": {"pseudo": found}})["rows"][0][1:3] == ["nan", "+nan [+nan, +nan]"]


def test_the_table_means_over_the_sets_of_each_calibration():
    def ablation(gain):
        return Ablation(np.full(4, 0.7), np.full(4, 0.7 - gain), np.full((5, 4), gain))

    one = {"labels": ablation(0.1), "pseudo": ablation(0.2)}
    table = ablation_table({"left": one, "right": {"pseudo": ablation(0.0)}})
    assert len(table["columns"]) == 1 + 2 * len(SHOWN)
    assert [row[0] for row in table["rows"]] == [
        "left, labels",
        "left, pseudo",
        "right, pseudo",
        "mean, pseudo",
    ]
    assert table["rows"][0][1:3] == ["0.700", "+0.100 [+0.100, +0.100]"]
    assert table["rows"][-1][1:3] == ["0.700", "+0.100 [+0.100, +0.100]"]
