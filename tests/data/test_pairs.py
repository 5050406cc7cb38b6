"""Oracles: texts whose pairs are known, and counts over many seeds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uec_retriever.data.pairs import (
    MINIMUM_PAIRS,
    CalibrationPairs,
    PairSampler,
    proportionate,
    pseudo_pairs,
)
from uec_retriever.data.stdlib_docs import docstring_pairs
from uec_retriever.errors import InvalidInputError


def make_pairs(n, source="user"):
    return CalibrationPairs([f"query {i}" for i in range(n)], [f"positive {i}" for i in range(n)], source)


def corpus(n=40):
    return [f"The opening sentence of text {i}. And here is what follows as number {i}." for i in range(n)]


def as_set(pairs):
    return set(zip(pairs.queries, pairs.positives, strict=True))


def test_pairs_need_as_many_queries_as_positives():
    with pytest.raises(InvalidInputError, match="20 queries and 19 positives"):
        CalibrationPairs(["q"] * 20, ["p"] * 19)


def test_too_few_pairs_are_refused():
    assert len(make_pairs(MINIMUM_PAIRS)) == MINIMUM_PAIRS
    with pytest.raises(InvalidInputError, match="too few"):
        make_pairs(MINIMUM_PAIRS - 1)


@pytest.mark.parametrize("bad", ["", "  \n", "a\0b", "\ud800", None, 7])
@pytest.mark.parametrize("side", ["query", "positive"])
def test_unusable_texts_are_refused_by_position(bad, side):
    queries, positives = ["a query"] * 20, ["a positive"] * 20
    (queries if side == "query" else positives)[13] = bad
    with pytest.raises(InvalidInputError, match=f"calibration {side} 13"):
        CalibrationPairs(queries, positives)


def test_digest_depends_on_content_and_order_alone():
    pairs = make_pairs(20)
    assert pairs.digest == make_pairs(20, source="title").digest and len(pairs.digest) == 64
    turned = CalibrationPairs(pairs.queries[::-1], pairs.positives[::-1])
    swapped = CalibrationPairs(pairs.positives, pairs.queries)
    changed = CalibrationPairs([*pairs.queries[:-1], "other"], pairs.positives)
    assert len({p.digest for p in (pairs, turned, swapped, changed)}) == 4


@settings(deadline=None, max_examples=60)
@given(st.integers(2 * MINIMUM_PAIRS, 400), st.floats(0.01, 0.99))
def test_split_is_a_partition_in_order_with_enough_on_both_sides(n, heldout):
    pairs = make_pairs(n, source="title")
    training, held = pairs.split(heldout)
    assert training.queries + held.queries == pairs.queries
    assert training.positives + held.positives == pairs.positives
    assert min(len(training), len(held)) >= MINIMUM_PAIRS
    if MINIMUM_PAIRS < n * heldout < n - MINIMUM_PAIRS:
        assert abs(len(held) - n * heldout) <= 1
    assert training.source == held.source == "title"


def test_too_few_pairs_to_split_serve_twice():
    pairs = make_pairs(2 * MINIMUM_PAIRS - 1)
    assert pairs.split() == (pairs, pairs)


def test_title_is_paired_with_the_text_and_cut_from_its_head():
    titles = [f"A title with number {i}" for i in range(40)]
    texts = [f"{title}\nThe text of {i}. It goes on." for i, title in enumerate(titles)]
    pairs = pseudo_pairs(texts, titles)
    assert as_set(pairs) == {(t, f"The text of {i}. It goes on.") for i, t in enumerate(titles)}
    assert pairs.source == "title"


def test_first_sentence_is_paired_with_the_rest():
    pairs = pseudo_pairs(corpus(40))
    expected = {
        (f"The opening sentence of text {i}.", f"And here is what follows as number {i}.") for i in range(40)
    }
    assert as_set(pairs) == expected
    assert pairs.source == "first sentence"


def test_text_of_one_sentence_is_cut_in_the_middle():
    texts = [f"number{i} one two three four five six seven" for i in range(40)]
    pairs = pseudo_pairs(texts)
    assert as_set(pairs) == {(f"number{i} one two three", "four five six seven") for i in range(40)}
    assert pairs.source == "halves"


def test_shared_and_empty_titles_fall_back_to_the_next_way():
    texts = corpus(40)
    titles = ["One and the same title"] * 20 + [""] * 20
    pairs = pseudo_pairs(texts, titles)
    assert Counter(pairs.queries)["One and the same title"] == 1
    assert len(set(pairs.queries)) == len(pairs) == 40
    assert pairs.source == "first sentence + title"


def test_repeated_and_unusable_texts_give_no_further_pairs():
    texts = corpus(40)
    pairs = pseudo_pairs([*texts, "", " ", "a\0b", "Hi. Ho.", *["tiny"] * 50])
    assert as_set(pairs) == as_set(pseudo_pairs(texts))


def test_a_corpus_too_small_to_hold_any_out_gives_way_to_general_pairs():
    general = docstring_pairs()
    for number in (1, MINIMUM_PAIRS, 2 * MINIMUM_PAIRS - 1):
        pairs = pseudo_pairs(corpus(number))
        assert pairs == general and pairs.corpus == number
    assert pseudo_pairs(corpus(2 * MINIMUM_PAIRS)).source == "first sentence"
    assert len(pseudo_pairs(corpus(500), limit=20)) == 20  # which is no lack of texts


def test_a_sampler_that_is_to_give_its_own_pairs_refuses_with_their_count():
    sampler = PairSampler(20)
    for text in corpus(15):
        sampler.offer(text)
    with pytest.raises(InvalidInputError, match=f"only 15 calibration pairs, {MINIMUM_PAIRS} are needed"):
        sampler.pairs()


@pytest.mark.parametrize("texts", [[], ["", " \n"]])
def test_an_empty_corpus_says_so(texts):
    with pytest.raises(InvalidInputError, match="the corpus is empty"):
        pseudo_pairs(texts)


def test_pairs_are_in_proportion_to_the_corpus():
    assert [proportionate(n) for n in (0, 1000, 3000, 8000, 10**6)] == [160, 160, 160, 400, 640]
    assert all(proportionate(n) <= 0.055 * n for n in range(3000, 20_000, 500))
    assert len(pseudo_pairs(corpus(4000))) == 200
    assert len(pseudo_pairs(corpus(150))) == 150 and len(pseudo_pairs(corpus(900))) == 160
    assert len(pseudo_pairs(corpus(900), limit=640)) == 640


@pytest.mark.parametrize("head", ["A Title of Text {}", "# A title of text {}", "a title of text {}:"])
def test_a_title_is_cut_from_a_text_that_begins_with_it_in_any_form(head):
    titles = [f"A title of text {i}" for i in range(40)]
    texts = [f"{head.format(i)}\nWhat the text says. It goes on." for i in range(40)]
    assert all("title" not in positive.casefold() for positive in pseudo_pairs(texts, titles).positives)


def test_titles_must_be_as_many_as_texts():
    with pytest.raises(ValueError):
        pseudo_pairs(corpus(20), ["A title long enough"] * 19)


def test_limit_bounds_the_pairs_and_the_memory():
    drawn = []

    def stream():
        for text in corpus(500):
            drawn.append(text)
            yield text

    pairs = pseudo_pairs(stream(), limit=20)
    assert len(pairs) == 20 and len(drawn) == 500
    sampler = PairSampler(20)
    for text in corpus(500):
        sampler.offer(text)
    held = [value for value in vars(sampler).values() if isinstance(value, list)]
    assert max(map(len, held)) <= 40
    assert as_set(sampler.pairs()) == as_set(pairs)


def test_same_seed_gives_the_same_pairs_in_the_same_order_another_seed_others():
    pairs = [pseudo_pairs(corpus(300), limit=32, seed=s) for s in (0, 0, 1)]
    assert pairs[0] == pairs[1]
    assert as_set(pairs[0]) != as_set(pairs[2])


def test_sample_is_uniform_over_the_stream():
    """100 texts, 20 taken, 600 seeds: each is taken 120 times, deviation 10; tolerance five of them."""
    texts = corpus(100)
    taken = Counter(q for seed in range(600) for q in pseudo_pairs(texts, limit=20, seed=seed).queries)
    assert len(taken) == 100 and sum(taken.values()) == 600 * 20
    assert max(abs(count - 120) for count in taken.values()) < 50


def test_order_is_random_so_that_a_split_is_fair():
    """Of a sorted corpus that fits into memory, the held-out part must not be its end."""
    _, held = pseudo_pairs(corpus(200)).split()
    late = sum(int(q.removesuffix(".").split()[-1]) >= 160 for q in held.queries)
    assert 2 <= late <= 16  # 40 of 200 held out, 40 late: 8 expected
