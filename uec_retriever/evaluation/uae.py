"""The UAE paper's table on one collection: bi-encoders, re-rankers over the same candidates, answers, cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import Values, mean_cell
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.exact import Ranking, mask_passages, rank
from uec_retriever.evaluation.metrics import TOKEN_F1, rank_metrics, token_f1
from uec_retriever.evaluation.rerankers import Answerer, Reranker
from uec_retriever.gaussian import Array

SCOPES = ("corpus", "group")
Progress = Callable[[str, int, int], None]


class BiEncoder(Protocol):
    """A sentence-transformers model, as far as it is used here."""

    def encode_query(self, inputs: Any, **options: Any) -> Any:
        """Embeddings of questions."""

    def encode_document(self, inputs: Any, **options: Any) -> Any:
        """Embeddings of passages."""


@dataclass(frozen=True)
class UaeOptions:
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


@dataclass(frozen=True, eq=False)
class System:
    """A ranking, and what it costs: milliseconds of a query from its text to its ranking, one at a time, on average."""

    ranking: Ranking
    milliseconds: float


def run_uae(
    collection: Collection,
    models: Mapping[str, BiEncoder],
    options: UaeOptions | None = None,
    *,
    rerankers: Mapping[str, Reranker] | None = None,
    answerer: Answerer | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure systems side by side, on the same questions.

    Args:
        collection: one split; choose on `train`, report on `test`.
        models: label -> bi-encoder; the first is the baseline of all differences.
        options: defaults if absent.
        rerankers: label -> re-ranker, over the first system's candidates.
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
    options = options or UaeOptions()
    if not models:
        raise InvalidInputError("there is no system to evaluate: give at least one model")
    if options.compose is not None and options.compose not in models:
        raise InvalidInputError(f"compose names {options.compose!r}, which is none of {', '.join(models)}")
    tell = progress or (lambda what, done, total: None)
    vectors = {}
    for label, model in models.items():
        tell(f"{label}: passages", 0, 0)
        vectors[label] = embed_corpus(model, collection)
    found: dict[str, Any] = {}
    for scope in options.scopes or (SCOPES if collection.is_grouped else ("corpus",)):
        systems = {m: search(model, collection, vectors[m], scope) for m, model in models.items()}
        first = next(iter(systems))
        for name, reranker in (rerankers or {}).items():
            for start in dict.fromkeys((first, options.compose or first)):
                label = f"{start} + {name}"
                counted = _counter(tell, f"{label} ({scope})", len(collection.queries))
                again, blend = rerank(reranker, collection, systems[start], options.rerank_depth, counted)
                systems[label] = again
                if start == options.compose:
                    systems[f"{label}, blended"] = blend
        found[scope] = _measure(systems, collection, options, answerer, scope, tell)
    return {
        "kind": "uae",
        "dataset": collection.name,
        "split": collection.split,
        "documents": len(collection.ids),
        "queries": len(collection.queries),
        "baseline": next(iter(models)),
        "options": asdict(options),
        "scopes": found,
    }


def embed_corpus(model: BiEncoder, collection: Collection, batch_size: int = 32) -> Array:
    """Unit vectors of all passages, `[passages, D]`."""
    texts = list(collection.texts)
    return _unit(model.encode_document(texts, batch_size=batch_size, show_progress_bar=False))


def search(model: BiEncoder, collection: Collection, documents: Array, scope: str) -> System:
    """Rank by cosine, exactly, one query after the other.

    Args:
        model: encodes the questions.
        collection: where to search.
        documents: of `embed_corpus`.
        scope: `corpus`, or `group` for the passages of the question's own group.
    """
    queries = [q.text for q in collection.queries]
    model.encode_query(queries[:1], show_progress_bar=False)  # warm up

    def score(rows: slice) -> Array:
        return _unit(model.encode_query(queries[rows], show_progress_bar=False)) @ documents.T

    start = time.perf_counter()
    found = rank({"": score}, len(queries), len(documents), barred=mask_passages(collection, scope), block=1)
    return System(found[""], _per_query(start, collection))


def rerank(
    reranker: Reranker, collection: Collection, first: System, depth: int, progress: Callable[[int], None]
) -> tuple[System, System]:
    """Order the first passages of each query anew; what follows them keeps its place.

    Args:
        reranker: of question and passage.
        collection: what was ranked.
        first: the system to improve; its time is part of the results'.
        depth: how many passages are scored for each query.
        progress: called with the number of queries done since.

    Returns:
        By the re-ranker alone, and by the sum of both stages' scores, each standardised over the candidates.
    """
    begun = time.perf_counter()
    both = [(first.ranking.documents.copy(), first.ranking.scores.copy()) for _ in range(2)]
    for row, (query, positions) in enumerate(zip(collection.queries, first.ranking.positions(), strict=True)):
        candidates = np.array(positions[:depth])
        values = np.array(reranker.score(query.text, [collection.texts[i] for i in candidates]))
        before = first.ranking.scores[row, : len(candidates)]
        for (documents, scores), by in zip(
            both, (values, _standardise(values) + _standardise(before)), strict=True
        ):
            order = np.argsort(-by, kind="stable")
            documents[row, : len(candidates)] = candidates[order]
            rest = np.arange(scores.shape[1] - len(candidates))
            scores[row] = np.concatenate([by[order], by.min() - 1 - rest])
        progress(1)
    milliseconds = first.milliseconds + _per_query(begun, collection)
    alone, blend = (System(Ranking(*sides), milliseconds) for sides in both)
    return alone, blend


def answer_f1(
    answerer: Answerer, collection: Collection, ranking: Ranking, progress: Callable[[int], None]
) -> Values:
    """Token F1 of each question that has answers, in their order, in [0, 1].

    Args:
        answerer: reads the first passages.
        collection: questions and passages.
        ranking: of these questions.
        progress: called with the number of questions done since.

    Raises:
        InvalidInputError: if no question has an answer.
    """
    values = []
    for query, positions in zip(collection.queries, ranking.positions(), strict=True):
        if query.answers:
            said = answerer.answer(query.text, [collection.texts[i] for i in positions])
            values.append(token_f1(said, query.answers))
            progress(1)
    if not values:
        raise InvalidInputError(
            f"no question of {collection.name} has an answer: leave Token F1 out (--answers 0)"
        )
    return np.array(values)


def _measure(
    systems: Mapping[str, System],
    collection: Collection,
    options: UaeOptions,
    answerer: Answerer | None,
    scope: str,
    tell: Progress,
) -> dict[str, Any]:
    values: dict[str, dict[str, Values]] = {}
    part = collection.sample(options.answers if answerer else 0, options.seed)
    asked = [i for i, query in enumerate(collection.queries) if query in part.queries]
    for label, system in systems.items():
        ranking = system.ranking
        values[label] = rank_metrics(collection.queries, ranking.ids(collection))
        if answerer and asked:
            counted = _counter(tell, f"answers with {label} ({scope})", len(asked))
            few = Ranking(ranking.documents[asked], ranking.scores[asked])
            values[label][TOKEN_F1] = answer_f1(answerer, part, few, counted)
    baseline = values[next(iter(systems))]
    rows: dict[str, Any] = {}
    for label, system in systems.items():
        rows[label] = {name: mean_cell(v, baseline[name], options.seed) for name, v in values[label].items()}
        for name, cell in rows[label].items():
            reference = float(baseline[name].mean())
            cell["relative"] = cell["mean"] / reference - 1 if reference else None
        rows[label]["milliseconds"] = system.milliseconds
    return rows


def _counter(tell: Progress, what: str, total: int) -> Callable[[int], None]:
    done = 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        tell(what, done, total)

    return count


def _unit(embeddings: Any) -> Array:
    vectors = np.asarray(embeddings, dtype=np.float32)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _standardise(values: Array) -> Array:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-12))


def _per_query(start: float, collection: Collection) -> float:
    return 1000 * (time.perf_counter() - start) / max(len(collection.queries), 1)
