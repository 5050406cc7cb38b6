"""Labels that can be separated, and queries far from all that was fitted on: nothing is told that nobody knows."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from tests.confidence.small import fit, outcomes
from uec_retriever.confidence.odds import LEAST, bounded, expit, log_odds, probabilities
from uec_retriever.confidence.prior import WITH_WORDS
from uec_retriever.confidence.relevance import DEPTH
from uec_retriever.confidence.signals import SIGNALS

_ROUNDING = 1e-12
SURE, UNSURE = 1 - LEAST, LEAST


def separable(gap: float):
    """Searches whose signals say which succeed, by a gap of so many standard deviations, and hits alike."""
    made = outcomes(60)
    generator = np.random.default_rng(1)
    table = 0.05 * generator.normal(size=(len(made.hits), len(SIGNALS))) + 0.05 * gap * made.hits[:, None]
    signals = [dict(zip(SIGNALS, row, strict=True)) for row in table.tolist()]
    right = [hit & (np.arange(DEPTH) == 0) for hit in made.hits]
    features = [np.tile(np.where(r, 0.05 * gap, 0.0)[:, None], 3) for r in right]
    return replace(made, signals=signals, features=features, right=right)


@given(st.floats(-1e300, 1e300))
def test_log_odds_and_probabilities(value):
    assert UNSURE - _ROUNDING <= expit(bounded(value)) <= SURE + _ROUNDING
    assert UNSURE <= probabilities(np.array([value]))[0] <= SURE
    assert probabilities(np.array([value]))[0] == pytest.approx(expit(bounded(value)))
    assert log_odds(expit(bounded(value))) == pytest.approx(bounded(value))
    if abs(value) < logit(SURE):
        assert bounded(value) == value
    assert 0 <= expit(value) <= 1


@pytest.mark.parametrize("prior", [None, WITH_WORDS], ids=["alone", "with a prior"])
@pytest.mark.parametrize("gap", [10, 1e3, 1e6])
def test_labels_that_can_be_separated_leave_room_for_doubt(gap, prior):
    model, report = fit(separable(gap), prior=prior)
    assert model.relevance is not None
    assert math.isfinite(report.brier) and 0 <= report.ece <= 1

    @given(
        st.fixed_dictionaries({name: st.floats(-1e9, 1e9) for name in SIGNALS}),
        st.sampled_from(sorted(SIGNALS)),
        st.floats(0, 1e9),
        st.lists(st.floats(-1, 1), min_size=1, max_size=40),
    )
    def told(signals, name, more, raw):
        one, other = (model.probability(s) for s in (signals, {**signals, name: signals[name] + more}))
        assert UNSURE <= one <= other + _ROUNDING and other <= SURE
        relevances = model.relevance.probabilities(np.array(raw))[np.argsort(-np.array(raw), kind="stable")]
        assert (np.diff(relevances) <= _ROUNDING).all()
        assert relevances.min() >= UNSURE and relevances.max() <= SURE

    told()


@pytest.mark.parametrize("side", [-1e6, 1e6])
def test_a_fit_that_is_far_from_its_queries_leaves_the_prior_its_say(side):
    """However sure it is: it moves the log odds by as much as one in a thousand does, and not by more."""
    model, _ = fit(separable(10), prior=WITH_WORDS)
    far = {name: 0.1 for name in SIGNALS} | {"top": side}  # which the prior does not look at
    expected = (math.copysign(logit(SURE), side) + WITH_WORDS.logit(far, 10, 0.5)) / 2
    assert logit(model.probability(far)) == pytest.approx(expected)
    assert 0.01 < model.probability(far) < 0.99
