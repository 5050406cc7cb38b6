"""The prior of a confidence, and how it joins an index's own fit."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from tests.confidence.small import fit, outcomes
from uec_retriever.checks.rows import read_row
from uec_retriever.confidence.prior import WITH_WORDS, Prior
from uec_retriever.confidence.signals import SIGNALS
from uec_retriever.errors import InvalidInputError

PRIOR = Prior(("top", "margin_5"), (2.0, 1.0), -0.4, (1.5, 0.0), 0.2, 0.7)


@pytest.mark.parametrize("unanswerable", [0.0, 0.2, 0.5, 0.9])
def test_any_share_of_queries_without_an_answer(unanswerable):
    """Bayes on densities: one signal, normal with a unit variance around 1 where there is an answer, and around 0."""
    prior = Prior(("top",), (1.0,), -0.5, (0.8,), 0.3, 0.0)  # ln N(x; 1) - ln N(x; 0) = x - 1/2
    for x in (-2.0, 0.0, 0.7, 3.0):
        with_answer, without = (1 - unanswerable) * norm.pdf(x, 1), unanswerable * norm.pdf(x, 0)
        expected = with_answer / (with_answer + without) * expit(0.8 * x + 0.3)
        assert prior.logit({"top": x}, 1, unanswerable) == pytest.approx(logit(expected))


def test_depth():
    signals = {"top": 0.5, "margin_5": 0.1}
    found = 1.5 * 0.5 + 0.2
    assert PRIOR.logit(signals, 1, 0) == pytest.approx(found)
    assert PRIOR.logit(signals, 10, 0) == pytest.approx(found + 0.7 * math.log(10))


def test_far_out_it_stays_finite():
    for top in (1e6, -1e6):
        assert math.isfinite(PRIOR.logit({"top": top, "margin_5": 0.0}, 10, 0.5))


@pytest.mark.parametrize(
    "change",
    [
        {"signals": ("top",)},
        {"signals": ("top", "top")},
        {"signals": (), "answerable": (), "found": ()},
        {"signals": ("top", "luck")},
        {"answerable": (1.0, -0.1)},
        {"found": (1.0, math.nan)},
        {"found_intercept": math.inf},
        {"depth": -1.0},
    ],
)
def test_priors_that_cannot_be(change):
    with pytest.raises(InvalidInputError, match="prior"):
        replace(PRIOR, **change)


def test_log_odds_are_averaged():
    made = outcomes()
    own, _ = fit(made)
    both, report = fit(made, prior=PRIOR)
    assert replace(both, prior=None) == own
    for signals in made.signals[:20]:
        average = (logit(own.probability(signals)) + PRIOR.logit(signals, 10, 0.5)) / 2
        assert both.probability(signals) == pytest.approx(expit(average))
    predicted = np.array([both.probability(signals) for signals in made.signals])
    weights = made.weights(0.5)  # the report is of what the index will say
    assert report.brier == pytest.approx(np.average((predicted - made.hits) ** 2, weights=weights), abs=0.01)


def test_the_one_that_is_used():
    signals = dict.fromkeys(SIGNALS, 0.0)
    assert set(WITH_WORDS.signals) <= set(SIGNALS)
    for k in (1, 10):
        for name in WITH_WORDS.signals:
            more = {**signals, name: 0.1}
            assert WITH_WORDS.logit(more, k, 0.5) >= WITH_WORDS.logit(signals, k, 0.5)
    assert read_row(Prior, vars(WITH_WORDS)) == WITH_WORDS
