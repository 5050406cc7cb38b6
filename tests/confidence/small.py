"""Made-up outcomes of searches."""

import numpy as np

from uec_retriever.confidence.fit import (
    Kind,
    Outcomes,
    fit_confidence,
)
from uec_retriever.confidence.model import SIGNALS

QUERY = "boundary layer of a wing"
TEXTS = [
    "the boundary layer of a thin wing",
    "boundary layers and heat",
    "a wing",
    "pressure in a nozzle",
    "cats",
]
RAW = np.array([0.8, 0.7, 0.5, 0.45, 0.1])


def outcomes(number=120, seed=0, *, off_topic=20, flip=1.0):
    """Signals that speak for success when it comes, but for noise; and one, by `flip`, as one likes."""
    generator = np.random.default_rng(seed)
    kinds = np.array([Kind.ANSWERABLE, Kind.LEFT_OUT] * number + [Kind.OFF_TOPIC] * off_topic)
    hits = (kinds == Kind.ANSWERABLE) & (generator.random(len(kinds)) < 0.7)
    table = generator.normal(size=(len(kinds), 3)) + hits[:, None] * np.array([0.5, 1.5, flip])
    queries = np.concatenate([np.repeat(np.arange(number), 2), number + np.arange(off_topic)])
    return Outcomes([dict(zip(SIGNALS, row, strict=True)) for row in table.tolist()], hits, kinds, queries)


def fit(made, **changes):
    options = {"k": 10, "candidates": 30, "records": 99, "source": "test"}
    return fit_confidence(made, **{**options, **changes})
