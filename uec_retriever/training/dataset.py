"""What the sentence-transformers trainer reads: columns of texts and a list of utilities per row."""

from __future__ import annotations

import math
from collections.abc import Sequence

from datasets import Dataset, Features, Value
from datasets import Sequence as ListOf
from sentence_transformers import SentenceTransformer

from uec_retriever.training.data import GradedQuestion, select_candidates
from uec_retriever.training.options import TrainingOptions

QUERY, PASSAGE, LABEL = "query", "passage_{}", "label"
_PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}


def make_dataset(questions: Sequence[GradedQuestion], *, one_hot: bool = False) -> Dataset:
    """Rows (query, passage_1, ..., passage_n, label), padded to the longest list.

    Args:
        questions: at least one.
        one_hot: only the best candidate is a positive (utility 0), the others -inf: InfoNCE on the argmax.

    Returns:
        A dataset in memory; padding has a NaN utility, and the first candidate's text, which is never read.
    """
    width = max(len(q.candidates) for q in questions)
    columns: dict[str, list[object]] = {QUERY: [q.text for q in questions]}
    for i in range(width):
        columns[PASSAGE.format(i + 1)] = [
            q.candidates[i if i < len(q.candidates) else 0].text for q in questions
        ]
    columns[LABEL] = [_utilities(q, width, one_hot) for q in questions]
    texts = {name: Value("string") for name in columns if name != LABEL}
    return Dataset.from_dict(columns, features=Features({**texts, LABEL: ListOf(Value("float32"))}))


def _utilities(question: GradedQuestion, width: int, one_hot: bool) -> list[float]:
    values = [c.utility for c in question.candidates]
    if one_hot:
        values = [0.0, *[-math.inf] * (len(values) - 1)]
    return values + [math.nan] * (width - len(values))


def choose_candidates(
    model: SentenceTransformer, questions: Sequence[GradedQuestion], options: TrainingOptions
) -> list[GradedQuestion]:
    """Cut long candidate lists, keeping the best and those that the model itself finds hardest."""
    long = [q for q in questions if len(q.candidates) > options.candidates]
    if not long:
        return list(questions)
    texts = {c.id: c.text for q in long for c in q.candidates}
    row = {identifier: i for i, identifier in enumerate(texts)}
    size = options.mini_batch_size or 32
    queries = model.encode_query([q.text for q in long], batch_size=size, show_progress_bar=False)
    passages = model.encode_document(list(texts.values()), batch_size=size, show_progress_bar=False)
    chosen = {}
    for question, query in zip(long, queries, strict=True):
        ids = [c.id for c in question.candidates]
        scores = model.similarity(query, passages[[row[i] for i in ids]])[0].tolist()
        chosen[question.id] = select_candidates(
            question, options.candidates, dict(zip(ids, scores, strict=True))
        )
    return [chosen.get(q.id, q) for q in questions]


def column_prompts(model: SentenceTransformer, columns: Sequence[str]) -> dict[str, str]:
    """Column -> the prompt that `encode_query` or `encode_document` would put before its texts."""
    prompts = {}
    for column in columns:
        role = "query" if column == QUERY else "document"
        for name in (*_PROMPTS[role], model.default_prompt_name):
            if name is not None and name in model.prompts:
                if text := model.prompts[name]:
                    prompts[column] = text
                break
    return prompts


def column_tasks(columns: Sequence[str]) -> dict[str, str]:
    """Column -> the route of a Router module."""
    return {column: "query" if column == QUERY else "document" for column in columns}
