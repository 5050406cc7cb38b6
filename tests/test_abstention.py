import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.abstention import abstention_nauc


def area(curve):
    return sum(0.1 * (a + b) / 2 for a, b in zip(curve, curve[1:], strict=False))


def oracle(confidence, metric):
    """The definition, query by query, in plain Python."""
    number = len(metric)

    rates = np.linspace(0, 1, 11)[:-1].tolist()  # .3 is .30000000000000004, which decides ties of rounding

    def curve(by):
        ranked = [m for _, _, m in sorted((by[i], i, metric[i]) for i in range(number))]
        kept = [ranked[min(round(rate * number), number - 1) :] for rate in rates]
        return [sum(k) / len(k) for k in kept]

    flat = 0.9 * sum(metric) / number
    best = area(curve(metric))
    return (area(curve(confidence)) - flat) / (best - flat)


@given(st.integers(0, 2**32 - 1), st.integers(3, 60))
def test_against_the_definition(seed, number):
    generator = np.random.default_rng(seed)
    confidence, metric = generator.normal(size=number).round(1), generator.random(number)
    expected = oracle(confidence.tolist(), metric.tolist())
    assert abstention_nauc(confidence, metric) == pytest.approx(expected)


def test_by_hand():
    """Two queries: round(.5 rate 2) leaves out none up to .2, one from .3 on (round(.5) = round(.25) = 0)."""
    metric = np.array([0.0, 1.0])
    assert abstention_nauc(np.array([0.1, 0.9]), metric) == pytest.approx(1)
    kept = [0.5] * 3 + [0.0] * 7
    best = [0.5] * 3 + [1.0] * 7
    expected = (area(kept) - 0.45) / (area(best) - 0.45)
    assert abstention_nauc(np.array([0.9, 0.1]), metric) == pytest.approx(expected)
    assert expected == pytest.approx(-1)


def test_landmarks():
    generator = np.random.default_rng(0)
    metric = generator.random(4000)
    assert abstention_nauc(metric, metric) == pytest.approx(1)
    assert abstention_nauc(np.exp(metric), metric) == pytest.approx(1)
    assert abstention_nauc(generator.random(4000), metric) == pytest.approx(0, abs=0.05)
    assert abstention_nauc(-metric, metric) < -0.5
    assert math.isnan(abstention_nauc(metric, np.ones(4000)))
