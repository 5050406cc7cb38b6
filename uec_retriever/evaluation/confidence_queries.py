"""Ask an index its judged queries as a search would, and know of each whether its right answer came."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from uec_retriever.confidence.conformal import CoverageModel
from uec_retriever.confidence.fit import check_share
from uec_retriever.confidence.model import ConfidenceModel
from uec_retriever.confidence.queries import LabelledQuery
from uec_retriever.engine.abstention import hit_relevances, search_confidence
from uec_retriever.engine.candidates import find_candidates
from uec_retriever.engine.confidence import SPARE, known_queries, without_answers
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.ensemble import EncodedTexts, Ensemble
from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.engine.results import SearchResult
from uec_retriever.engine.scoring import comparable_scores, score_candidates
from uec_retriever.engine.search import best_hits, matched_words
from uec_retriever.errors import InvalidInputError
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.entries import Candidates

TARGETS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_BATCH = 64
_NONE = "the index has no confidence to compare with the truth: run 'uec calibrate-confidence' first, with other queries"


@dataclass(frozen=True, eq=False)
class Asked:
    """A query that was asked, and what came of it.

    Attributes:
        query: its text.
        right: ids of its right texts that the index holds; none where it holds none of them.
        taken_away: whether these, and what nearly repeats them, were left out of the search.
        result: as a search for the k hits of the confidence gives it.
        place: of the first right text among all candidates, from 1; None if there is none.
        nearest: its id.
        candidates: how many there were.
        needed: coverage -> hits that it takes for this query, of those `TARGETS` that can be promised; empty without
            calibrated coverage or an answer.
        reached: hits until the first right text among the candidates of coverage; None if there is none.
    """

    query: str
    right: frozenset[str]
    taken_away: bool
    result: SearchResult
    place: int | None
    nearest: str | None
    candidates: int
    needed: Mapping[float, int] = field(default_factory=dict)
    reached: int | None = None

    @property
    def has_answer(self) -> bool:
        """Whether the search could have found a right text."""
        return bool(self.right) and not self.taken_away

    @property
    def is_right(self) -> bool:
        """Whether a right text is among the hits."""
        return self.has_answer and any(hit.id in self.right for hit in self.result)

    @property
    def confidence(self) -> float:
        """Of the search."""
        return self.result.confidence or 0.0

    @property
    def top(self) -> float:
        """Raw score of the first hit, the lowest possible one where nothing was found."""
        return self.result.hits[0].raw_score if self.result.hits else -1.0


def needed_confidence(engine: Engine) -> ConfidenceModel:
    """The confidence of an index.

    Raises:
        InvalidInputError: if it has none, with the command that calibrates it.
    """
    if (model := engine.ensemble.confidence) is None:
        raise InvalidInputError(_NONE)
    return model


def can_promise(model: CoverageModel, coverage: float) -> bool:
    """Whether a coverage can be promised at all, with so many labelled queries and their right texts among the candidates."""
    try:
        return math.isfinite(model.threshold(coverage))
    except InvalidInputError:
        return False


def ask_queries(
    engine: Engine,
    labelled: Mapping[str, Collection[str]],
    unanswerable: float,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> list[Asked]:
    """Ask every query once, as a search without options would; of some, the answers are taken away before.

    Args:
        engine: the index, with calibrated confidence.
        labelled: query -> ids of its right records, as many as there are.
        unanswerable: share of the queries to be without an answer, in [0, 1); those whose answers the index does not hold
            count, and can be more.
        seed: of the choice of those that lose theirs.
        progress: called with the number of queries done.

    Raises:
        InvalidInputError: for an index without confidence, bad queries, a share out of range, or if no right record is in the
            index.
        StorageError: if the lexical index cannot be read.
    """
    needed_confidence(engine)
    check_share(unanswerable)
    queries, ensemble = known_queries(labelled, engine.store), engine.ensemble
    held = frozenset(engine.store.present(sorted({i for query in queries for i in query.ids})))
    answered = [row for row, query in enumerate(queries) if query.ids & held]
    wanted = round(unanswerable * len(queries)) - (len(queries) - len(answered))
    lost = set(random.Random(seed).sample(answered, min(max(0, wanted), len(answered))))
    questions = [_Question(query, query.ids & held, row in lost) for row, query in enumerate(queries)]
    asked: list[Asked] = []
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        texts = [question.labelled.text for question in batch]
        words = engine.words.encode(ensemble.manifest.lexical, [[text] for text in texts])
        asked += _ask_batch(ensemble, engine.store, batch, ensemble.encode_queries(texts), words)
        if progress:
            progress(len(batch))
    return asked


@dataclass(frozen=True)
class _Question:
    labelled: LabelledQuery
    right: frozenset[str]
    taken_away: bool


def _ask_batch(
    ensemble: Ensemble,
    store: ChromaStore,
    questions: Sequence[_Question],
    encoded: EncodedTexts,
    lexical: Sequence[LexicalQuery | None],
) -> list[Asked]:
    model, covering = ensemble.confidence, ensemble.coverage
    assert model is not None
    limit = max(model.candidates, covering.candidates if covering else 0)
    found: dict[int, Candidates] = {}
    for taken in (False, True):
        rows = [row for row, question in enumerate(questions) if question.taken_away == taken]
        if rows:
            vectors, words = encoded.gaussian.mean[rows], [lexical[row] for row in rows]
            every = find_candidates(store, vectors, limit + SPARE * taken, None, words)
            found |= dict(zip(rows, every, strict=True))
    asked = []
    for row, question in enumerate(questions):
        own, query = found[row], question.labelled
        if question.taken_away:
            own = without_answers(query, own, limit)
        raw, deviations = score_candidates(ensemble, encoded.gaussian[row : row + 1], own, lexical[row])
        rows = own.first(model.candidates)
        searched = own[rows]
        scores = comparable_scores(ensemble, raw[rows], lexical[row])
        relevances = hit_relevances(model, searched, scores)
        result = SearchResult(
            query.text,
            {},
            best_hits(searched, raw[rows], deviations[rows], relevances, range(len(searched)), model.k),
            confidence=search_confidence(model, query.text, searched, scores, lexical[row]),
            words=matched_words(lexical[row]),
        )
        place, nearest = _first_right(searched, raw[rows], question.right)
        needed: dict[float, int] = {}
        reached = None
        if covering is not None and question.right and not question.taken_away:
            among = own.first(covering.candidates)
            targets = [target for target in TARGETS if can_promise(covering, target)]
            needed = {target: covering.size(raw[among], target) if among else 0 for target in targets}
            reached, _ = _first_right(own[among], raw[among], question.right)
        asked.append(
            Asked(
                query=query.text,
                right=question.right,
                taken_away=question.taken_away,
                result=result,
                place=place,
                nearest=nearest,
                candidates=len(rows),
                needed=needed,
                reached=reached,
            )
        )
    return asked


def _first_right(found: Candidates, raw: Array, right: Collection[str]) -> tuple[int | None, str | None]:
    """Place in the ranking, from 1, and id of the first right text; None twice if there is none."""
    ranked = [found.records[i].id for i in np.argsort(-raw, kind="stable").tolist()]
    return next(((place, each) for place, each in enumerate(ranked, 1) if each in right), (None, None))
