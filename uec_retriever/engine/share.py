"""How much words are trusted: the share that labelled queries like best, shrunk towards the constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from uec_retriever.confidence.queries import LabelledQuery
from uec_retriever.data.progress import Progress
from uec_retriever.engine.candidates import find_candidates
from uec_retriever.engine.confidence import both_ways, encode_planted
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.engine.scoring import Moments, dense_moments, score_moments
from uec_retriever.engine.words import Words
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.lexical_options import LexicalOptions

SHARES = np.round(np.linspace(0, 1, 21), 2)
PATIENCE = 100.0  # labelled queries that weigh as much as the constant
_CANDIDATES = 100  # of each leg
_BATCH = 64
_DEPTH = 10


@dataclass(frozen=True)
class ShareReport:
    """What labelled queries say of the share of words.

    Attributes:
        share: in use from now on, in [0, 1].
        best: what these queries alone like best.
        queries: how many of them have a right answer among the candidates; others say nothing.
        quality: mean nDCG@10 over these at `share`, at the constant share, and without words.
    """

    share: float
    best: float
    queries: int
    quality: dict[str, float]


def choose_share(
    ensemble: Ensemble,
    store: ChromaStore,
    words: Words,
    labelled: Sequence[LabelledQuery],
    progress: Progress | None = None,
) -> ShareReport:
    """The share of words with the highest mean nDCG@10, shrunk towards the constant: by n of 100 + n queries.

    Args:
        ensemble: the experts, words among them.
        store: the index.
        words: of the index.
        labelled: n queries of users, whose right answers are known. Queries that were made from texts share words with
            them, and mislead.
        progress: called with the number of queries done.

    Raises:
        InvalidInputError: if none of the queries has its answer among the candidates.
        UnreadableWordsError: if the lexical index cannot be read.
    """
    options = ensemble.manifest.lexical
    assert options is not None
    rows: list[Array] = []
    for start in range(0, len(labelled), _BATCH):
        batch = labelled[start : start + _BATCH]
        rows += _qualities(ensemble, store, words, options, batch)
        if progress:
            progress(len(batch))
    if not rows:
        raise InvalidInputError(
            "no query has a right answer among the candidates: are the ids those of this index, and in it?"
        )
    mean, constant = np.mean(rows, axis=0), LexicalOptions.share
    best = _nearest_of_best(mean, constant)
    share = constant + len(rows) / (len(rows) + PATIENCE) * (best - constant)
    told = {"share": share, "constant": constant, "without words": 0.0}
    quality = {name: float(np.interp(at, SHARES, mean)) for name, at in told.items()}
    return ShareReport(round(share, 4), best, len(rows), quality)


def _nearest_of_best(mean: Array, constant: float) -> float:
    """The best share; of equals the nearest to the constant."""
    best = SHARES[np.isclose(mean, mean.max(), atol=1e-9)]
    return float(best[np.argmin(np.abs(best - constant))])


def _qualities(
    ensemble: Ensemble,
    store: ChromaStore,
    words: Words,
    options: LexicalOptions,
    batch: Sequence[LabelledQuery],
) -> list[Array]:
    """`[S]` nDCG@10 at each share, of each query with a right answer among its candidates."""
    encoded = ensemble.encode_queries([q.text for q in batch])
    lexical = words.encode(options, [[q.text] for q in batch])
    planted = encode_planted(ensemble, batch, _BATCH)
    candidates = find_candidates(store, encoded.gaussian.mean, _CANDIDATES, None, lexical)
    found: list[Array] = []
    for row, (labelled, query, each) in enumerate(zip(batch, lexical, candidates, strict=True)):
        gaussian = encoded.gaussian[row : row + 1]
        tried = both_ways(labelled, gaussian, each, planted.get(row), 2 * _CANDIDATES)
        searched, answers = next(tried, (each, labelled.ids))
        right = np.array([r.id in answers for r in searched.records])
        if query is None or not right.any():
            continue
        coded = ensemble.codec.from_strings(searched.variances)
        dense = dense_moments(ensemble, gaussian, searched.means, coded)
        scores = _scores(ensemble, dense, query, query.moments(searched.records))
        found.append(np.array([_ndcg(right[np.argsort(-s, kind="stable")], len(answers)) for s in scores]))
    return found


def _scores(ensemble: Ensemble, dense: Moments, query: LexicalQuery, lexical: Moments) -> list[Array]:
    return [score_moments(ensemble, dense, replace(query, share=s), lexical)[0] for s in SHARES.tolist()]


def _ndcg(right: Array, answers: int) -> float:
    """nDCG@10 of a ranking whose right texts are all alike."""
    gains = 1 / np.log2(np.arange(2, _DEPTH + 2))
    return float(right[:_DEPTH] @ gains[: len(right[:_DEPTH])] / gains[: min(answers, _DEPTH)].sum())
