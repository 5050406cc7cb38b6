"""What an index is calibrated on: of any number of texts, and as it grows; what was embedded for it is not embedded again."""

import logging
from collections import Counter

import pytest

from tests.embeddings_server import bag_of_words
from tests.engine.small import pairs, sentences, telling
from uec_retriever.data.pairs import CalibrationPairs, pseudo_pairs
from uec_retriever.engine.engine import Engine
from uec_retriever.errors import InvalidInputError

TEXTS = sentences(60, seed=3, words=14)


@pytest.mark.parametrize("number", [1, 31])
def test_few_texts_are_calibrated_on_general_ones_by_every_way_and_say_so(tmp_path, experts, caplog, number):
    texts = TEXTS[:number]
    with caplog.at_level(logging.WARNING):
        engine = Engine.from_texts(texts, experts("static"), tmp_path / "one")
    assert "too few texts" in caplog.text
    assert "Python standard library" in engine.manifest.reference
    assert len(engine.search(TEXTS[0], 50)) == number
    other = Engine.create(tmp_path / "other", experts("static"), pseudo_pairs(texts))
    opened = Engine.open_or_create(tmp_path / "third", experts("static"), texts=texts)
    assert other.manifest == opened.manifest == engine.manifest


def test_an_index_without_pairs_is_calibrated_on_general_ones(tmp_path, experts):
    with Engine.create(tmp_path / "index", experts("static")) as engine:
        assert "Python standard library" in engine.manifest.reference
        assert any("too few texts" in note for note in engine.manifest.notes)
        engine.add(TEXTS[:1])
        assert engine.search(TEXTS[0], 5).hits[0].text == TEXTS[0]


def test_an_empty_corpus_says_so_before_anything_is_made(tmp_path, experts):
    with pytest.raises(InvalidInputError, match="the corpus is empty"):
        Engine.from_texts([], experts("static"), tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_an_index_that_has_outgrown_its_calibration_says_so_until_it_is_made_anew(tmp_path, experts):
    texts = telling(100)
    engine = Engine.from_texts(texts[:40], experts("static"), tmp_path / "index")
    assert engine.manifest.records == 40 and engine.staleness() == []
    engine.add(texts[:50])
    assert engine.staleness() == []
    engine.calibrate_confidence(k=2)
    engine.add(texts)
    stale = engine.staleness()
    assert "there were 40 texts, and the index has 100 now: 'uec recalibrate'" in stale[0]
    assert len(stale) == 2 and "the confidence is stale" in stale[1]
    with Engine.open(tmp_path / "index") as again:
        assert again.staleness() == stale
    engine.recalibrate(pseudo_pairs(r.text for page in engine.pages() for r in page))
    assert engine.manifest.records == 100 and engine.staleness() == []


def test_pairs_of_ones_own_do_not_age_with_the_index(make):
    engine = make("static")
    engine.add(TEXTS)
    assert engine.manifest.records is None and engine.staleness() == []


def test_what_was_embedded_as_a_pair_is_not_embedded_again(tmp_path):
    embedded = Counter()

    def embed(texts):
        embedded.update(texts)
        return bag_of_words(texts)

    given = pairs()
    answers = list(dict.fromkeys(given.positives))
    with Engine.create(
        tmp_path / "index", [embed], CalibrationPairs(given.queries, given.positives)
    ) as engine:
        assert engine.add(answers).added == len(answers)
    assert {embedded[text] for text in answers} == {1}
