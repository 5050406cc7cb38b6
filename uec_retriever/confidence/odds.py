"""Log odds, bounded: what was fitted on some hundreds of queries knows nothing of one in a thousand."""

from __future__ import annotations

import math

import numpy as np

from uec_retriever.gaussian import Array

LEAST = 1e-3
"""Of every probability that is told of a search or a hit, and of its complement.

Where labels can be separated, or a query is far from all that was fitted on, a fit gives log odds of any size: such ones
would say what nobody knows, and leave no say to what they are averaged with.
"""
_MOST = math.log((1 - LEAST) / LEAST)


def bounded(logit: float) -> float:
    """Log odds of a probability in [LEAST, 1 - LEAST]."""
    return max(-_MOST, min(_MOST, logit))


def log_odds(probability: float) -> float:
    """Of a probability in [0, 1], bounded."""
    probability = min(max(probability, LEAST), 1 - LEAST)
    return math.log(probability / (1 - probability))


def expit(logit: float) -> float:
    """The probability that log odds stand for, in (0, 1)."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def probabilities(logits: Array) -> Array:
    """`[n]` in [LEAST, 1 - LEAST], from `[n]` log odds."""
    return np.clip(1 / (1 + np.exp(-np.clip(logits, -_MOST, _MOST))), LEAST, 1 - LEAST)
