"""Made-up outcomes of searches."""

import numpy as np

from uec_retriever.confidence.fit import (
    Kind,
    Outcomes,
    fit_confidence,
)
from uec_retriever.confidence.signals import FITTED, SIGNALS


def outcomes(number=120, seed=0, *, off_topic=20, flip=1.0):
    """Signals that speak for success when it comes, but for noise; and one, by `flip`, as one likes."""
    generator = np.random.default_rng(seed)
    kinds = np.array([Kind.ANSWERABLE, Kind.LEFT_OUT] * number + [Kind.OFF_TOPIC] * off_topic)
    hits = (kinds == Kind.ANSWERABLE) & (generator.random(len(kinds)) < 0.7)
    table = generator.normal(size=(len(kinds), 4)) + hits[:, None] * np.array([0.5, 1.5, flip, 0.7])
    queries = np.concatenate([np.repeat(np.arange(number), 2), number + np.arange(off_topic)])
    signals = [dict.fromkeys(SIGNALS, 0.0) | dict(zip(FITTED, row, strict=True)) for row in table.tolist()]
    return Outcomes(signals, hits, kinds, queries)


def fit(made, **changes):
    options = {"k": 10, "candidates": 30, "records": 99, "source": "test"}
    return fit_confidence(made, **{**options, **changes})
