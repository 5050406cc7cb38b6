"""MTEB tasks over data of your own, without the hub: what `mteb.evaluate` takes beside its own tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from uec_retriever.data.qrels import whole_judgements
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.collection import Collection
from uec_retriever.evaluation.mteb_meta import require_mteb

if TYPE_CHECKING:
    from mteb.abstasks import AbsTaskClassification, AbsTaskRetrieval, AbsTaskSTS

Labelled = Sequence[tuple[str, int]]


def retrieval_task(
    name: str,
    corpus: Mapping[str, str],
    queries: Mapping[str, str],
    relevance: Mapping[str, Mapping[str, float]],
    *,
    split: str = "test",
    candidates: Mapping[str, Sequence[str]] | None = None,
) -> AbsTaskRetrieval:
    """A retrieval task; main score nDCG@10.

    Args:
        name: of the task; results are kept under it.
        corpus: id -> text.
        queries: id -> text.
        relevance: query id -> document id -> grade.
        split: what the split is called.
        candidates: query id -> ids of documents, to rank only those (reranking).

    Raises:
        MissingExtraError: without the extra `mteb`.
    """
    require_mteb()
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

    data = RetrievalSplitData(
        corpus=Dataset.from_list([{"id": i, "text": text} for i, text in corpus.items()]),
        queries=Dataset.from_list([{"id": i, "text": text} for i, text in queries.items()]),
        relevant_docs={query: whole_judgements(grades) for query, grades in relevance.items()},
        top_ranked=None if candidates is None else {query: list(ids) for query, ids in candidates.items()},
    )

    class LocalRetrieval(AbsTaskRetrieval):
        """Its data are there from the start."""

        metadata = _metadata(name, "Retrieval" if candidates is None else "Reranking", "ndcg_at_10", split)

    task = LocalRetrieval()
    task.dataset = {"default": {split: data}}
    task.data_loaded = True
    return task


def collection_task(collection: Collection) -> AbsTaskRetrieval:
    """The retrieval task of a BEIR folder that `load_collection` read: every question asked of the whole corpus."""
    return retrieval_task(
        collection.name,
        dict(zip(collection.ids, collection.texts, strict=True)),
        {q.id: q.text for q in collection.queries},
        {q.id: q.relevance for q in collection.queries},
        split=collection.split,
    )


def sts_task(name: str, pairs: Sequence[tuple[float, str, str]], *, split: str = "test") -> AbsTaskSTS:
    """A task of sentence similarity; main score the Spearman correlation of the cosines.

    Args:
        name: of the task.
        pairs: gold score, first and second sentence.
        split: what the split is called.
    """
    require_mteb()
    from datasets import Dataset, DatasetDict
    from mteb.abstasks import AbsTaskSTS

    scores, first, second = zip(*pairs, strict=True)
    columns = {"score": list(scores), "sentence1": list(first), "sentence2": list(second)}

    class LocalSTS(AbsTaskSTS):
        """Its data are there from the start."""

        metadata = _metadata(name, "STS", "cosine_spearman", split)
        min_score = min(scores)
        max_score = max(scores)

    task = LocalSTS()
    _give(task, DatasetDict({split: Dataset.from_dict(columns)}))
    return task


def classification_task(
    name: str, train: Labelled, test: Labelled, *, samples_per_label: int = 8, experiments: int = 10
) -> AbsTaskClassification:
    """A classification task: MTEB fits a logistic regression on a few examples of each class, several times.

    Args:
        name: of the task.
        train: texts and their classes.
        test: texts and their classes.
        samples_per_label: how many examples of each class a fit sees.
        experiments: how many fits there are; scores are their mean.

    Raises:
        InvalidInputError: if the training texts are all of one class.
    """
    require_mteb()
    from datasets import Dataset, DatasetDict
    from mteb.abstasks import AbsTaskClassification

    if len({label for _, label in train}) < 2:
        raise InvalidInputError("the training texts are all of one class: give examples of two at least")

    class LocalClassification(AbsTaskClassification):
        """Its data are there from the start."""

        metadata = _metadata(name, "Classification", "accuracy", "test")
        n_experiments = experiments

    task = LocalClassification()
    task.samples_per_label = samples_per_label
    parts = {"train": train, "test": test}
    _give(
        task,
        DatasetDict(
            {
                split: Dataset.from_dict({"text": [t for t, _ in part], "label": [c for _, c in part]})
                for split, part in parts.items()
            }
        ),
    )
    return task


def _give(task: Any, data: Any) -> None:
    task.dataset = data
    task.data_loaded = True


def _metadata(name: str, kind: Any, main_score: str, split: str) -> Any:
    from mteb.abstasks.task_metadata import TaskMetadata

    return TaskMetadata(
        name=name,
        description=f"{name}, local data",
        type=kind,
        category="t2t",
        main_score=main_score,
        dataset={"path": "local", "revision": "local"},
        eval_splits=[split],
        eval_langs=["eng-Latn"],
    )
