"""Hybrid search as LangChain and LlamaIndex offer it: their BM25, with their tokens, fused their way with dense experts.

| | BM25 | tokens | fusion |
|---|---|---|---|
| LangChain `BM25Retriever`, `EnsembleRetriever` | rank_bm25's Okapi, k1 1.5, b .75 | split at white space | reciprocal rank |
| LlamaIndex `BM25Retriever`, `QueryFusionRetriever` | bm25s, Lucene's, k1 1.5, b .75 | two or more letters or digits, lower case, English stop words, Snowball | reciprocal rank, ranges, or deviations of scores |

Both return their k best passages, those without any word of the query among them if need be. The formulas are here, so that
neither framework needs to be installed; tests hold them against the packages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix

from uec_retriever.evaluation.exact import DEPTH, Ranking, mask_passages, rank
from uec_retriever.evaluation.fusion import reciprocal_rank_fusion
from uec_retriever.evaluation.metrics import RETRIEVAL_METRICS, rank_metrics
from uec_retriever.evaluation.retrieval_study import Measurements
from uec_retriever.gaussian import Array

LANGCHAIN = "LangChain EnsembleRetriever"
LLAMA_INDEX = "LlamaIndex"
MODES = ("reciprocal_rerank", "relative_score", "dist_based_score")
_DEVIATIONS = 3.0


def add_framework_hybrids(measured: Measurements, depth: int = DEPTH) -> Measurements:
    """The same collection with the frameworks' hybrids of BM25 and the first expert, and of BM25 and all experts.

    Args:
        measured: with rankings of its single experts.
        depth: passages that each retriever returns.
    """
    rankings = fuse_as_frameworks(measured, depth)
    queries, collection = measured.collection.queries, measured.collection
    values = {k: rank_metrics(queries, r.ids(collection), RETRIEVAL_METRICS) for k, r in rankings.items()}
    return replace(
        measured,
        kinds={**measured.kinds, **dict.fromkeys(rankings, "fusion")},
        values={**measured.values, **values},
        rankings={**measured.rankings, **rankings},
    )


def fuse_as_frameworks(measured: Measurements, depth: int = DEPTH) -> dict[str, Ranking]:
    """Label -> rankings of each framework's hybrids (see `add_framework_hybrids`)."""
    collection = measured.collection
    texts, queries = collection.texts, [q.text for q in collection.queries]
    okapi, lucene = okapi_scores(texts, queries), lucene_scores(texts, queries)
    sizes = (len(queries), len(texts), min(depth, len(texts)))
    scorers = {"okapi": lambda rows: okapi[rows], "lucene": lambda rows: lucene[rows]}
    words = rank(scorers, *sizes, barred=mask_passages(collection, measured.scope))
    dense = [cut(measured.rankings[label], depth) for label in measured.labels]
    found: dict[str, Ranking] = {}
    for name, chosen in {measured.labels[0]: dense[:1], "all": dense}.items():
        if name == "all" and len(dense) == 1:
            break
        found[f"{LANGCHAIN}: BM25 + {name}"] = reciprocal_rank_fusion([words["okapi"], *chosen])
        for mode in MODES:
            found[f"{LLAMA_INDEX} {mode}: BM25 + {name}"] = fuse_by_mode([*chosen, words["lucene"]], mode)
    return found


def fuse_by_mode(rankings: Sequence[Ranking], mode: str, depth: int = DEPTH) -> Ranking:
    """What QueryFusionRetriever makes of rankings, without generated queries and with equal weights.

    `relative_score` maps each ranking's scores to [0, 1] by their least and their highest, `dist_based_score` by three
    deviations on either side of their mean; then they are added up, a passage that a ranking lacks gets 0 of it.

    Args:
        rankings: of the same queries.
        mode: of `MODES`.
        depth: passages of the result, at most.
    """
    if mode == "reciprocal_rerank":
        return reciprocal_rank_fusion(rankings, depth, first_rank=0)
    documents = np.full((len(rankings[0].documents), depth), -1, dtype=np.int64)
    scores = np.full(documents.shape, -np.inf)
    for row in range(len(documents)):
        total: dict[int, float] = {}
        for ranking in rankings:
            held = ranking.documents[row] >= 0
            values = map_range(ranking.scores[row][held], mode == "dist_based_score") / len(rankings)
            for document, value in zip(ranking.documents[row][held].tolist(), values.tolist(), strict=True):
                total[document] = total.get(document, 0.0) + value
        best = sorted(total, key=lambda document: -total[document])[:depth]
        documents[row, : len(best)] = best
        scores[row, : len(best)] = [total[document] for document in best]
    return Ranking(documents, scores)


def map_range(scores: Array, by_deviation: bool) -> Array:
    """LlamaIndex's scaling of one ranking's scores; equal ones become 1, or 0 if they are not above 0."""
    if not len(scores):
        return scores
    low, high = scores.min(), scores.max()
    if by_deviation:
        spread = _DEVIATIONS * scores.std()
        low, high = scores.mean() - spread, scores.mean() + spread
    if high == low:
        return np.full_like(scores, float(high > 0))
    return np.asarray((scores - low) / (high - low))


def cut(ranking: Ranking, depth: int) -> Ranking:
    """The first passages of each ranking."""
    return Ranking(ranking.documents[:, :depth], ranking.scores[:, :depth])


def okapi_scores(
    texts: Sequence[str], queries: Sequence[str], k1: float = 1.5, b: float = 0.75, epsilon: float = 0.25
) -> Array:
    """`[n, m]` scores of rank_bm25's BM25Okapi over words between white space, as LangChain's BM25Retriever has them.

    A word that most passages have would count negatively: it gets `epsilon` times the mean idf instead. A word that a query
    repeats counts each time.
    """
    counts, columns = _count([text.split() for text in texts])
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    df = np.bincount(counts.indices, minlength=len(columns))
    idf = np.log(len(texts) - df + 0.5) - np.log(df + 0.5)
    idf = np.where(idf < 0, epsilon * idf.mean(), idf)
    rows = np.repeat(np.arange(len(texts)), np.diff(counts.indptr))
    norm = k1 * (1 - b + b * lengths[rows] / lengths.mean())
    counts.data = idf[counts.indices] * counts.data * (k1 + 1) / (counts.data + norm)
    asked, _ = _count([query.split() for query in queries], columns)
    return np.asarray((asked @ counts.T).toarray())


def lucene_scores(texts: Sequence[str], queries: Sequence[str]) -> Array:
    """`[n, m]` scores of bm25s with the stemmer and stop words of LlamaIndex's BM25Retriever."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    options = {"stopwords": "en", "stemmer": stemmer, "show_progress": False}
    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), **options), show_progress=False)
    asked = bm25s.tokenize(list(queries), return_ids=False, **options)
    return np.array([index.get_scores(words) if words else np.zeros(len(texts)) for words in asked])


def _count(
    texts: Sequence[Sequence[str]], known: Mapping[str, int] | None = None
) -> tuple[csr_matrix, Mapping[str, int]]:
    """`[n, V]` how often each text has each word, of the known ones or all, and word -> column."""
    columns = dict(known or {})
    places: list[int] = []
    values: list[float] = []
    ends = [0]
    for words in texts:
        for word, number in Counter(words).items():
            if known is None or word in known:
                places.append(columns.setdefault(word, len(columns)))
                values.append(number)
        ends.append(len(places))
    shape = (len(texts), len(columns))
    return csr_matrix((np.array(values, np.float64), np.array(places, np.int64), ends), shape), columns
