"""What is asked of a result: its best, and what is known of each."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from uec_retriever import Hit, Record, Rescoring, SearchResult
from uec_retriever.engine.results import EXTRAS, RescoringExtra
from uec_retriever.errors import InvalidInputError

RAW = [0.9, 0.2, -0.4]
SCORES = [(1 + raw) / 2 for raw in RAW]
HITS = [
    Hit(Record(f"{i}", "text"), score, raw, 0.1)
    for i, (score, raw) in enumerate(zip(SCORES, RAW, strict=True))
]
RESULT = SearchResult("query", {"a": 1.0}, HITS, confidence_reason="not calibrated")
RESCORING = Rescoring("query", {"a": 1.0}, np.array(SCORES[::-1]), np.array(RAW[::-1]), np.full(3, 0.1))


def test_the_best():
    assert RESULT.best() == HITS
    assert RESULT.best(SCORES[1]) == HITS[:2]
    assert RESULT.best(1.0) == []
    assert RESCORING.best() == [2, 1, 0]
    assert RESCORING.best(2) == [2, 1]
    assert RESCORING.best(min_score=SCORES[1]) == [2, 1]


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_lowest_score_that_no_score_can_have(score):
    with pytest.raises(InvalidInputError, match=r"\[0, 1\]"):
        RESULT.best(score)
    with pytest.raises(InvalidInputError, match=r"\[0, 1\]"):
        RESCORING.best(min_score=score)


def test_extras_are_those_that_can_be_asked_for():
    known = RESULT.extras(HITS[0])
    assert RESULT.extras(HITS[0], ["score", "matched"]) == {"score": SCORES[0], "matched": []}
    assert known["expert_scores"] is None
    assert known.keys() == EXTRAS.keys()
    assert RESCORING.extras(2).items() <= known.items()
    assert set(RESCORING.extras(2)) == set(get_args(RescoringExtra))
    assert (known["confidence"], known["confidence_reason"]) == (None, "not calibrated")
    assert known["abstained"] is False
    assert replace(RESULT, abstained=True).extras(HITS[0], ["abstained"]) == {"abstained": True}
    known["coefficients"]["a"] = 0.0
    assert RESULT.coefficients == {"a": 1.0}
