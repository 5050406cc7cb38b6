"""Upper bounds: what choosing one expert could reach at best, seen from the right answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from uec_retriever.evaluation.bootstrap import Values
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.metrics import MAP, NDCG, RETRIEVAL_METRICS

Metrics = Mapping[str, Values]  # metric of `RETRIEVAL_METRICS` -> `[n]`
ORACLE_DOMAIN, ORACLE_QUERY = "oracle domain", "oracle query"


def oracles(collection: Collection, singles: Mapping[str, Metrics]) -> dict[str, Metrics]:
    """Upper bounds of choosing one expert: the best for each domain, and for each query, by nDCG@10 on the answers.

    Args:
        collection: its queries' domains count.
        singles: expert -> metric -> `[n]`.

    Returns:
        `oracle domain` and `oracle query` -> metric -> `[n]`. Between experts of equal nDCG@10, MAP decides.
    """
    quality = np.stack([v[NDCG] + 1e-6 * v[MAP] for v in singles.values()])
    domains = np.array([q.domain or collection.name for q in collection.queries])
    best_domain = np.zeros(len(domains), dtype=int)
    for domain in collection.domains:
        rows = domains == domain
        best_domain[rows] = int(quality[:, rows].mean(axis=1).argmax())
    every = np.arange(len(domains))
    return {
        label: {m: np.stack([v[m] for v in singles.values()])[best, every] for m in RETRIEVAL_METRICS}
        for label, best in ((ORACLE_DOMAIN, best_domain), (ORACLE_QUERY, quality.argmax(axis=0)))
    }
