"""Abstention signals: numbers that tend to be higher when a search went well; none is a probability.

What the retriever's own uncertainty offers was tried as well: the deviation of the best candidate and
the trace of the query's variance tell queries off topic, as the best score does too, but next to nothing
of success on topic; nor does the entropy of the coefficients (benchmarks/results/confidence.json).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array

DEPTH = 10  # candidates that signals look at, whatever k a search asks for
SIGNALS = {  # higher is better; chosen without the test splits (benchmarks/confidence_prior.py)
    "top": "raw score of the best candidate",
    "margin_5": "raw score of the best candidate less that of the fifth",
    "margin_10": "raw score of the best candidate less that of the tenth",
    "lexical": "correlation of the raw scores of the first ten with the share of the query's words they hold",
    "perplexity": "minus the perplexity of the first thirty candidates under a softmax of their raw scores; of fewer in proportion",
    "specificity": "mean inverse document frequency of the query's words, in [0, 1], 0 of one in no text; 0 without words",
    "length": "natural logarithm of the number of the query's words; 0 without words",
}
FITTED = ("top", "margin_5", "lexical", "perplexity")
"""What an index's own queries are asked about: words of made ones say nothing, and few real ones mislead off topic."""
_SPREAD = 30  # candidates whose perplexity counts
_TEMPERATURE = 0.05  # of their softmax
_WORD = re.compile(r"\w{3,}")
_READ = 2000  # characters of a text that are searched for words
_LEAST_SPREAD = 1e-9  # below it, a correlation is rounding


def abstention_signals(
    query: str, texts: Sequence[str], raw: Array, rarities: Array | None = None
) -> dict[str, float]:
    """The signals of one query, from its best candidates (from all of them, if they are few).

    Args:
        query: its text.
        texts: m texts of the candidates, m >= 1, in any order.
        raw: `[m]` their raw scores.
        rarities: `[t]` inverse document frequencies of the query's t words, in [0, 1], 0 of one in no text; None without
            words.

    Returns:
        Every name in `SIGNALS` with its value. Where there is nothing to compare, margins and the
        correlation are 0.

    Raises:
        InvalidInputError: without candidates, or if they are not as many of each.
    """
    raw = np.asarray(raw, dtype=np.float64)
    if raw.ndim != 1 or len(raw) == 0 or len(texts) != len(raw):
        raise InvalidInputError(
            f"signals need texts and raw scores of the same candidates, at least one: got {len(texts)} and {raw.shape}"
        )
    order = np.argsort(-raw, kind="stable")[:_SPREAD]
    spread = raw[order]
    first = spread[:DEPTH]
    words = 0 if rarities is None else len(rarities)
    return {
        "top": float(first[0]),
        "margin_5": float(first[0] - first[: DEPTH // 2][-1]),
        "margin_10": float(first[0] - first[-1]),
        "lexical": _correlation(first, _word_shares(query, [texts[i] for i in order[:DEPTH]])),
        "perplexity": -_perplexity((spread - spread[0]) / _TEMPERATURE) * _SPREAD / len(spread),
        "specificity": 0.0 if rarities is None or not words else float(rarities.mean()),
        "length": math.log(words) if words else 0.0,
    }


def _perplexity(logits: Array) -> float:
    """Of their softmax: 1 where one stands alone, as many as there are where all are alike."""
    exponentials = np.exp(logits)
    shares = exponentials / exponentials.sum()
    return float(np.exp(np.log(exponentials.sum()) - shares @ logits))


def _word_shares(query: str, texts: Sequence[str]) -> Array:
    """`[m]` share of the query's words that each text holds, rare ones among the texts counting more.

    A word is found inside longer ones too, so that inflected forms match without a stemmer.
    """
    words = set(_WORD.findall(query.lower()))
    found = [{w for w in words if w in text} for text in (text[:_READ].lower() for text in texts)]
    frequency = Counter(w for held in found for w in held)
    weight = {w: math.log1p((len(texts) + 1) / (frequency[w] + 0.5)) for w in words}
    total = sum(weight.values()) or 1.0
    return np.array([sum(weight[w] for w in sorted(held)) for held in found]) / total


def _correlation(one: Array, other: Array) -> float:
    """Pearson's, 0 where either does not vary."""
    one, other = one - one.mean(), other - other.mean()
    lengths = float(np.sqrt(one @ one)), float(np.sqrt(other @ other))
    return float(one @ other) / (lengths[0] * lengths[1]) if min(lengths) > _LEAST_SPREAD else 0.0
