"""Prior: what searches with real queries, in other collections, tell of a confidence.

Queries made from an index's own texts share words with them, as no user's do: what is learnt of them alone is too sure
of itself in one index and too modest in another. Real queries with known answers are elsewhere. The prior is fitted on
seven collections of them (benchmarks/confidence_prior.py), each with and without its answers, and says in two steps
whether a right answer is among the first k:

    P(hit) = P(answerable) P(found | answerable)

so that the share of queries without an answer can be any. An index's own fit and the prior are then averaged in log
odds (a logarithmic opinion pool: Genest and Zidek, "Combining Probability Distributions", Statistical Science 1986),
both bounded alike, so that neither is overruled where the other is far from all that it was fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from uec_retriever.checks.rows import FINITE_ROW
from uec_retriever.confidence.odds import expit, log_odds
from uec_retriever.confidence.signals import SIGNALS
from uec_retriever.errors import InvalidInputError


@dataclass(frozen=True)
class Prior:
    """Two logistic regressions on signals as they are.

    Attributes:
        signals: names out of `SIGNALS`, S of them.
        answerable: `[S]` weights for P(the index has an answer), >= 0, at half of the queries without one.
        answerable_intercept: log odds where all signals are 0.
        found: `[S]` weights for P(a right answer is among the first k, if there is one), >= 0.
        found_intercept: log odds where all signals are 0 and k is 1.
        depth: weight of the natural logarithm of k, >= 0.
    """

    __pydantic_config__ = FINITE_ROW

    signals: tuple[str, ...]
    answerable: tuple[float, ...]
    answerable_intercept: float
    found: tuple[float, ...]
    found_intercept: float
    depth: float

    def __post_init__(self) -> None:
        names, weights = set(self.signals), (*self.answerable, *self.found, self.depth)
        sizes = {len(names), len(self.signals), len(self.answerable), len(self.found)}
        if not names or len(sizes) > 1 or not names <= set(SIGNALS):
            raise InvalidInputError(
                f"a prior has a weight of each kind for each of its signals, which are distinct: {self.signals}"
            )
        numbers = (*weights, self.answerable_intercept, self.found_intercept)
        if not all(map(math.isfinite, numbers)) or min(weights) < 0:
            raise InvalidInputError(f"the weights of a prior are finite and at least 0: {numbers}")

    def logit(self, signals: Mapping[str, float], k: int, unanswerable: float) -> float:
        """Log odds that a right answer is among the first k, bounded (`confidence.odds`).

        Args:
            signals: what `abstention_signals` gives for the query.
            k: hits, >= 1.
            unanswerable: share of queries without an answer, in [0, 1).
        """
        answerable, found = self.answerable_intercept, self.found_intercept + self.depth * math.log(k)
        for name, one, other in zip(self.signals, self.answerable, self.found, strict=True):
            answerable += one * signals[name]
            found += other * signals[name]
        probability = expit(found)
        if unanswerable:
            probability *= expit(answerable + math.log((1 - unanswerable) / unanswerable))
        return log_odds(probability)


WITH_WORDS = Prior(
    signals=("margin_5", "lexical", "perplexity", "specificity", "length"),
    answerable=(8.3678, 0.2483, 0.0269, 0.0, 0.0),
    answerable_intercept=-0.7833,
    found=(8.5791, 1.0093, 0.0557, 5.032, 0.6572),
    found_intercept=-4.1504,
    depth=0.8328,
)
"""For indexes with words; raw scores of models alone are of another scale for each."""
