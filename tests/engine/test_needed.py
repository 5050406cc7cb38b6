"""What words alone find is left out only if it cannot be among the best."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.store.small import records
from uec_retriever.engine import candidates, scoring
from uec_retriever.similarity import similarity
from uec_retriever.store.entries import Candidates


@pytest.mark.parametrize("level", [0.3, 0.05, 0.0, -0.05, -0.3])
def test_no_text_that_a_variance_lifts_is_left_out(level, monkeypatch):
    means = level - 0.001 * np.arange(12)
    dense, query = Candidates(records(12), means, ["v"] * 12, np.arange(12)), SimpleNamespace(share=0.5)
    monkeypatch.setattr(scoring, "score_candidates", lambda *_: similarity(0.5 * means, np.zeros(12)))
    least = scoring.Scoring(None, np.zeros((1, 1)), [query], 10).needed(0, dense)
    words = {f"word{i}": 0.0001 * i for i in range(100, 0, -1)}
    left_out = set(words) - set(candidates._missing(words, dense, query, least))
    best = np.sort(similarity(0.5 * means, np.zeros(12))[0])[-10]
    for identifier in left_out:
        mean = 0.5 * means.min() + 0.5 * words[identifier]
        assert similarity(np.array([mean]), np.array([0.5]))[0] <= best
