"""Words of a collection against the lexical expert's own path, a loop over single words, and a lexical index."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.retrieval_small import manifest, random_encoded
from uec_retriever.data.words import WordAnalyzer
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.hybrid import words_scorer
from uec_retriever.evaluation.methods import UEC, uec_scorer
from uec_retriever.evaluation.words import CountedPassages, EncodedWords
from uec_retriever.experts.lexical import LexicalExpert, LexicalShare
from uec_retriever.similarity import moments, similarity
from uec_retriever.store.lexical import LexicalIndex

TERMS = "wing flow heat layer pressure shock speed model".split()
EXPERT = LexicalExpert(1.1, 0.6)


@pytest.fixture(scope="module")
def texts():
    """23 passages, one without words and one of a single word."""
    generator = np.random.default_rng(0)
    found = [" ".join(generator.choice(TERMS, generator.integers(2, 12))) for _ in range(21)]
    return [*found, "the of", "wing"]


QUERIES = [
    "wing flow wing",
    "the",
    "heat unknownword",
    "shock",
    "otherword",
    "speed model layer",
    "Wings, flows!",
]


@pytest.fixture(scope="module")
def words(texts):
    return EncodedWords.encode(EXPERT, CountedPassages.count(texts, WordAnalyzer()), QUERIES)


def naive_moments(texts, query):
    """Number by number, from texts."""
    terms = WordAnalyzer().terms
    passages = [terms(t) for t in texts]
    average = sum(map(len, passages)) / len(passages)
    asked = dict.fromkeys(terms(query))
    idf = {t: math.log((len(texts) + 1) / (sum(t in p for p in passages) + 0.5)) for t in asked}
    variance = {  # psi'(a) - psi'(b) for whole b - a is a sum; here a ends on a half: the series of the trigamma function
        t: trigamma(sum(t in p for p in passages) + 0.5) - trigamma(len(texts) + 1) for t in asked
    }
    reach = (EXPERT.k1 + 1) * sum(idf.values())
    found = []
    for passage in passages:
        counts, mean, spread = Counter(passage), 0.0, 0.0
        for t in asked:
            norm = EXPERT.k1 * (1 - EXPERT.b + EXPERT.b * len(passage) / average)
            d = counts[t] * (EXPERT.k1 + 1) / (counts[t] + norm) if counts[t] else 0.0
            mean += idf[t] * d / reach
            spread += variance[t] * d**2 / reach**2
        found.append((mean, spread))
    return np.array(found).T


def trigamma(x, terms=200_000):
    """Sum of 1 / (x + n)^2, its tail by the integral."""
    n = np.arange(terms)
    return float((1 / (x + n) ** 2).sum() + 1 / (x + terms - 0.5))


def test_moments_against_a_loop(texts, words):
    mean, variance = words.moments(slice(0, 7))
    for row, query in enumerate(QUERIES):
        expected = naive_moments(texts, query) if row != 1 else np.zeros((2, 23))
        np.testing.assert_allclose(mean[row], expected[0], atol=1e-12)
        np.testing.assert_allclose(variance[row], expected[1], atol=1e-12)
    np.testing.assert_array_equal(mean[0], mean[6])
    assert 0 < mean.max() <= 1
    assert words.queries[1] is None
    assert words.queries[2].mean.shape == (1, 2)  # the unknown word counts for what could be reached


def test_moments_equal_the_steps_of_an_index(texts, words):
    terms = WordAnalyzer().terms
    with LexicalIndex.open(None, {}) as index:
        index.change({f"{i:02}": terms(t) for i, t in enumerate(texts)}, [], "")
        counted = CountedPassages.count(texts, WordAnalyzer())
        for row, query in enumerate(QUERIES):
            asked = list(dict.fromkeys(terms(query)))
            if not asked:
                continue
            statistics = counted.statistics(asked)
            number, average, df = index.statistics(asked)
            assert (statistics.texts, statistics.average_length) == (number, average)
            np.testing.assert_array_equal(statistics.frequencies, df)
            frequencies, lengths = index.frequencies([f"{i:02}" for i in range(23)], asked)
            documents = EXPERT.encode_documents(frequencies, lengths, statistics)
            expected = moments(EXPERT.encode_query(statistics), documents)
            found = words.moments(slice(row, row + 1))
            np.testing.assert_allclose(found[0], expected[0], atol=1e-12)
            np.testing.assert_allclose(found[1], expected[1], atol=1e-12)


def test_counts_serve_one_expert_after_the_other(texts, words):
    counted = CountedPassages.count(texts, WordAnalyzer())
    for expert in (LexicalExpert(0.5, 0.1), EXPERT):
        again = EncodedWords.encode(expert, counted, QUERIES).moments(slice(0, 7))
    np.testing.assert_array_equal(again, words.moments(slice(0, 7)))


def test_passages_without_any_word_are_not_ranked(words):
    scores = words_scorer(replace(random_encoded(), words=words))(slice(0, 7))
    assert np.isneginf(scores[1]).all()
    assert np.isneginf(scores[4]).all()
    assert np.isneginf(scores[:, 21]).all()
    assert (scores[0] > 0).any()


@pytest.mark.parametrize("share", [LexicalShare(0.6), LexicalShare(0.5, -1.0, 2.0)])
@pytest.mark.parametrize("layout", ["block", "sum"])
def test_words_are_one_more_block_beside_the_dense_experts(words, share, layout):
    encoded = replace(random_encoded(dimensions=(4, 4)), words=words)
    settings = manifest(layout=layout)
    dense, pi = uec_scorer(UEC(layout=layout, similarity=False), settings, encoded)
    found, weights = uec_scorer(UEC(layout=layout, words=share), settings, encoded)
    shares = share.of(words.queries)
    np.testing.assert_allclose(weights[:, 2], shares)
    np.testing.assert_allclose(weights[:, :2], (1 - shares[:, None]) * pi)
    assert shares[1] == 0
    rows = slice(0, 7)
    mean, variance = words.moments(rows)
    whole = shares[:, None] * mean + (1 - shares[:, None]) * dense(rows)
    if layout == "block":
        parts = encoded.variances(rows, "kron")
        spread = sum(p[:, None] ** 2 * v for p, v in zip(pi.T, parts, strict=True))
        total = shares[:, None] ** 2 * variance + (1 - shares[:, None]) ** 2 * spread
        np.testing.assert_allclose(found(rows), similarity(whole, total)[0], rtol=1e-9)
    plain = uec_scorer(UEC(layout=layout, words=share, similarity=False), settings, encoded)[0]
    np.testing.assert_allclose(plain(rows), whole, rtol=1e-9)
    alone = uec_scorer(UEC(layout=layout), settings, encoded)[0]
    np.testing.assert_allclose(found(rows)[1], alone(rows)[1], rtol=1e-9)  # a query without words


def test_no_words_were_encoded():
    with pytest.raises(InvalidInputError, match="without words"):
        uec_scorer(UEC(words=LexicalShare()), manifest(), random_encoded())
    with pytest.raises(InvalidInputError, match="without words"):
        random_encoded().lexical_moments(slice(0, 1))


def test_a_corpus_without_words_and_queries_without_any():
    counted = CountedPassages.count(["the", "of"], WordAnalyzer())
    words = EncodedWords.encode(EXPERT, counted, ["the", "wing"])
    assert words.queries[0] is None
    for part in words.moments(slice(0, 2)):
        np.testing.assert_array_equal(part, np.zeros((2, 2)))
