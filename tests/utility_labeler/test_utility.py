"""Formulas, by hand."""

import numpy as np
import pytest

from uec_retriever.errors import InvalidInputError, NumericalError
from uec_retriever.utility_labeler.utility import LabelOptions, combine

WITH = np.array([[-2.0, -9.0, -4.0], [-4.0, -3.0, -8.0]])  # two prompts, three answers
WITHOUT = np.array([[-6.0, -9.0, -8.0], [-6.0, -6.0, -8.0]])
TOKENS = np.array([[2, 3, 4], [2, 3, 4]])


def test_the_papers_utility_is_the_difference_of_log_perplexities():
    found = combine(np.array([[-3.0]]), np.array([[-12.0]]), np.array([[3]]), LabelOptions())
    perplexity_with, perplexity_without = np.exp(3 / 3), np.exp(12 / 3)
    assert found.value == pytest.approx(np.log(perplexity_without) - np.log(perplexity_with))
    assert (found.log_likelihood_with, found.log_likelihood_without) == (-1, -4)


@pytest.mark.parametrize(
    ("answers", "normalise", "value", "likelihood", "answer"),
    [
        ("first", "mean", 3.0 - 1.5, -1.5, 0),
        ("first", "sum", 3.0, -1.5, 0),
        ("max", "mean", 1.5, -1.5, 0),  # per token: -1.5, -2, -1.5; the first of equals
        ("mean", "mean", np.mean([3 - 1.5, 2.5 - 2, 2 - 1.5]), np.mean([-1.5, -2, -1.5]), 0),
        ("mean", "sum", np.mean([3, 1.5, 2]), np.mean([-1.5, -2, -1.5]), 0),
    ],
)
def test_prompts_are_averaged_and_answers_treated_as_asked(answers, normalise, value, likelihood, answer):
    found = combine(WITH, WITHOUT, TOKENS, LabelOptions(answers=answers, normalise=normalise))
    assert found.value == pytest.approx(value)
    assert found.log_likelihood_with == pytest.approx(likelihood)
    assert found.answer == answer


def test_the_likeliest_answer_is_compared_with_itself():
    found = combine(
        np.array([[-8.0, -1.0]]), np.array([[-8.0, -5.0]]), np.array([[2, 2]]), LabelOptions(answers="max")
    )
    assert (found.answer, found.value, found.log_likelihood_without) == (1, 2.0, -2.5)


def test_not_finite():
    with pytest.raises(NumericalError):
        combine(np.array([[-np.inf]]), np.array([[-1.0]]), np.array([[1]]), LabelOptions())


@pytest.mark.parametrize(
    "options",
    [
        {"normalise": "median"},
        {"baseline": "zero"},
        {"answers": "all"},
        {"max_tokens": 1},
        {"neutral_passage": " "},
    ],
)
def test_options_that_are_none(options):
    with pytest.raises(InvalidInputError):
        LabelOptions(**options)
