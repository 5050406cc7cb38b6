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
    SIGNALS,
    ConfidenceModel,
    abstention_signals,
    read_confidence,
    staleness,
)
from uec_retriever.errors import CorruptFileError, FormatVersionError, InvalidInputError

QUERY = "boundary layer of a wing"
TEXTS = [
    "the boundary layer of a thin wing",
    "boundary layers and heat",
    "a wing",
    "pressure in a nozzle",
    "cats",
]
RAW = np.array([0.8, 0.7, 0.5, 0.45, 0.1])


def model(**changes):
    fields = {
        "signals": tuple(SIGNALS),
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


def test_signals_by_hand():
    found = abstention_signals(QUERY, TEXTS, RAW)
    assert list(found) == list(SIGNALS)
    assert found["top"] == 0.8
    assert found["margin_10"] == pytest.approx(0.7)
    # words of three letters and more: boundary, layer, wing; each is in two of the five texts, so all weigh alike
    assert found["lexical"] == pytest.approx(np.corrcoef(RAW, [3, 2, 1, 0, 0])[0, 1])


def test_rare_words_count_more():
    texts = ["the wing", "the layer", "the wing", "wing"]
    shares = [math.log1p(5 / (n + 0.5)) for n in (3, 1, 3, 3)]
    raw = [0.9, 0.8, 0.3, 0.2]
    found = abstention_signals("wing layer", texts, np.array(raw))
    assert found["lexical"] == pytest.approx(np.corrcoef(raw, shares)[0, 1])


def test_only_the_first_ten_candidates_count():
    generator = np.random.default_rng(0)
    raw = generator.random(40)
    texts = [f"text {i} wing{i % 3}" for i in range(40)]
    everything = abstention_signals("wing1 text", texts, raw)
    order = np.argsort(-raw)[:10]
    assert everything == abstention_signals("wing1 text", [texts[i] for i in order], raw[order])
    assert everything["margin_10"] == raw[order[0]] - raw[order[-1]]


@given(st.permutations(range(5)), st.floats(-0.5, 0.5), st.floats(0.1, 1))
def test_invariances(order, shift, scale):
    """Free of the candidates' order; margins of shifts, correlations of scale too."""
    plain = abstention_signals(QUERY, TEXTS, RAW)
    assert abstention_signals(QUERY, [TEXTS[i] for i in order], RAW[list(order)]) == pytest.approx(plain)
    moved = abstention_signals(QUERY, TEXTS, RAW * scale + shift)
    assert moved["margin_10"] == pytest.approx(plain["margin_10"] * scale)
    assert moved["lexical"] == pytest.approx(plain["lexical"])


@pytest.mark.parametrize(
    ("query", "texts", "raw"),
    [
        ("wing", ["wing"], [0.5]),
        ("wing", ["wing", "wing"], [0.5, 0.5]),
        ("a b", TEXTS, RAW),
        ("翼の境界層", TEXTS, RAW),
        ("zebra", TEXTS, RAW),
    ],
    ids=["one", "ties", "short words", "no spaces", "no match"],
)
def test_nothing_to_compare_gives_zero(query, texts, raw):
    found = abstention_signals(query, texts, np.array(raw))
    assert found["lexical"] == 0
    assert all(math.isfinite(v) for v in found.values())


@pytest.mark.parametrize(("texts", "raw"), [([], []), (["a"], [0.1, 0.2]), (["a"], [[0.1]])])
def test_signals_need_candidates(texts, raw):
    with pytest.raises(InvalidInputError, match="of the same candidates"):
        abstention_signals("q", texts, np.array(raw))


def test_probability_by_hand():
    signals = {"top": 0.6, "margin_10": 0.15, "lexical": 0.4}
    logit = -0.3 + 0.4 * 1 - 1.2 * 1 + 0.3 * 1
    assert model().probability(signals) == pytest.approx(1 / (1 + math.exp(-logit)))
    for extreme, expected in ((1e9, 1), (-1e9, 0)):
        assert model().probability({**signals, "margin_10": extreme}) == expected


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.floats(0, 1))
def test_probability_rises_with_every_signal(values, more):
    signals = dict(zip(SIGNALS, values, strict=True))
    for name in SIGNALS:
        higher = model().probability({**signals, name: signals[name] + more})
        assert 0 <= model().probability(signals) <= higher <= 1


def test_string_round_trip():
    string = model().to_string()
    assert ConfidenceModel.from_string(string) == model() == read_confidence(string)
    assert len(string) < 500
    assert read_confidence(None) is None


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
        (json.dumps({"format": 2}), FormatVersionError),
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
    table = np.array([list(row.values()) for row in made.signals])
    means = np.average(table, axis=0, weights=weights)
    scales = np.sqrt(np.average((table - means) ** 2, axis=0, weights=weights))
    oracle = LogisticRegression().fit((table - means) / scales, made.hits, sample_weight=weights)
    expected = oracle.predict_proba((table - means) / scales)[:, 1]
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
    assert fitted.weights == (0, 0, 0)
    assert fitted.probability(turned.signals[0]) == pytest.approx(report.positives)


def test_a_constant_signal_is_no_obstacle():
    made = outcomes()
    fitted, _ = fit(replace(made, signals=[{**row, "lexical": 0.25} for row in made.signals]))
    assert fitted.scales[2] == 1
    assert math.isfinite(fitted.probability({"top": 0.1, "margin_10": 0.2, "lexical": 0.9}))


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
