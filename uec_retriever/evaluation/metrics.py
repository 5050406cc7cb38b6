"""Rank metrics per query (through ir-measures), AUROC of many scores at once, and Token F1."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from uec_retriever.data.qrels import whole_judgements
from uec_retriever.errors import MissingExtraError
from uec_retriever.evaluation.bootstrap import Values
from uec_retriever.evaluation.collection import Query
from uec_retriever.gaussian import Array

HIT, RECALL, MAP, NDCG = "Hit@1", "Recall@1", "MAP", "nDCG@10"
RANK_METRICS = (HIT, RECALL, MAP, NDCG)
RECALL_10, RECALL_100, MRR = "Recall@10", "Recall@100", "MRR@10"
RETRIEVAL_METRICS = (NDCG, RECALL_10, RECALL_100, MAP, MRR)
TOKEN_F1 = "Token F1"
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def rank_metrics(
    queries: Sequence[Query], rankings: Mapping[str, Sequence[str]], names: Sequence[str] = RANK_METRICS
) -> dict[str, Values]:
    """Metrics of rankings, query by query.

    Hit@1 is whether the first passage is relevant (some papers call this Recall@1), Recall@1 the share of a
    query's relevant passages that it makes up: the same where there is one relevant passage. MAP averages
    precision over its relevant passages; nDCG@10 has linear gains. A query without a ranking scores 0.

    Args:
        queries: n of them, with relevances.
        rankings: query id -> passage ids, best first.
        names: of `RANK_METRICS` or `RETRIEVAL_METRICS`.

    Returns:
        Metric -> `[n]` values in [0, 1], in the order of the queries.

    Raises:
        MissingExtraError: without the extra `eval`.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError('evaluation needs ir-measures: pip install "uec-retriever[eval]"') from error
    known = {
        HIT: ir_measures.Success @ 1,
        RECALL: ir_measures.R @ 1,
        RECALL_10: ir_measures.R @ 10,
        RECALL_100: ir_measures.R @ 100,
        MAP: ir_measures.AP,
        MRR: ir_measures.RR @ 10,
        NDCG: ir_measures.nDCG @ 10,
    }
    measures = {known[name]: name for name in names}
    qrels = {q.id: whole_judgements(q.relevance) for q in queries}
    run = {
        q: {passage: -float(rank) for rank, passage in enumerate(ranked)} for q, ranked in rankings.items()
    }
    found: dict[tuple[str, str], float] = {
        (measures[m.measure], m.query_id): m.value for m in ir_measures.iter_calc(list(measures), qrels, run)
    }
    return {name: np.array([found.get((name, q.id), 0.0) for q in queries]) for name in names}


def auroc(values: Array, positive: Any) -> Array:
    """`[M]` P(a positive has more than a negative), ties counting half, for each column of `[n, M]` values.

    From ranks, for all columns at once; NaN where all are of one class.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return np.full(values.shape[1], np.nan)
    ranks = rankdata(values, axis=0)[positive].sum(axis=0)
    return np.asarray((ranks / positives - (positives + 1) / 2) / negatives)


def token_f1(answer: str, references: Iterable[str]) -> float:
    """Best F1 of an answer's tokens against a reference, as SQuAD counts them.

    Case, punctuation and articles do not count; token multiplicities do (Rajpurkar et al. 2016). Two
    texts of which nothing is left are equal, one such text and another are not.

    Args:
        answer: what was said.
        references: acceptable answers, at least one.
    """
    return max(_f1(_tokens(answer), _tokens(reference)) for reference in references)


def _tokens(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    shared = (Counter(found) & Counter(wanted)).total()
    return 2 * shared / (len(found) + len(wanted))
