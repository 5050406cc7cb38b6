"""Searches of test queries with every signal that was tried, those that the package left out too."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uec_retriever.confidence.model import DEPTH, abstention_signals
from uec_retriever.confidence.questions import Question
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.search import score_candidates
from uec_retriever.evaluation.collection import Collection
from uec_retriever.store.chroma import Candidates

Floats = NDArray[np.floating[Any]]
_SPARE = 30


@dataclass(frozen=True)
class Searched:
    """One query's candidates, best first.

    Attributes:
        query_id: its id.
        ids: m ids.
        raw: m raw scores.
        relevant: ids of the right records.
        signals: name -> value; the package's own, and others.
        seconds: that the package's own signals took.
    """

    query_id: str
    ids: list[str]
    raw: list[float]
    relevant: frozenset[str]
    signals: dict[str, float]
    seconds: float

    def hit(self, k: int) -> bool:
        """Whether a right record is among the first k."""
        return bool(self.relevant & set(self.ids[:k]))


def search_both_ways(
    engine: Engine, asked: Collection | Sequence[str], *, candidates: int
) -> tuple[list[Searched], list[Searched]]:
    """Search for queries, and again with their right texts left out of the candidates.

    Args:
        engine: the index.
        asked: a collection, or queries without right texts.
        candidates: how many to rescore.
    """
    if isinstance(asked, Collection):
        texts = dict(zip(asked.ids, asked.texts, strict=True))
        queries = {q.id: q.text for q in asked.queries}
        relevant = {q.id: frozenset(d for d, s in q.relevance.items() if s > 0) for q in asked.queries}
        excluded = {q.id: q.excluded for q in asked.queries}
    else:
        texts, relevant, excluded = {}, {}, {}
        queries = {str(i): text for i, text in enumerate(asked)}
    if not queries:
        return [], []
    encoded = engine.ensemble.encode_queries(list(queries.values()))
    assert encoded.coefficients is not None
    whole: list[Searched] = []
    left_out: list[Searched] = []
    vectors = _vectors(engine)
    for row, (query_id, text) in enumerate(queries.items()):
        right, barred = relevant.get(query_id, frozenset()), excluded.get(query_id, frozenset())
        question = Question(text, tuple(texts[i] for i in sorted(right) if i in texts), right)
        gaussian = encoded.gaussian[row : row + 1]
        found = engine.store.query(gaussian.mean, candidates + _SPARE + len(barred))[0]
        allowed = [i for i, identifier in enumerate(found.ids) if identifier not in barred]
        others = [i for i in allowed if not question.is_answered_by(found.ids[i], found.texts[i])]
        trace = float(np.log(gaussian.trace[0]))
        for rows, kept in ((allowed, whole), (others, left_out)):
            part = _take(found, rows[:candidates])
            raw, deviations = score_candidates(engine.ensemble, gaussian, part)
            order = np.argsort(-raw, kind="stable")
            start = time.perf_counter()
            signals = abstention_signals(text, part.texts, raw)
            seconds = time.perf_counter() - start
            first = order[:DEPTH]
            parts = _expert_scores(engine, gaussian.mean[0], [vectors[part.ids[i]] for i in first])
            kept.append(
                Searched(
                    query_id,
                    [part.ids[i] for i in order],
                    raw[order].tolist(),
                    right,
                    {
                        **signals,
                        **_others(raw[first], deviations[first], encoded.coefficients[row], parts),
                        "query trace": -trace,
                    },
                    seconds,
                )
            )
    return whole, left_out


def _others(raw: Floats, deviations: Floats, coefficients: Floats, parts: Floats) -> dict[str, float]:
    """Signals that were tried and left out."""
    pi = coefficients[coefficients > 0]
    varied = len(parts) > 1 and len(raw) > 2 and (parts.std(axis=1) > 0).all()
    return {
        "margin_2": float(raw[0] - raw[min(1, len(raw) - 1)]),
        "std": float(raw.std()),
        "deviation of the best (less is more)": -float(deviations[0]),
        "entropy of the coefficients": -float(np.sum(pi * np.log(pi))),
        "agreement of the experts (correlation)": float(np.asarray(np.corrcoef(parts))[0, 1])
        if varied
        else 0.0,
        "same best for all experts": float(len(set(parts.argmax(axis=1))) == 1),
    }


def _vectors(engine: Engine) -> dict[str, Floats]:
    ids = [r.id for page in engine.pages() for r in page]
    found = engine.store.collection.get(ids=ids, include=["embeddings"])
    embeddings = np.asarray(found["embeddings"], dtype=np.float64)
    return dict(zip(found["ids"], embeddings, strict=True))


def _expert_scores(engine: Engine, query: Floats, vectors: Sequence[Floats]) -> Floats:
    """`[K, m]` what each expert adds to the similarity of each candidate."""
    ends = np.cumsum([e.dimension for e in engine.manifest.experts])[:-1]
    products = np.asarray(vectors) * query
    return np.stack([block.sum(axis=1) for block in np.split(products, ends, axis=1)])


def _take(found: Candidates, rows: Sequence[int]) -> Candidates:
    return Candidates(
        [found.ids[i] for i in rows],
        [found.texts[i] for i in rows],
        [found.metadatas[i] for i in rows],
        found.means[list(rows)],
        [found.variances[i] for i in rows],
    )
