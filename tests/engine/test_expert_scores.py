"""Each expert's own score of a hit, against naive computations, and what asking for them costs."""

import numpy as np
import pytest

from tests.engine.small import sentences
from uec_retriever import LexicalOptions
from uec_retriever.experts.lexical import LexicalExpert, LexicalStatistics
from uec_retriever.store.chroma import ChromaStore

TEXTS = sorted(set(sentences(40, 1)))
QUERY = sentences(1, 2, 5)[0]


def naive_words(engine, query, texts):
    """Text -> share of what any text could reach, counted by hand."""
    options = engine.manifest.lexical
    words = [options.analyzer.terms(text) for text in texts]
    terms = list(dict.fromkeys(options.analyzer.terms(query)))
    lengths = [len(found) for found in words]
    df = np.array([sum(term in found for found in words) for term in terms])
    statistics = LexicalStatistics(len(texts), float(np.mean(lengths)), df)
    expert = LexicalExpert(options.k1, options.b)
    counts = np.array([[found.count(term) for term in terms] for found in words])
    weights = expert.encode_query(statistics).mean[0]
    return dict(zip(texts, expert.encode_documents(counts, lengths, statistics).mean @ weights, strict=True))


def cosines(expert, queries, texts):
    left = np.mean([expert.encode([q], "query").gaussian.mean[0] for q in queries], axis=0)
    right = expert.encode(texts, "document").gaussian.mean
    return dict(
        zip(texts, right @ left / (np.linalg.norm(left) * np.linalg.norm(right, axis=1)), strict=True)
    )


@pytest.mark.parametrize("temperature", [0.3, None])
def test_in_blocks(make, temperature):
    engine = make("static", "bert")
    engine.add(TEXTS)
    result = engine.search(QUERY, 40, temperature=temperature, expert_scores=True)
    dense = {e.label: cosines(e, [QUERY], TEXTS) for e in engine.experts}
    words = naive_words(engine, QUERY, TEXTS)
    for hit in result:
        assert list(hit.expert_scores) == ["static", "bert", "words"]
        for label, found in dense.items():
            assert hit.expert_scores[label] == pytest.approx(found[hit.text], abs=1e-5)
        assert hit.expert_scores["words"] == pytest.approx(words[hit.text], abs=1e-9)
        mean = sum(result.coefficients[label] * score for label, score in hit.expert_scores.items())
        assert hit.raw_score == pytest.approx(mean / np.sqrt(1 + np.pi / 8 * hit.deviation**2), abs=1e-5)
    assert max(hit.expert_scores["words"] for hit in result) > 0.1


def test_in_a_sum_the_dense_experts_have_one(create):
    engine = create("static", "other", layout="sum")
    engine.add(TEXTS)
    encoded = engine.ensemble.encode_queries([QUERY]).gaussian.mean[0]
    for hit in engine.search(QUERY, 5, expert_scores=True):
        assert list(hit.expert_scores) == ["static+other", "words"]
        own = engine.vectors_by_id([hit.id])[hit.id]
        assert hit.expert_scores["static+other"] == pytest.approx(float(own @ encoded), abs=1e-5)


def test_experts_that_take_no_part_are_left_out(make, create):
    engine = make("static", "bert")
    engine.add(TEXTS)
    trust = engine.search(QUERY, temperature=0.0).coefficients
    [surest] = [label for label in ("static", "bert") if trust[label] > 0]
    for hit in engine.search(QUERY, 3, temperature=0.0, expert_scores=True):
        assert list(hit.expert_scores) == [surest, "words"]
    for hit in engine.search("the of and", 3, expert_scores=True):  # stop words only
        assert list(hit.expert_scores) == ["static", "bert"]
    for hit in engine.search_embedding(engine.embed_queries([QUERY])[0], 3, expert_scores=True):
        assert list(hit.expert_scores) == ["static", "bert"]
    plain = create("static", folder="plain", lexical=False)
    plain.add(TEXTS)
    assert list(plain.search(QUERY, 1, expert_scores=True).hits[0].expert_scores) == ["static"]


async def test_the_other_searches_tell_them_too(make):
    engine = make("static", "bert")
    engine.add(TEXTS)
    expected = engine.search(QUERY, 3, expert_scores=True)
    assert engine.search_batch([QUERY], 3, expert_scores=True) == [expected]
    assert await engine.asearch(QUERY, 3, expert_scores=True) == expected
    several = [QUERY, "boundary layer"]
    [hit, *_] = engine.search_together(several, 3, expert_scores=True)
    words = [naive_words(engine, query, TEXTS)[hit.text] for query in several]
    assert hit.expert_scores["words"] == pytest.approx(np.mean(words), abs=1e-9)
    assert make("static", folder="empty").search(QUERY, expert_scores=True).hits == []


def test_they_cost_one_read_more_and_nothing_where_they_are_not_asked_for(make, monkeypatch):
    engine = make("static", "bert")
    engine.add(TEXTS)
    reads, real = [], ChromaStore.vectors
    monkeypatch.setattr(ChromaStore, "vectors", lambda self, ids: reads.append(list(ids)) or real(self, ids))
    plain = engine.search(QUERY, 4)
    assert [hit.expert_scores for hit in plain] == [None] * 4
    assert reads == []
    asked = engine.search(QUERY, 4, expert_scores=True)
    assert reads == [[hit.id for hit in plain]]
    assert [(h.id, h.raw_score) for h in asked] == [(h.id, h.raw_score) for h in plain]
    assert plain.extras(plain.hits[0])["expert_scores"] is None
    assert asked.extras(asked.hits[0])["expert_scores"] == asked.hits[0].expert_scores


def test_words_by_other_options(create):
    engine = create("static", lexical=LexicalOptions(language=None, k1=2.0, b=1.0))
    engine.add(TEXTS)
    words = naive_words(engine, QUERY, TEXTS)
    for hit in engine.search(QUERY, 10, expert_scores=True):
        assert hit.expert_scores["words"] == pytest.approx(words[hit.text], abs=1e-9)
