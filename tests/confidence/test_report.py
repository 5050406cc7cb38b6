"""The report of a fitted confidence model."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from tests.confidence.small import fit, outcomes
from uec_retriever.confidence.fit import (
    expected_calibration_error,
)
from uec_retriever.confidence.signals import FITTED


def test_the_report_is_of_unseen_queries():
    """On pure noise, a fit would shine on its own data; the report must not."""
    generator = np.random.default_rng(1)
    made = outcomes(32, off_topic=0)
    noise = [dict(zip(FITTED, generator.normal(size=4), strict=True)) for _ in made.signals]
    _, report = fit(replace(made, signals=noise))
    assert report.auroc < 0.6
    _, telling = fit(outcomes(400))
    assert telling.queries == 400
    assert telling.auroc > 0.85
    assert telling.auroc_answerable > 0.85
    assert telling.ece < 0.1
    assert telling.brier < 0.8 * telling.brier_constant
    assert telling.hit_rate == pytest.approx(0.7, abs=0.06)
    assert telling.positives == pytest.approx(telling.hit_rate / 2)


def test_report_against_sklearn():
    """With one query in each part, the figures can be recomputed from the predictions alone."""
    labels = np.array([0, 0, 1, 1, 1, 0])
    probabilities = np.array([0.05, 0.35, 0.38, 0.95, 1.0, 0.0])
    weights = np.array([1.0, 2.0, 1.0, 1.0, 1.0, 2.0])
    # bins [0, .1): .05 and 0 against 0; [.3, .4): .35, .38 against 0, 1; [.9, 1]: .95, 1 against 1
    expected = (abs(0.05) + abs(0.35 * 2 + 0.38 - 1) + abs(0.95 + 1 - 2)) / 8
    assert expected_calibration_error(labels, probabilities, weights) == pytest.approx(expected)
    assert expected_calibration_error(labels, labels.astype(float)) == 0
    assert expected_calibration_error(labels, 1.0 - labels) == 1
    made = outcomes(200)
    fitted, report = fit(made)
    resubstituted = np.array([fitted.probability(row) for row in made.signals])
    weights = made.weights(0.5)
    assert report.auroc == pytest.approx(
        roc_auc_score(made.hits, resubstituted, sample_weight=weights), abs=0.02
    )
    assert report.brier == pytest.approx(
        brier_score_loss(made.hits, resubstituted, sample_weight=weights), abs=0.01
    )
