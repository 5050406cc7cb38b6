"""The UAE paper's table on one collection: bi-encoders, re-rankers over the same candidates, answers, cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.answers import Answerer, answer_f1
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.metrics import (
    TOKEN_F1,
    Values,
    cell,
    rank_metrics,
)
from uec_retriever.evaluation.rankers import (
    BiEncoder,
    PairScorer,
    Ranking,
    embed_corpus,
    judge_candidates,
    reorder,
    search,
)

SCOPES = ("corpus", "group")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class StudyOptions:
    """What a study measures.

    Attributes:
        rerank_depth: candidates of the first system that re-rankers order anew, at least 2.
        answers: at most this many questions are answered for Token F1; 0 for none.
        compose: label of the system whose candidates are re-ranked too, and blended with the re-ranker;
            None for none.
        scopes: `corpus`, `group`, or both; None for what the collection offers.
        seed: of bootstrap and samples.
    """

    rerank_depth: int = 10
    answers: int = 0
    compose: str | None = None
    scopes: tuple[str, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rerank_depth < 2:
            raise InvalidInputError(
                f"rerank_depth is {self.rerank_depth}: re-ranking needs at least 2 candidates"
            )
        if self.scopes is not None and not set(self.scopes) <= set(SCOPES):
            raise InvalidInputError(f"scopes are {', '.join(SCOPES)}, not {', '.join(self.scopes)}")


def run_study(
    collection: Collection,
    systems: Mapping[str, BiEncoder],
    options: StudyOptions | None = None,
    *,
    rerankers: Mapping[str, PairScorer] | None = None,
    answerer: Answerer | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure systems side by side, on the same questions.

    Args:
        collection: one split; choose on `train`, report on `test`.
        systems: label -> bi-encoder; the first is the baseline of all differences.
        options: defaults if absent.
        rerankers: label -> scorer, over the first system's candidates.
        answerer: for Token F1.
        progress: called with what is being done, and queries done and in all.

    Returns:
        What JSON can hold: `scopes[scope][label]` has `Hit@1`, `Recall@1`, `MAP`, `nDCG@10` and perhaps `Token F1`, each
        with `mean`, `low`, `high`, `relative` (to the baseline's mean) and `difference` (paired, with its interval),
        and `milliseconds` of a query.

    Raises:
        InvalidInputError: for options that do not fit.
        CorpusError: for the scope `group` where a question has no group.
    """
    options = options or StudyOptions()
    if not systems:
        raise InvalidInputError("there is no system to evaluate: give at least one model")
    if options.compose is not None and options.compose not in systems:
        raise InvalidInputError(f"compose names {options.compose!r}, which is none of {', '.join(systems)}")
    scopes = options.scopes or (SCOPES if collection.is_grouped else ("corpus",))
    vectors = {}
    for label, model in systems.items():
        _tell(progress, f"{label}: passages", 0, 0)
        vectors[label] = embed_corpus(model, collection)
    found: dict[str, Any] = {}
    for scope in scopes:
        rankings = {
            label: search(model, collection, vectors[label], scope) for label, model in systems.items()
        }
        _rerank_all(rankings, collection, rerankers or {}, options, scope, progress)
        found[scope] = _measure(rankings, collection, options, answerer, scope, progress)
    return {
        "dataset": collection.name,
        "split": collection.split,
        "documents": len(collection.ids),
        "queries": len(collection.queries),
        "baseline": next(iter(systems)),
        "options": asdict(options),
        "scopes": found,
    }


def _rerank_all(
    rankings: dict[str, Ranking],
    collection: Collection,
    rerankers: Mapping[str, PairScorer],
    options: StudyOptions,
    scope: str,
    progress: Progress | None,
) -> None:
    """Add the rankings that re-rankers make of the first system's candidates, and of the composed one's."""
    first = next(iter(rankings))
    for name, scorer in rerankers.items():
        for start in dict.fromkeys((first, options.compose or first)):
            label = f"{start} + {name}"
            tell = _counter(progress, f"{label} ({scope})", len(collection.queries))
            judged = judge_candidates(scorer, collection, rankings[start], options.rerank_depth, tell)
            rankings[label] = reorder(rankings[start], judged)
            if start == options.compose:
                rankings[f"{label}, blended"] = reorder(rankings[start], judged, blend=True)


def _measure(
    rankings: Mapping[str, Ranking],
    collection: Collection,
    options: StudyOptions,
    answerer: Answerer | None,
    scope: str,
    progress: Progress | None,
) -> dict[str, Any]:
    values: dict[str, dict[str, Values]] = {}
    answered = collection.sample(options.answers, options.seed) if answerer and options.answers else None
    for label, ranking in rankings.items():
        values[label] = rank_metrics(collection.queries, ranking.ids(collection))
        if answerer and answered:
            tell = _counter(progress, f"answers with {label} ({scope})", len(answered.queries))
            values[label][TOKEN_F1] = answer_f1(answerer, answered, ranking.ranked, tell)
    baseline = values[next(iter(rankings))]
    return {
        label: {
            **{name: _cell(v, baseline[name], options.seed) for name, v in values[label].items()},
            "milliseconds": ranking.milliseconds,
        }
        for label, ranking in rankings.items()
    }


def _cell(values: Values, baseline: Values, seed: int) -> dict[str, Any]:
    reference = float(baseline.mean())
    relative = float(values.mean()) / reference - 1 if reference else None
    return {**cell(values, baseline, seed), "relative": relative}


def _counter(progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = 0
    tell = progress

    def count(number: int) -> None:
        nonlocal done
        done += number
        tell(what, done, total)

    return count


def _tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress is not None:
        progress(what, done, total)
