"""What settings are chosen by: nDCG@10 on labelled queries that are not reported."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from uec_retriever.evaluation.bootstrap import Values
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.collection_encoder import EncodedCollection
from uec_retriever.evaluation.exact import Mask, Scorer, mask_passages, rank
from uec_retriever.evaluation.metrics import NDCG, rank_metrics

Setting = TypeVar("Setting", bound=Hashable)


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Queries to choose on, encoded.

    Attributes:
        collection: the queries, say of a train split, and their corpus.
        encoded: the same.
        scope: `corpus` or `group`.
    """

    collection: Collection
    encoded: EncodedCollection
    scope: str = "corpus"

    @property
    def barred(self) -> Mask:
        """What a query may not find."""
        return mask_passages(self.collection, self.scope)

    def ndcg(self, scorers: Mapping[Setting, Scorer]) -> dict[Setting, Values]:
        """Setting -> `[n]` nDCG@10 of each query."""
        sizes = (len(self.collection.queries), len(self.collection.ids))
        named = {str(i): scorer for i, scorer in enumerate(scorers.values())}
        found = rank(named, *sizes, 10, barred=self.barred).values()
        queries = self.collection.queries
        values = (rank_metrics(queries, r.ids(self.collection), (NDCG,))[NDCG] for r in found)
        return dict(zip(scorers, values, strict=True))


def mean_ndcg(
    sets: Iterable[LabelledSet], scorers: Callable[[LabelledSet], Mapping[Setting, Scorer]]
) -> dict[Setting, float]:
    """Setting -> mean over sets of nDCG@10, to nine digits.

    Args:
        sets: one or more; one after the other, so that they need not all be in memory.
        scorers: how each setting scores a set, the same settings for all.
    """
    found = [{s: v.mean() for s, v in one.ndcg(scorers(one)).items()} for one in sets]
    return {s: round(float(np.mean([means[s] for means in found])), 9) for s in found[0]}
