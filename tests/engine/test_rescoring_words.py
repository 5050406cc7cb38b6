"""Rescoring with words: the statistics of the index, or of the texts themselves where the index is empty."""

import numpy as np
import pytest

from tests.engine.small import sentences

TEXTS = [*sorted(set(sentences(30, 1))), "a zyzzyva layer"]
QUERY = "what layer has the zyzzyva"


def test_an_empty_index_takes_the_texts_for_the_corpus(make, create):
    empty, filled = make("static", "bert"), make("static", "bert", folder="filled")
    filled.add(TEXTS)
    expected, found = filled.rescore(QUERY, TEXTS), empty.rescore(QUERY, TEXTS)
    np.testing.assert_allclose(found.raw_scores, expected.raw_scores, atol=1e-6)
    np.testing.assert_allclose(found.deviations, expected.deviations, atol=1e-6)
    assert found.coefficients == expected.coefficients
    assert found.best(1) == [len(TEXTS) - 1]
    dense = create("static", "bert", folder="dense", lexical=False).rescore(QUERY, TEXTS)
    assert "words" not in dense.coefficients
    assert np.abs(dense.raw_scores - found.raw_scores).max() > 0.05


@pytest.mark.parametrize("texts", [[], ["of the"], ["zyzzyva"], ["zyzzyva", "zyzzyva"]])
@pytest.mark.parametrize("query", [QUERY, "of the"])
def test_few_texts(make, texts, query):
    found = make("static", "bert").rescore(query, texts)
    assert found.scores.shape == (len(texts),)
    assert np.isfinite(found.raw_scores).all()
    assert sum(found.coefficients.values()) == pytest.approx(1)
