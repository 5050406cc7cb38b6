"""Small documents of terms, what they score by the formula, and when two indexes are the same."""

import math
import random

import numpy as np

from uec_retriever.store.lexical import LexicalIndex

K1, B = 0.9, 0.4
WORDS = [*"abcdefghij", "Ünïcode", "日本", "a b", "\0", "'); --", "x" * 255]


def corpus(number, seed=0, words=WORDS, most=40):
    """Id -> terms, some of them frequent, of very different lengths."""
    draw = random.Random(seed)
    shares = [1 / (i + 1) for i in range(len(words))]
    return {f"id{i}": draw.choices(words, shares, k=draw.randint(0, most)) for i in range(number)}


def fresh(texts):
    made = LexicalIndex.open(None, {})
    made.change(texts, [], "")
    return made


def naive(texts, weights, allowed=None):
    """Id -> score by the formula, a document at a time."""
    average = sum(map(len, texts.values())) / len(texts)
    scores = {}
    for identifier, terms in texts.items():
        norm = K1 * (1 - B + B * len(terms) / average) if average else 0
        parts = [
            w * terms.count(t) * (K1 + 1) / (terms.count(t) + norm) for t, w in weights.items() if t in terms
        ]
        if sum(parts) > 0 and (allowed is None or identifier in allowed):
            scores[identifier] = sum(parts)
    return scores


def check(hits, scores, limit):
    """Hits are the best by these scores, up to rounding."""
    best = sorted(scores.values(), reverse=True)[:limit]
    assert np.allclose([score for _, score in hits], best, rtol=1e-9)
    assert all(math.isclose(scores[identifier], score, rel_tol=1e-9) for identifier, score in hits)
    assert len({identifier for identifier, _ in hits}) == len(best)


def same(one, other, terms=WORDS):
    """Two indexes answer the same, whatever is asked."""
    assert one.ids() == other.ids()
    assert len(one) == len(other)
    (n, average, df), (n2, average2, df2) = one.statistics(terms), other.statistics(terms)
    assert (n, average, df.tolist()) == (n2, average2, df2.tolist())
    for weights in (
        {terms[0]: 0.1, terms[3]: 2.0, terms[9]: 3.0},
        {terms[1]: 1.0},
        dict.fromkeys(terms, 0.7),
    ):
        for limit in (1, 5, 100):
            assert one.search(weights, limit, K1, B) == other.search(weights, limit, K1, B)


def numbered(turn):
    """The change of that number, the same in every process."""
    draw = random.Random(turn)
    put = {f"id{draw.randrange(200)}": draw.choices(WORDS, k=draw.randint(0, 30)) for _ in range(40)}
    return put, [f"id{draw.randrange(200)}" for _ in range(20)]


def after(turns):
    """The documents that are there after so many changes."""
    known = {}
    for turn in range(1, turns + 1):
        put, delete = numbered(turn)
        known = {k: v for k, v in known.items() if k not in delete} | put
    return known


def filled(path):
    """An index of 400 documents, closed."""
    with LexicalIndex.open(path, {}) as made:
        made.change(corpus(400), [], "done")
