"""Calibrate confidence on an index: search for what is known to be there, and for what is known not to be.

Each query is searched twice. Answerable: with its right answer among the candidates. Unanswerable:
with the answer, and what nearly repeats it, left out; queries off topic join them. A pseudo-query's
own record would be too easy to find, since it still holds the query word by word: its place is taken
by the rest of the text (the inverse cloze task of Lee et al., ACL 2019).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from uec_retriever.checks.numbers import check_whole
from uec_retriever.confidence.fit import ConfidenceReport, Kind, Outcomes, check_share, fit_confidence
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.off_topic import OFF_TOPIC
from uec_retriever.confidence.prior import WITH_WORDS
from uec_retriever.confidence.queries import (
    LabelledQuery,
    check_labelled,
    index_pairs,
    labelled_queries,
    pair_queries,
)
from uec_retriever.confidence.relevance import DEPTH, relevance_features
from uec_retriever.confidence.signals import abstention_signals
from uec_retriever.confidence.sketch import query_sketch
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.data.progress import Progress
from uec_retriever.data.records import Record
from uec_retriever.engine.answers import records_of, right_records
from uec_retriever.engine.candidates import find_candidates
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.scoring import comparable_scores, score_candidates
from uec_retriever.engine.search import default_candidates
from uec_retriever.engine.words import Words
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.entries import Candidates

_BATCH = 64
SPARE = 30
"""Candidates fetched beyond those of a search, to make up for those left out."""
_PLANTED = ""  # an id that no record can have


@dataclass(frozen=True)
class ConfidenceOptions:
    """What confidence is to be calibrated for.

    Attributes:
        k: hits among which a right answer is to be, >= 1.
        unanswerable: share of queries without an answer that is expected, in [0, 1).
        limit: at most this many queries made from the index.
        seed: of their sample and of the parts of the cross-validation.
        batch_size: texts in one forward pass.
    """

    k: int = 10
    unanswerable: float = 0.5
    limit: int = 400
    seed: int = 0
    batch_size: int = 32

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("limit", 1), ("seed", 0), ("batch_size", 1)):
            object.__setattr__(self, name, check_whole(name, getattr(self, name), least))
        check_share(self.unanswerable)

    @property
    def candidates(self) -> int:
        """How many are rescored: as many as a search for k rescores."""
        return default_candidates(self.k)


def calibrate_confidence(
    ensemble: Ensemble,
    store: ChromaStore,
    words: Words,
    options: ConfidenceOptions,
    pairs: CalibrationPairs | None = None,
    labelled: Mapping[str, Collection[str]] | None = None,
    progress: Progress | None = None,
) -> tuple[ConfidenceModel, ConfidenceReport]:
    """A confidence model for an index, and how good it is on queries that it was not fitted on.

    Args:
        ensemble: the experts.
        store: the index.
        words: of the index.
        options: what it is for.
        pairs: queries and texts that answer them; made from the index if there are neither these nor labels.
        labelled: query -> ids of its right texts or documents.
        progress: called with the number of queries done.

    Raises:
        InvalidInputError: for both pairs and labels, too few texts or queries, or if nearly all searches succeed
            or fail.
    """
    if pairs is not None and not isinstance(pairs, CalibrationPairs):
        raise InvalidInputError(
            f"pairs are CalibrationPairs, got {type(pairs).__name__}: queries with the ids of their right texts are labelled=..."
        )
    if pairs is not None and labelled is not None:
        raise InvalidInputError("give pairs or labelled queries, one of them")
    records = store.count()
    if records <= options.k:
        raise InvalidInputError(
            f"the index has {records} texts, all of which are among the first {options.k}: add more, or take a "
            "smaller k"
        )
    if labelled is not None:
        queries, source = known_queries(labelled, store), "labelled queries"
    else:
        pairs = pairs or index_pairs(store.pages(), limit=options.limit, seed=options.seed)
        queries, source = pair_queries(pairs), f"pairs: {pairs.source}"
    made = pairs is not None and pairs.source != "user"
    if options.unanswerable:
        queries += [LabelledQuery(text, (), off_topic=True) for text in OFF_TOPIC]
    outcomes = search_queries(ensemble, store, words, queries, options, progress)
    model, report = fit_confidence(
        without_suspects(outcomes),
        k=options.k,
        candidates=options.candidates,
        records=records,
        source=source,
        unanswerable=options.unanswerable,
        seed=options.seed,
        prior=WITH_WORDS if made and ensemble.manifest.lexical is not None else None,
    )
    return replace(model, asked=query_sketch(labelled or ())), report


def known_queries(labelled: Mapping[str, Collection[str]], store: ChromaStore) -> list[LabelledQuery]:
    """Queries with the texts of their right records, which the index holds.

    Args:
        labelled: query -> ids of its right texts or documents; a query whose answers are gone is one that is answerable, and
            not here.
        store: the index.

    Raises:
        InvalidInputError: for a bad query, or if none of the ids is in the index.
    """
    wanted = check_labelled(labelled)
    named = records_of(store, wanted)
    held = {record for records in named.values() for record in records}
    meant = right_records(labelled, {i: [i] for i in wanted} | named)
    return labelled_queries(meant, {r.id: r.text for r in store.get(sorted(held))})


def search_queries(
    ensemble: Ensemble,
    store: ChromaStore,
    words: Words,
    queries: Sequence[LabelledQuery],
    options: ConfidenceOptions,
    progress: Progress | None = None,
) -> Outcomes:
    """Search for each query with and without its answer; one without ids and planted text has none.

    Args:
        ensemble: the experts.
        store: the index.
        words: of the index.
        queries: n of them.
        options: k, candidates and batch size count here.
        progress: called with the number of queries done, those off topic not counted.
    """
    tried: list[_Search] = []
    for start in range(0, len(queries), _BATCH):
        batch = queries[start : start + _BATCH]
        encoded = ensemble.encode_queries([q.text for q in batch])
        lexical = words.encode(ensemble.manifest.lexical, [[q.text] for q in batch])
        planted = encode_planted(ensemble, batch, options.batch_size)
        candidates = find_candidates(store, encoded.gaussian.mean, options.candidates + SPARE, None, lexical)
        for row, (labelled, found) in enumerate(zip(batch, candidates, strict=True)):
            query = encoded.gaussian[row : row + 1]
            for searched, answers in both_ways(labelled, query, found, planted.get(row), options.candidates):
                raw, _ = score_candidates(ensemble, query, searched, lexical[row])
                raw = comparable_scores(ensemble, raw, lexical[row])
                rarities = None if (asked := lexical[row]) is None else asked.rarities
                signals = abstention_signals(labelled.text, [r.text for r in searched.records], raw, rarities)
                kind = Kind.ANSWERABLE if answers else Kind.OFF_TOPIC if labelled.off_topic else Kind.LEFT_OUT
                order = np.argsort(-raw, kind="stable")
                best = {searched.records[i].id for i in order[: options.k]}
                first = order[:DEPTH]
                right = np.array([searched.records[i].id in answers for i in first], dtype=bool)
                features = relevance_features(raw)[:, first].T
                tried.append(_Search(signals, bool(answers & best), kind, start + row, features, right))
        if progress:
            progress(sum(not q.off_topic for q in batch))
    return Outcomes(
        signals=[t.signals for t in tried],
        hits=np.array([t.hit for t in tried], dtype=bool),
        kinds=np.array([t.kind for t in tried], dtype=int),
        queries=np.array([t.query for t in tried], dtype=int),
        features=[t.features for t in tried],
        right=[t.right for t in tried],
    )


def without_suspects(outcomes: Outcomes) -> Outcomes:
    """Outcomes without what is off topic by assumption alone.

    Such a query whose best candidate scores as high as that of an ordinary answerable one may have an
    answer in this index.
    """
    top = np.array([signals["top"] for signals in outcomes.signals])
    answerable = outcomes.kinds == Kind.ANSWERABLE
    if not answerable.any():
        return outcomes
    return outcomes.among((outcomes.kinds != Kind.OFF_TOPIC) | (top < np.median(top[answerable])))


@dataclass(frozen=True, eq=False)
class Planted:
    """A text as the store would hold it: its record, its mean `[D]` and its coded variance."""

    record: Record
    mean: Array
    variance: str


@dataclass(frozen=True)
class _Search:
    signals: dict[str, float]
    hit: bool
    kind: Kind
    query: int
    features: Array
    right: NDArray[np.bool_]


def both_ways(
    labelled: LabelledQuery,
    query: GaussianEmbedding,
    found: Candidates,
    planted: Planted | None,
    candidates: int,
) -> Iterator[tuple[Candidates, frozenset[str]]]:
    """Candidates with the answer, if there is one, and without; each with the ids of right ones."""
    left_out = without_answers(labelled, found, candidates)
    if not len(left_out):
        return
    if planted is not None:
        similarity = planted.mean.astype(np.float64) @ query.mean[0].astype(np.float64)
        together = Candidates(
            [*left_out.records, planted.record],
            np.append(left_out.means, similarity),
            [*left_out.variances, planted.variance],
            np.append(left_out.ranks, 0),
        )
        yield together, frozenset({_PLANTED})
    elif labelled.ids:
        yield found[found.first(candidates)], labelled.ids
    yield left_out, frozenset()


def without_answers(labelled: LabelledQuery, found: Candidates, candidates: int) -> Candidates:
    """What a search would have found if the query's answers, and what nearly repeats them, were not in the index.

    Args:
        labelled: the query.
        found: by either leg, `SPARE` more than a search fetches.
        candidates: how many it does.
    """
    others = [row for row, r in enumerate(found.records) if not labelled.is_answered_by(r.id, r.text)]
    left_out, limit = found[others], candidates
    for rank in sorted(found.ranks[sorted({*range(len(found))} - {*others})].tolist()):
        limit += rank < limit  # the next one of that leg takes its place
    return left_out[left_out.first(limit)]


def encode_planted(
    ensemble: Ensemble, queries: Sequence[LabelledQuery], batch_size: int
) -> dict[int, Planted]:
    """The planted texts, by row."""
    rows = [row for row, q in enumerate(queries) if q.planted is not None]
    if not rows:
        return {}
    texts = [str(queries[row].planted) for row in rows]
    gaussian = ensemble.encode_documents(texts, batch_size=batch_size).gaussian
    strings = ensemble.codec.to_strings(ensemble.codec.code(gaussian))
    return {
        row: Planted(Record(_PLANTED, text), mean, string)
        for row, text, mean, string in zip(rows, texts, gaussian.mean, strings, strict=True)
    }
