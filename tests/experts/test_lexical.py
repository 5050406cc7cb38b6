"""Words as an expert: BM25 with a variance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.lexical import LexicalExpert, LexicalShare, LexicalStatistics, relative_traces
from uec_retriever.gaussian import GaussianEmbedding
from uec_retriever.similarity import moments

VOCABULARY = 40


def corpus(seed, texts=200):
    """`[n, V]` word frequencies of random texts of different lengths; some words are in none."""
    generator = np.random.default_rng(seed)
    chances = 1 / np.arange(1, VOCABULARY + 1) ** 1.3
    chances[-3:] = 0
    lengths = generator.integers(3, 60, size=texts)
    return np.array([generator.multinomial(length, chances / chances.sum()) for length in lengths])


def statistics_of(counts, words):
    return LexicalStatistics(len(counts), counts.sum(axis=1).mean(), (counts[:, words] > 0).sum(axis=0))


def scored(expert, counts, words):
    told = statistics_of(counts, words)
    query = expert.encode_query(told)
    documents = expert.encode_documents(counts[:, words], counts.sum(axis=1), told)
    mean, variance = moments(query, documents)
    return query, documents, mean[0], variance[0]


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.2, 0.75), (1.5, 0.0), (2.0, 1.0)])
def test_scores_are_those_of_a_bm25_library_as_a_share_of_what_can_be_reached(k1, b):
    bm25s = pytest.importorskip("bm25s")
    counts, words = corpus(0), [0, 3, 11, 25, VOCABULARY - 1]
    texts = [[f"w{i}" for i in np.repeat(np.arange(VOCABULARY), row)] for row in counts]
    library = bm25s.BM25(method="lucene", k1=k1, b=b)
    library.index(texts, show_progress=False)
    wanted = library.get_scores([f"w{i}" for i in words])  # without Lucene's constant factor k1 + 1
    _, _, mean, _ = scored(LexicalExpert(k1, b), counts, words)
    idf = np.log((len(counts) + 1) / ((counts[:, words] > 0).sum(axis=0) + 0.5))
    np.testing.assert_allclose(mean * idf.sum(), wanted, atol=1e-5)


def test_scores_against_a_naive_loop():
    counts, words = corpus(1, 50), [2, 5, VOCABULARY - 2]
    _, _, mean, _ = scored(LexicalExpert(1.2, 0.75), counts, words)
    average = sum(sum(row) for row in counts) / len(counts)
    for row, found in zip(counts, mean, strict=True):
        score = reachable = 0.0
        for word in words:
            containing = sum(1 for other in counts if other[word])
            idf = np.log(1 + (len(counts) - containing + 0.5) / (containing + 0.5))
            score += idf * row[word] * 2.2 / (row[word] + 1.2 * (0.25 + 0.75 * sum(row) / average))
            reachable += idf * 2.2
        assert found == pytest.approx(score / reachable, abs=1e-12)


@pytest.mark.parametrize(("texts", "frequency"), [(50, 0), (50, 1), (50, 20), (50, 50), (10_000, 3), (0, 0)])
def test_the_variance_of_a_word_is_that_of_draws_from_the_posterior_of_its_frequency(texts, frequency):
    query = LexicalExpert(0.9).encode_query(LexicalStatistics(texts, 10.0, [frequency]))
    draws = np.random.default_rng(0).beta(frequency + 0.5, texts - frequency + 0.5, size=400_000)
    idf = -np.log(draws)
    reachable = 1.9 * np.log((texts + 1) / (frequency + 0.5))
    assert query.variance[0, 0] * reachable**2 == pytest.approx(idf.var(), rel=0.03)
    assert query.mean[0, 0] * reachable == pytest.approx(-np.log(draws.mean()), rel=0.02)


def test_the_deviation_of_a_score_is_that_of_draws_of_its_word_weights():
    counts, words = corpus(2), [1, 8, 20]
    query, documents, mean, variance = scored(LexicalExpert(), counts, words)
    draws = np.random.default_rng(0).normal(query.mean, np.sqrt(query.variance), size=(200_000, len(words)))
    drawn = draws @ documents.mean[:20].T
    np.testing.assert_allclose(drawn.mean(axis=0), mean[:20], atol=1e-3)
    np.testing.assert_allclose(drawn.var(axis=0), variance[:20], rtol=0.02, atol=1e-9)


@given(st.integers(0, 10_000), st.floats(0, 3), st.floats(0, 1), st.sets(st.integers(0, 39), min_size=1))
def test_scores_are_shares_and_rise_with_every_occurrence(seed, k1, b, words):
    counts, words = corpus(seed, 20), sorted(words)
    told, expert = statistics_of(counts, words), LexicalExpert(k1, b)
    query = expert.encode_query(told)
    lengths = counts.sum(axis=1)
    before, _ = moments(query, expert.encode_documents(counts[:, words], lengths, told))
    after, _ = moments(query, expert.encode_documents(counts[:, words] + 1, lengths, told))
    assert (before >= 0).all()
    assert (after >= before - 1e-12).all()
    assert (after <= 1 + 1e-12).all()


def test_a_word_of_every_text_weighs_next_to_nothing_and_an_unknown_one_is_unsure():
    told = LexicalStatistics(1000, 10.0, [1000, 10, 0])
    query = LexicalExpert().encode_query(told)
    everywhere, rare, unknown = query.mean[0]
    assert 0 < everywhere < 0.001 * rare < rare < unknown
    assert query.variance[0, 2] > 10 * query.variance[0, 1]


def test_the_trace_is_free_of_the_number_of_words():
    expert = LexicalExpert()
    one = expert.encode_query(LexicalStatistics(1000, 10.0, [10]))
    many = expert.encode_query(LexicalStatistics(1000, 10.0, [10] * 7))
    unknown = expert.encode_query(LexicalStatistics(1000, 10.0, [0] * 7))
    traces = relative_traces([one, many, unknown])
    assert traces[0] == pytest.approx(traces[1])
    assert traces[2] > 5 * traces[0]
    assert traces[0] == pytest.approx(one.variance[0, 0] / one.mean[0, 0] ** 2)


def test_what_is_out_of_range_is_refused():
    with pytest.raises(InvalidInputError, match="without words"):
        LexicalExpert().encode_query(LexicalStatistics(3, 1.0, []))
    for frequencies in ([4], [-1], [[1]], [np.nan]):
        with pytest.raises(InvalidInputError, match="from 0 to the number of texts, 3|no list of numbers"):
            LexicalStatistics(3, 1.0, frequencies)
    for texts, frequencies in ((-1, []), ("a", [1]), (1.5, [1]), (3, ["x"])):
        with pytest.raises(InvalidInputError, match="texts must be|document frequencies"):
            LexicalStatistics(texts, 1.0, frequencies)
    for length in (0, -1, np.nan):
        with pytest.raises(InvalidInputError, match="average_length"):
            LexicalStatistics(3, length, [1])
    for k1, b in [(-1, 0.5), (np.nan, 0.5), (np.inf, 0.5), (1, 1.1), (1, -0.1), ("1", 0.5)]:
        with pytest.raises(InvalidInputError, match="k1 must|b must"):
            LexicalExpert(k1, b)


def test_texts_without_a_word_of_the_query_score_nothing_even_without_saturation():
    told = LexicalStatistics(3, 5.0, [1, 2])
    documents = LexicalExpert(0.0, 0.0).encode_documents(np.array([[0, 0], [3, 0]]), np.array([5, 5]), told)
    assert isinstance(documents, GaussianEmbedding)
    np.testing.assert_array_equal(documents.mean, [[0, 0], [1, 0]])


def test_the_share_of_words_against_its_formula():
    queries = [LexicalExpert().encode_query(LexicalStatistics(1000, 10.0, [df, 3])) for df in (0, 5, 900)]
    zero, temperature = -3.0, 4.0
    u = np.log(relative_traces(queries))
    words = 0.6 * np.exp(-(u - zero) / temperature)
    np.testing.assert_allclose(LexicalShare(0.6, zero, temperature).of(queries), words / (words + 0.4))


def test_the_share_of_words_is_its_prior_unless_there_is_a_temperature_or_nothing_to_look_for():
    query = LexicalExpert().encode_query(LexicalStatistics(1000, 10.0, [7]))
    np.testing.assert_allclose(LexicalShare(0.7).of([query, None, query]), [0.7, 0, 0.7])
    for prior in (0, 1):
        np.testing.assert_array_equal(LexicalShare(prior, 1.0, 0.5).of([query, None]), [prior, 0])
    assert LexicalShare(0.5, 0.0, 2.0).of([]).shape == (0,)


@pytest.mark.parametrize("values", [(-0.1,), (1.1,), ("x",), (0.5, np.nan), (0.5, 0, -1), (0.5, 0, np.nan)])
def test_a_share_out_of_range_is_refused(values):
    with pytest.raises(InvalidInputError, match="lexical share|lexical zero|temperature"):
        LexicalShare(*values)
