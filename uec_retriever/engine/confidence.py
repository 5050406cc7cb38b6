"""Calibrate confidence on an index: search for what is known to be there, and for what is known not to be.

Each query is searched twice. Answerable: with its right answer among the candidates. Unanswerable:
with the answer, and what nearly repeats it, left out; queries off topic join them. A pseudo-query's
own record would be too easy to find, since it still holds the query word by word: its place is taken
by the rest of the text (the inverse cloze task of Lee et al., ACL 2019).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from uec_retriever.confidence.fit import ConfidenceReport, Kind, Outcomes, check_share, fit_confidence
from uec_retriever.confidence.model import ConfidenceModel, abstention_signals
from uec_retriever.confidence.off_topic import OFF_TOPIC
from uec_retriever.confidence.questions import Question, index_pairs, labelled_questions, pair_questions
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.engine.ensemble import Ensemble, Progress
from uec_retriever.engine.search import DEFAULT_CANDIDATES, score_candidates
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.store.chroma import Candidates, ChromaStore

_BATCH = 64
_SPARE = 30  # candidates fetched beyond those of a search, to make up for those left out
_PLANTED = ""  # an id that no record can have


def calibrate_confidence(
    ensemble: Ensemble,
    store: ChromaStore,
    pairs: CalibrationPairs | None,
    labelled: Mapping[str, Collection[str]] | None,
    *,
    k: int,
    unanswerable: float,
    limit: int,
    seed: int,
    batch_size: int,
    progress: Progress | None,
) -> tuple[ConfidenceModel, ConfidenceReport]:
    """A confidence model for an index, and how good it is (arguments as `Engine.calibrate_confidence`)."""
    if pairs is not None and labelled is not None:
        raise InvalidInputError("give pairs or labelled queries, one of them")
    if not isinstance(k, int) or k < 1:
        raise InvalidInputError(f"k must be a whole number of at least 1, got {k!r}")
    check_share(unanswerable)
    records = store.count()
    if records <= k:
        raise InvalidInputError(
            f"the index has {records} texts, all of which are among the first {k}: add more, or take a smaller k"
        )
    if labelled is not None:
        questions, source = labelled_questions(labelled, store), "labelled queries"
    else:
        pairs = pairs or index_pairs(store.pages(), limit=limit, seed=seed)
        questions, source = pair_questions(pairs), f"pairs: {pairs.source}"
    if unanswerable:
        questions += [Question(text, (), off_topic=True) for text in OFF_TOPIC]
    candidates = max(DEFAULT_CANDIDATES, 2 * k)
    outcomes = search_questions(
        ensemble, store, questions, k=k, candidates=candidates, batch_size=batch_size, progress=progress
    )
    return fit_confidence(
        without_suspects(outcomes),
        k=k,
        candidates=candidates,
        records=records,
        source=source,
        unanswerable=unanswerable,
        seed=seed,
    )


def search_questions(
    ensemble: Ensemble,
    store: ChromaStore,
    questions: Sequence[Question],
    *,
    k: int,
    candidates: int,
    batch_size: int,
    progress: Progress | None,
) -> Outcomes:
    """Search for each question with and without its answer; one without ids and planted text has none.

    Args:
        ensemble: the experts.
        store: the index.
        questions: n of them.
        k: hits among which the answer is looked for.
        candidates: how many to rescore.
        batch_size: texts in one forward pass.
        progress: called with the number of questions done, those off topic not counted.
    """
    tried: list[_Search] = []
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        encoded = ensemble.encode_queries([q.text for q in batch])
        planted = _encode_planted(ensemble, batch, batch_size)
        for row, question in enumerate(batch):
            query = encoded.gaussian[row : row + 1]
            found = store.query(query.mean, candidates + _SPARE)[0]
            for searched, answers in _both_ways(question, query, found, planted.get(row), candidates):
                raw, _ = score_candidates(ensemble, query, searched)
                signals = abstention_signals(question.text, searched.texts, raw)
                kind = Kind.ANSWERABLE if answers else Kind.OFF_TOPIC if question.off_topic else Kind.LEFT_OUT
                best = {searched.ids[i] for i in np.argsort(-raw, kind="stable")[:k]}
                tried.append(_Search(signals, bool(answers & best), kind, start + row))
        if progress:
            progress(sum(not q.off_topic for q in batch))
    return Outcomes(
        signals=[t.signals for t in tried],
        hits=np.array([t.hit for t in tried], dtype=bool),
        kinds=np.array([t.kind for t in tried], dtype=int),
        queries=np.array([t.query for t in tried], dtype=int),
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


@dataclass(frozen=True)
class _Search:
    signals: dict[str, float]
    hit: bool
    kind: Kind
    query: int


def _both_ways(
    question: Question,
    query: GaussianEmbedding,
    found: Candidates,
    planted: tuple[Array, str] | None,
    candidates: int,
) -> Iterator[tuple[Candidates, frozenset[str]]]:
    """Candidates with the answer, if there is one, and without; each with the ids of right ones."""
    others = [
        row
        for row, (identifier, text) in enumerate(zip(found.ids, found.texts, strict=True))
        if not question.is_answered_by(identifier, text)
    ][:candidates]
    if not others:
        return
    left_out = _subset(found, others)
    if question.planted is not None and planted is not None:
        yield _with(left_out, query, question.planted, *planted), frozenset({_PLANTED})
    elif question.ids:
        yield _subset(found, range(min(candidates, len(found.ids)))), question.ids
    yield left_out, frozenset()


def _encode_planted(
    ensemble: Ensemble, questions: Sequence[Question], batch_size: int
) -> dict[int, tuple[Array, str]]:
    """Mean `[D]` and coded variance of planted texts, as the store would hold them, by row."""
    rows = [row for row, q in enumerate(questions) if q.planted is not None]
    if not rows:
        return {}
    texts = [str(questions[row].planted) for row in rows]
    gaussian = ensemble.encode_documents(texts, batch_size=batch_size).gaussian
    strings = ensemble.codec.to_strings(ensemble.codec.code(gaussian))
    return dict(zip(rows, zip(gaussian.mean, strings, strict=True), strict=True))


def _subset(found: Candidates, rows: Sequence[int]) -> Candidates:
    return Candidates(
        [found.ids[i] for i in rows],
        [found.texts[i] for i in rows],
        [found.metadatas[i] for i in rows],
        found.means[list(rows)],
        [found.variances[i] for i in rows],
    )


def _with(found: Candidates, query: GaussianEmbedding, text: str, mean: Array, variance: str) -> Candidates:
    similarity = float(query.mean[0].astype(np.float64) @ mean.astype(np.float64))
    return Candidates(
        [*found.ids, _PLANTED],
        [*found.texts, text],
        [*found.metadatas, {}],
        np.append(found.means, similarity),
        [*found.variances, variance],
    )
