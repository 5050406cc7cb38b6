"""Confidence and relevance of odd searches: probabilities, whatever the index holds and is asked."""

import functools
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.small import WORDS, sentences, telling
from uec_retriever.confidence.prior import WITH_WORDS
from uec_retriever.confidence.signals import abstention_signals
from uec_retriever.engine.engine import Engine
from uec_retriever.errors import InvalidInputError

TEXTS = telling(120)
LABELS = [["static"], ["static", "bert"]]
HELD = {
    "one text": TEXTS[:1],
    "two texts": TEXTS[:2],
    "one text many times": TEXTS[:1] * 40,
    "one word each": [WORDS[i] for i in range(15)],
    "no words": ["?!", "…", "🦅", "the of and"] * 3,
    "a word in every text": [f"wing {text}" for text in TEXTS[:30]],
    "all": TEXTS,
}
QUERIES = {
    "a text": TEXTS[0],
    "one word": "wing",
    "unknown words": "zzyzx qwertz",
    "stop words": "the of and",
    "no words": "?!",
    "long": " ".join(["wing heat flow"] * 2000),
}


@pytest.fixture(scope="module")
def confidences(made_empty, loaded, tmp_path_factory):
    """`confidences("static", "bert")`: what an index of many texts learns, with the prior, as it is stored."""

    @functools.cache
    def learnt(*labels):
        folder = tmp_path_factory.mktemp("calibrated") / "index"
        shutil.copytree(made_empty(*labels), folder)
        with Engine.open(folder, experts={label: loaded[label] for label in labels}) as engine:
            engine.add(TEXTS)
            engine.calibrate_confidence(k=5, limit=64)
            assert engine.ensemble.confidence.prior == WITH_WORDS
            return engine.manifest.confidence

    return learnt


@pytest.fixture
def other(make, confidences):
    """`other(texts, "static", "bert")`: an index with that confidence, whose texts are others by now."""
    opened = []

    def changed(texts, *labels):
        opened.append(engine := make(*labels))
        manifest = replace(engine.manifest, confidence=confidences(*labels))
        engine._adopt(engine.store.save_manifest(manifest, replacing=engine.manifest))
        engine.add(texts, ids=[f"id{i}" for i in range(len(texts))])
        return engine

    yield changed
    for engine in opened:
        engine.close()


@pytest.fixture(params=HELD)
def shrunk(request, other, labels):
    return other(HELD[request.param], *labels)


def check(result):
    """Probabilities strictly between 0 and 1; nothing is sure."""
    assert 0 < result.confidence < 1
    assert result.verdict is not None
    relevances = [hit.relevance for hit in result]
    assert all(0 < r < 1 for r in relevances)
    assert relevances == sorted(relevances, reverse=True)


@pytest.mark.parametrize("labels", LABELS, ids="+".join)
def test_an_index_of_other_texts_than_it_was_calibrated_on(shrunk):
    for query in QUERIES.values():
        for k, candidates in ((1, None), (5, None), (200, None), (5, 30), (5, 10_000)):
            result = shrunk.search(query, k, candidates=candidates)
            assert len(result) == min(k, shrunk.count())
            check(result)


@pytest.mark.parametrize("labels", LABELS[:1], ids="+".join)
def test_generated_queries(shrunk):
    @given(
        st.text(min_size=1, max_size=40).filter(str.strip) | st.sampled_from(WORDS) | st.sampled_from(TEXTS),
        st.integers(1, 60),
    )
    def ask(query, k):
        try:
            result = shrunk.search(query, k)
        except InvalidInputError:  # a text that none can be, such as a lone surrogate
            return
        check(result)

    ask()


@pytest.mark.parametrize("labels", LABELS, ids="+".join)
def test_texts_that_are_alike_are_as_relevant(other, labels):
    relevances = [hit.relevance for hit in other(TEXTS[:1] * 40, *labels).search("wing heat", 40)]
    assert max(relevances) - min(relevances) < 1e-6


@pytest.mark.parametrize("labels", LABELS, ids="+".join)
def test_a_query_without_words_is_no_surer_than_one_whose_words_no_text_has(other, labels):
    """Its score is that of the dense experts alone, as if words had agreed with them."""
    engine = other(TEXTS, *labels)
    assert engine.manifest.lexical.share == 0.5
    with_words = engine.ensemble.confidence
    for query in ("?!", "the of and"):
        result = engine.search(query, 30)
        raw = [hit.raw_score for hit in result]
        signals = abstention_signals(query, [hit.text for hit in result], np.array(raw) / 2)
        assert result.confidence == pytest.approx(with_words.probability(signals))
        relevances = with_words.relevance.probabilities(np.array(raw) / 2)
        assert [hit.relevance for hit in result] == pytest.approx(relevances.tolist())


@pytest.mark.parametrize("name", HELD)
def test_calibrating_on_odd_texts_is_refused_or_gives_probabilities(make, name):
    with make("static") as engine:
        texts = HELD[name]
        engine.add(texts, ids=[f"id{i}" for i in range(len(texts))])
        labelled = {text: [f"id{i % len(texts)}"] for i, text in enumerate(sentences(40, 3))}
        for options in ({}, {"labelled": labelled}):
            try:
                report = engine.calibrate_confidence(k=1, limit=64, **options)
            except InvalidInputError:
                continue
            assert all(math.isfinite(value) for value in (report.ece, report.brier, report.auroc))
            for query in QUERIES.values():
                check(engine.search(query, 5))
