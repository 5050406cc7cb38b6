"""Calibrate confidence on an index: search for what is known to be there, and for what is known not to be.

Each query is searched twice. Answerable: with its right answer among the candidates. Unanswerable:
with the answer, and what nearly repeats it, left out. A pseudo-query's own record would be too easy
to find, since it still holds the query word by word; its place is taken by the rest of the text
(the inverse cloze task of Lee et al., ACL 2019).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uec_retriever.confidence import ConfidenceModel, abstention_signals
from uec_retriever.confidence_fitting import ConfidenceReport, Outcomes, fit_confidence
from uec_retriever.ensemble import Ensemble, Progress
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.pairs import CalibrationPairs, PairSampler
from uec_retriever.searching import DEFAULT_CANDIDATES, score_candidates
from uec_retriever.store.chroma import Candidates, ChromaStore
from uec_retriever.store.records import Record
from uec_retriever.texts import check_texts

_BATCH = 64
_SPARE = 30  # candidates fetched beyond those of a search, to make up for those left out
_PLANTED = ""  # an id that no record can have
_SAME = 0.8  # Jaccard index of the words of two texts from which they say the same


@dataclass(frozen=True)
class Question:
    """A query whose right answers are known.

    Attributes:
        text: the query.
        answers: texts of the right answers.
        ids: of the right records, where they are known.
        planted: a text that takes the place of the records that hold the answer; None if the
            records themselves are to be found.
    """

    text: str
    answers: tuple[str, ...]
    ids: frozenset[str] = frozenset()
    planted: str | None = None

    def is_answered_by(self, identifier: str, text: str) -> bool:
        """Whether a record is a right answer, or nearly repeats one, or repeats the query word by word."""
        if identifier in self.ids:
            return True
        plain = _plain(text)
        if self._query in plain:
            return True
        words = set(plain.split())
        return any(
            known in plain or len(words & own) >= _SAME * len(words | own) for known, own in self._answers
        )

    @cached_property
    def _query(self) -> str:
        return _plain(self.text)

    @cached_property
    def _answers(self) -> list[tuple[str, set[str]]]:
        return [(plain, set(plain.split())) for plain in map(_plain, self.answers)]


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
    candidates = max(DEFAULT_CANDIDATES, 2 * k)
    outcomes = search_questions(
        ensemble, store, questions, k=k, candidates=candidates, batch_size=batch_size, progress=progress
    )
    return fit_confidence(
        outcomes,
        k=k,
        candidates=candidates,
        records=records,
        source=source,
        unanswerable=unanswerable,
        seed=seed,
    )


def index_pairs(pages: Iterable[Sequence[Record]], *, limit: int, seed: int = 0) -> CalibrationPairs:
    """Pseudo-queries and the rest of their texts, from a sample of an index (see `pseudo_pairs`).

    Args:
        pages: records; a `title` in their metadata serves as a query.
        limit: at most this many pairs.
        seed: of the sample.

    Raises:
        InvalidInputError: if the texts yield too few.
    """
    sampler = PairSampler(limit, seed)
    for page in pages:
        for record in page:
            title = record.metadata.get("title")
            sampler.offer(record.text, title if isinstance(title, str) else "")
    return sampler.pairs()


def pair_questions(pairs: CalibrationPairs) -> list[Question]:
    """Questions whose answers are planted among the candidates."""
    return [
        Question(query, (positive, f"{query} {positive}"), planted=positive)
        for query, positive in zip(pairs.queries, pairs.positives, strict=True)
    ]


def labelled_questions(labelled: Mapping[str, Collection[str]], store: ChromaStore) -> list[Question]:
    """Questions whose answers are records of the index.

    Raises:
        InvalidInputError: for a bad query, or if none of the ids is in the index.
    """
    if not isinstance(labelled, Mapping) or any(isinstance(ids, str) for ids in labelled.values()):
        raise InvalidInputError("labelled queries are a dictionary of query -> list of ids")
    check_texts(labelled, "labelled query")
    wanted = {str(i) for ids in labelled.values() for i in ids}
    texts = {r.id: r.text for r in store.get(sorted(wanted))}
    if wanted and not texts:
        raise InvalidInputError(
            f"none of the {len(wanted)} ids that labelled queries name, e.g. {min(wanted)!r}, is in the index"
        )
    return [
        Question(query, tuple(texts[i] for i in ids if i in texts), frozenset(ids))
        for query, ids in labelled.items()
    ]


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
        progress: called with the number of questions done.
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
                raw, deviations = score_candidates(ensemble, query, searched)
                assert encoded.coefficients is not None
                signals = abstention_signals(
                    question.text, searched.texts, raw, deviations, encoded.coefficients[row]
                )
                best = {searched.ids[i] for i in np.argsort(-raw, kind="stable")[:k]}
                tried.append(_Search(signals, bool(answers & best), bool(answers), start + row))
        if progress:
            progress(len(batch))
    return Outcomes(
        signals=[t.signals for t in tried],
        hits=np.array([t.hit for t in tried], dtype=bool),
        answerable=np.array([t.answerable for t in tried], dtype=bool),
        queries=np.array([t.query for t in tried], dtype=int),
    )


@dataclass(frozen=True)
class _Search:
    signals: dict[str, float]
    hit: bool
    answerable: bool
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


def _plain(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.lower().split())
