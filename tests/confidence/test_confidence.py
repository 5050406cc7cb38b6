import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from tests.confidence.small import fit, outcomes
from uec_retriever.confidence.fit import (
    Kind,
)
from uec_retriever.confidence.model import (
    ConfidenceModel,
    read_confidence,
    staleness,
)
from uec_retriever.confidence.odds import LEAST
from uec_retriever.confidence.prior import WITH_WORDS
from uec_retriever.confidence.signals import FITTED
from uec_retriever.errors import CorruptFileError, FormatVersionError, InvalidInputError


def model(**changes):
    fields = {
        "signals": ("top", "margin_10", "lexical"),
        "means": (0.5, 0.2, 0.1),
        "scales": (0.1, 0.05, 0.3),
        "weights": (0.4, 1.2, 0.3),
        "intercept": -0.3,
        "k": 10,
        "candidates": 30,
        "unanswerable": 0.5,
        "queries": 400,
        "records": 1000,
        "source": "pairs: title",
    }
    return ConfidenceModel(**{**fields, **changes})


def test_probability_by_hand():
    signals = {"top": 0.6, "margin_10": 0.15, "lexical": 0.4}
    logit = -0.3 + 0.4 * 1 - 1.2 * 1 + 0.3 * 1
    assert model().probability(signals) == pytest.approx(1 / (1 + math.exp(-logit)))
    for extreme, expected in ((1e9, 1 - LEAST), (-1e9, LEAST)):
        assert model().probability({**signals, "margin_10": extreme}) == pytest.approx(expected)


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.floats(0, 1))
def test_probability_rises_with_every_signal(values, more):
    signals = dict(zip(model().signals, values, strict=True))
    for name in signals:
        higher = model().probability({**signals, name: signals[name] + more})
        assert 0 <= model().probability(signals) <= higher <= 1


def test_string_round_trip():
    string = model().to_string()
    assert ConfidenceModel.from_string(string) == model() == read_confidence(string)
    assert len(string) < 500 and len(model(prior=WITH_WORDS).to_string()) < 1000
    assert read_confidence(None) is None
    pooled = model(prior=WITH_WORDS)
    assert read_confidence(pooled.to_string()) == pooled
    first = json.loads(string) | {"format": 1}  # as versions without priors write it
    del first["prior"]
    assert read_confidence(json.dumps(first)) == model()


@pytest.mark.parametrize(
    ("string", "error"),
    [
        ("{", CorruptFileError),
        ("[]", CorruptFileError),
        ("{}", CorruptFileError),
        (json.dumps({"format": 1}), CorruptFileError),
        (json.dumps({"format": 1, **asdict(model()), "means": [1]}), CorruptFileError),
        (json.dumps({"format": 1, **asdict(model()), "means": "abc"}), CorruptFileError),
        (json.dumps({"format": 1, **asdict(model()), "signals": ["top", "x", "y"]}), CorruptFileError),
        (json.dumps({"format": 1, **asdict(model()), "more": 1}), CorruptFileError),
        (json.dumps({"format": 1, **asdict(model()), "k": "2"}), CorruptFileError),
        (json.dumps({"format": 1, **asdict(model()), "k": True}), CorruptFileError),
        (json.dumps({"format": 1, **asdict(model()), "intercept": math.nan}), CorruptFileError),
        (json.dumps({"format": 1, **asdict(model()), "records": -1}), CorruptFileError),
        (json.dumps({"format": [], **asdict(model())}), CorruptFileError),
        ("null", CorruptFileError),
        ("[" * 100_000, CorruptFileError),
        ('{"format": ' + "1" * 5000 + "}", CorruptFileError),
        (json.dumps({"format": 3}), FormatVersionError),
    ],
)
def test_strings_that_cannot_be_read(string, error, caplog):
    with pytest.raises(error, match="calibrate it anew with 'uec calibrate-confidence'"):
        ConfidenceModel.from_string(string)
    assert read_confidence(string) is None
    assert "calibrate it anew" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signals": ()}, "distinct signals"),
        ({"signals": ("top", "top", "lexical")}, "distinct signals"),
        ({"signals": ("top", "margin_10", "luck")}, r"no signals \['luck'\]"),
        ({"means": (1.0,)}, "means must be 3"),
        ({"weights": (1.0, math.nan, 1.0)}, "weights must be 3 finite"),
        ({"weights": (1.0, -0.1, 1.0)}, "weights at least 0"),
        ({"scales": (1.0, 0.0, 1.0)}, "scales must be positive"),
        ({"intercept": math.inf}, "intercept"),
        ({"k": 0}, "candidates must be"),
        ({"candidates": 9}, "candidates must be"),
        ({"unanswerable": 1.0}, r"in \[0, 1\)"),
        ({"unanswerable": -0.1}, r"in \[0, 1\)"),
    ],
)
def test_models_that_cannot_be(change, message):
    with pytest.raises(InvalidInputError, match=message):
        model(**change)


@pytest.mark.parametrize("unanswerable", [0.5, 0.2])
def test_probabilities_are_those_of_sklearn(unanswerable):
    made = outcomes()
    fitted, _ = fit(made, unanswerable=unanswerable)
    assert min(fitted.weights) > 0
    weights = made.weights(unanswerable)
    table = np.array([[row[name] for name in FITTED] for row in made.signals])
    means = np.average(table, axis=0, weights=weights)
    scales = np.sqrt(np.average((table - means) ** 2, axis=0, weights=weights))
    oracle = LogisticRegression().fit((table - means) / scales, made.hits, sample_weight=weights)
    expected = np.clip(oracle.predict_proba((table - means) / scales)[:, 1], LEAST, 1 - LEAST)
    np.testing.assert_allclose([fitted.probability(row) for row in made.signals], expected, atol=1e-9)


def test_weights_give_the_shares_asked_for():
    made = outcomes(off_topic=30)
    weights = made.weights(0.4)
    total = [weights[made.kinds == kind].sum() / weights.sum() for kind in Kind]
    assert total == pytest.approx([0.6, 0.32, 0.08])
    assert weights.mean() == pytest.approx(1)
    without = outcomes(off_topic=0)
    assert without.weights(0.4)[without.kinds == Kind.LEFT_OUT].sum() / 240 == pytest.approx(0.4)


def test_a_signal_that_would_speak_against_success_is_left_out():
    made = outcomes(flip=-1.0)
    fitted, _ = fit(made)
    assert fitted.weights[2] == 0
    plain = replace(made, signals=[{**row, "lexical": 0.0} for row in made.signals])
    others, _ = fit(plain)
    assert fitted.weights == pytest.approx(others.weights)
    assert fitted.intercept == pytest.approx(others.intercept)


def test_without_any_signal_the_confidence_is_the_share_that_succeeds():
    made = outcomes()
    turned = replace(made, signals=[{name: -v for name, v in row.items()} for row in made.signals])
    fitted, report = fit(turned)
    assert set(fitted.weights) == {0}
    assert fitted.probability(turned.signals[0]) == pytest.approx(report.positives)


def test_a_constant_signal_is_no_obstacle():
    made = outcomes()
    fitted, _ = fit(replace(made, signals=[{**row, "lexical": 0.25} for row in made.signals]))
    assert fitted.scales[2] == 1
    assert math.isfinite(fitted.probability({**made.signals[0], "lexical": 0.9}))


def test_the_same_seed_gives_the_same():
    assert fit(outcomes(), seed=3) == fit(outcomes(), seed=3)
    assert fit(outcomes(), seed=3)[1] != fit(outcomes(), seed=4)[1]
    assert (
        fit(outcomes(), seed=3)[0] == fit(outcomes(), seed=4)[0]
    )  # it decides the parts of the report alone


def test_without_unanswerable_queries_only_answerable_ones_count():
    made = outcomes()
    fitted, report = fit(made, unanswerable=0.0)
    alone, _ = fit(made.among(made.kinds == Kind.ANSWERABLE), unanswerable=0.0)
    assert fitted == alone
    assert report.positives == report.hit_rate
    assert report.auroc == pytest.approx(report.auroc_answerable)


def test_refusals():
    with pytest.raises(InvalidInputError, match="31 queries are too few"):
        fit(outcomes(31))
    made = outcomes()
    for hits in (np.zeros_like(made.hits), np.arange(len(made.hits)) < 4):
        with pytest.raises(InvalidInputError, match="nothing to tell apart"):
            fit(replace(made, hits=hits))
    for source, advice in (("halves", "too short or too much alike.*--data"), ("user", "give other or more")):
        with pytest.raises(InvalidInputError, match=advice):
            fit(replace(made, hits=np.zeros_like(made.hits)), source=f"pairs: {source}")
    with pytest.raises(InvalidInputError, match="or unanswerable > 0"):
        fit(replace(made, hits=made.kinds == Kind.ANSWERABLE), unanswerable=0.0)
    for bad in (1.0, -0.1, math.nan):
        with pytest.raises(InvalidInputError, match="unanswerable must be"):
            fit(made, unanswerable=bad)


@pytest.mark.parametrize(
    ("records", "stale"), [(100, False), (125, False), (75, False), (126, True), (74, True), (0, True)]
)
def test_a_calibration_is_stale_when_its_index_has_changed_by_a_quarter(records, stale):
    told = staleness(100, records)
    assert (told is not None) == stale
    assert not stale or f"{records} now" in told and "uec calibrate-confidence" in told


def test_a_calibration_on_nothing_is_stale_with_the_first_text():
    assert staleness(0, 0) is None and staleness(0, 1)
