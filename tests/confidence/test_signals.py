import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from uec_retriever.confidence.signals import FITTED, SIGNALS, abstention_signals
from uec_retriever.errors import InvalidInputError

QUERY = "boundary layer of a wing"
TEXTS = [
    "the boundary layer of a thin wing",
    "boundary layers and heat",
    "a wing",
    "pressure in a nozzle",
    "cats",
]
RAW = np.array([0.8, 0.7, 0.5, 0.45, 0.1])


def test_signals_by_hand():
    found = abstention_signals(QUERY, TEXTS, RAW)
    assert list(found) == list(SIGNALS)
    assert found["top"] == 0.8
    assert found["margin_10"] == pytest.approx(0.7) == found["margin_5"]
    assert abstention_signals(QUERY, [*TEXTS, "dogs"], [*RAW, 0.05])["margin_5"] == pytest.approx(0.7)
    assert set(FITTED) < set(SIGNALS)
    # words of three letters and more: boundary, layer, wing; each is in two of the five texts, so all weigh alike
    assert found["lexical"] == pytest.approx(np.corrcoef(RAW, [3, 2, 1, 0, 0])[0, 1])


def test_rare_words_count_more():
    texts = ["the wing", "the layer", "the wing", "wing"]
    shares = [math.log1p(5 / (n + 0.5)) for n in (3, 1, 3, 3)]
    raw = [0.9, 0.8, 0.3, 0.2]
    found = abstention_signals("wing layer", texts, np.array(raw))
    assert found["lexical"] == pytest.approx(np.corrcoef(raw, shares)[0, 1])


def test_only_the_first_candidates_count():
    generator = np.random.default_rng(0)
    raw = generator.random(40)
    texts = [f"text {i} wing{i % 3}" for i in range(40)]
    everything = abstention_signals("wing1 text", texts, raw)
    order = np.argsort(-raw)
    assert everything == abstention_signals("wing1 text", [texts[i] for i in order[:30]], raw[order[:30]])
    ten = abstention_signals("wing1 text", [texts[i] for i in order[:10]], raw[order[:10]])
    assert {name for name in SIGNALS if ten[name] != everything[name]} == {"perplexity"}
    assert everything["margin_10"] == raw[order[0]] - raw[order[9]]


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


def test_perplexity_is_that_of_a_softmax():
    raw = np.random.default_rng(0).normal(0.5, 0.05, 60)
    found = abstention_signals("q", ["text"] * 60, raw)["perplexity"]
    assert found == pytest.approx(-math.exp(entropy(softmax(np.sort(raw)[::-1][:30] / 0.05))))
    for number in (1, 7, 30):  # fewer count as if they were thirty
        alike = abstention_signals("q", ["a"] * number, np.full(number, 0.3))
        assert alike["perplexity"] == pytest.approx(-30)
    alone = abstention_signals("q", ["a"] * 9, np.array([100.0, *[0.0] * 8]))
    assert alone["perplexity"] == pytest.approx(-30 / 9)


def test_signals_of_the_words_of_a_query():
    found = abstention_signals(QUERY, TEXTS, RAW, np.array([0.2, 0.9]))
    assert (found["specificity"], found["length"]) == (pytest.approx(0.55), pytest.approx(math.log(2)))
    for none in (None, np.empty(0)):
        without = abstention_signals(QUERY, TEXTS, RAW, none)
        assert (without["specificity"], without["length"]) == (0, 0)
