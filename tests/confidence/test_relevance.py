"""Relevance: features, the model, its fit, and what searches tell of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.confidence.small import outcomes
from uec_retriever.confidence.fit import fit_confidence
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.relevance import DEPTH, FEATURES, RelevanceModel, relevance_features
from uec_retriever.errors import InvalidInputError

SCORES = st.lists(st.floats(-1, 1) | st.sampled_from([0.0, 0.5]), min_size=1, max_size=30)
MODEL = RelevanceModel((0.3, -1.0, -1.5), (0.2, 0.8, 0.7), (0.5, 1.0, 0.0), -1.2)


@given(raw=SCORES)
def test_features_are_those_of_a_loop(raw):
    spread = max(float(np.std(raw)), 1e-6)
    wanted = [[s, -(max(raw) - s) / spread, -math.log(sum(other >= s for other in raw))] for s in raw]
    np.testing.assert_allclose(relevance_features(np.array(raw)).T, wanted, rtol=1e-9, atol=1e-12)


@given(raw=SCORES, weights=st.tuples(*[st.floats(0, 5)] * len(FEATURES)))
def test_relevance_never_falls_as_the_score_rises(raw, weights):
    model = replace(MODEL, weights=weights)
    along = model.probabilities(np.array(raw))[np.argsort(-np.array(raw), kind="stable")]
    assert (np.diff(along) <= 1e-12).all()
    assert ((along >= 0) & (along <= 1)).all()


@given(st.floats(-1, 1), st.lists(st.floats(0, 1e-9), min_size=1, max_size=30))
def test_rounding_puts_no_text_behind_another(score, noise):
    behind = -relevance_features(score - np.array(noise))[1]
    assert behind.max() < 0.002


def test_a_probability_is_the_logistic_function_of_the_weighted_features():
    raw = np.array([0.2, 0.6, 0.5])
    spread = float(raw.std())
    features = [0.5, -(0.6 - 0.5) / spread, -math.log(2)]
    logit = -1.2 + sum(
        w * (f - m) / s for f, m, s, w in zip(features, MODEL.means, MODEL.scales, MODEL.weights, strict=True)
    )
    assert MODEL.probabilities(raw)[2] == pytest.approx(1 / (1 + math.exp(-logit)))


def test_candidates_beyond_those_at_calibration_do_not_count():
    raw = np.array([0.9, 0.5, 0.4, 0.1])
    few, many = MODEL.probabilities(raw[:3]), MODEL.probabilities(raw, [0, 1, 2])
    np.testing.assert_allclose(many[:3], few)
    assert many[3] <= few[2]


def judged(number, seed=0):
    """Searches whose hits are right with a known probability."""
    generator = np.random.default_rng(seed)
    features, right, truth = [], [], []
    for _ in range(number):
        rows = relevance_features(np.sort(generator.normal(0.4, 0.15, 30))[::-1]).T[:DEPTH]
        probability = 1 / (1 + np.exp(-(6 * (rows[:, 0] - 0.6) + 1.0 * rows[:, 2])))
        features.append(rows)
        truth.append(probability)
        right.append(generator.random(DEPTH) < probability)
    return features, right, truth


def test_a_fit_finds_the_probabilities_that_made_the_outcomes():
    known = outcomes(1500)
    features, right, truth = judged(len(known.hits))
    # all of one kind, so that all count alike
    known = replace(known, features=features, right=right, kinds=np.zeros(len(known.hits), dtype=int))
    model, report = fit_confidence(known, k=5, candidates=30, records=100, source="test", unanswerable=0)
    assert model.relevance is not None
    standard = [
        (rows - np.array(model.relevance.means))
        / np.array(model.relevance.scales)
        @ np.array(model.relevance.weights)
        + model.relevance.intercept
        for rows in features
    ]
    errors = [1 / (1 + np.exp(-s)) - t for s, t in zip(standard, truth, strict=True)]
    assert np.abs(np.concatenate(errors)).mean() < 0.02
    assert report.relevance_ece < 0.03 and report.relevance_auroc > 0.65
    assert ConfidenceModel.from_string(model.to_string()) == model


def test_too_few_right_hits_give_none():
    known = outcomes(200)
    features, right, _ = judged(len(known.hits))
    none = [np.zeros(DEPTH, dtype=bool) for _ in right]
    for given_right, given_features in ((none, features), ((), ())):
        model, report = fit_confidence(
            replace(known, features=given_features, right=given_right),
            k=5,
            candidates=30,
            records=100,
            source="test",
        )
        assert model.relevance is None
        assert report.relevance_auroc is report.relevance_ece is None


@pytest.mark.parametrize(
    "change",
    [
        {"weights": (1.0, -0.1, 0.0)},
        {"scales": (1.0, 0.0, 1.0)},
        {"means": (0.0, 0.0)},
        {"intercept": math.inf},
    ],
)
def test_what_is_no_model_is_refused(change):
    with pytest.raises(InvalidInputError):
        replace(MODEL, **change)
