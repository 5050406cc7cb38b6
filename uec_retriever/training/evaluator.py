"""Graded nDCG on a held-out part during training."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator
from sklearn.metrics import ndcg_score

from uec_retriever.errors import InvalidInputError
from uec_retriever.training.data import GradedQuestion

METRIC = "ndcg@10"
LIST, POOL = "list_ndcg@10", "pool_ndcg@10"
_K = 10


def gains(question: GradedQuestion) -> NDArray[np.float64]:
    """Gains of a question's candidates, `[n]` >= 0.

    Relevances where the qrels name a relevant candidate (others count 0), else utilities; a passage
    that harms gains as little as one that does nothing.
    """
    relevances = [max(c.relevance or 0, 0) for c in question.candidates]
    if any(relevances):
        return np.array(relevances, dtype=np.float64)
    return np.array([max(c.utility, 0.0) for c in question.candidates])


class GradedNDCGEvaluator(SentenceEvaluator):
    """nDCG@10 with graded gains, of two rankings of the same questions.

    `list_ndcg@10` ranks a question's labelled candidates; `pool_ndcg@10` ranks them among the candidates of all
    questions and further passages, where what is not labelled gains nothing. The primary metric
    `ndcg@10` is the mean of the two: a model may learn to order lists and forget how to retrieve.
    Questions without any gain say nothing and are left out, lists of equal gains out of the first.

    Args:
        questions: held-out ones.
        distractors: more passages for the pool, (id, text).
        pool_size: at most this many passages in the pool, unless the questions bring more.
        batch_size: texts in one forward pass.
        seed: of the choice of distractors.

    Raises:
        InvalidInputError: if no question has a gain.
    """

    def __init__(
        self,
        questions: Sequence[GradedQuestion],
        distractors: Iterable[tuple[str, str]] = (),
        *,
        pool_size: int = 1000,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.primary_metric = METRIC
        self.questions = [q for q in questions if gains(q).any()]
        if not self.questions:
            raise InvalidInputError(
                "no held-out question has a passage that helps: label more questions or candidates"
            )
        self._batch_size = batch_size
        own = {c.id: c.text for q in self.questions for c in q.candidates}
        others = sorted({i: t for i, t in distractors if i not in own}.items())
        random.Random(seed).shuffle(others)
        self._pool = {**own, **dict(others[: max(0, pool_size - len(own))])}

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Metrics of a model; noted for its card."""
        metrics = self.measure(model)
        self.store_metrics_in_model_card_data(model, metrics, int(epoch), steps)
        return metrics

    def measure(self, model: SentenceTransformer) -> dict[str, float]:
        """`ndcg@10`, `pool_ndcg@10` and, where lists tell anything, `list_ndcg@10`, all in [0, 1]."""
        row = {identifier: i for i, identifier in enumerate(self._pool)}
        texts, size = [q.text for q in self.questions], self._batch_size
        queries = _unit(model.encode_query(texts, batch_size=size, show_progress_bar=False))
        texts = list(self._pool.values())
        passages = _unit(model.encode_document(texts, batch_size=size, show_progress_bar=False))
        scores = np.asarray(queries @ passages.T)
        lists, pools = [], []
        for question, line in zip(self.questions, scores, strict=True):
            gain = gains(question)
            rows = [row[c.id] for c in question.candidates]
            if gain.min() < gain.max():
                lists.append(ndcg_score([gain], [line[rows]], k=_K))
            relevant = np.zeros(len(self._pool))
            relevant[rows] = gain
            if len(relevant) > 1:
                pools.append(ndcg_score([relevant], [line], k=_K))
        parts = {name: float(np.mean(v)) for name, v in ((POOL, pools), (LIST, lists)) if v}
        return {METRIC: float(np.mean(list(parts.values()))) if parts else 1.0, **parts}

    def get_config_dict(self) -> dict[str, Any]:
        """For the model card."""
        return {"questions": len(self.questions), "pool": len(self._pool)}


def _unit(embeddings: Any) -> NDArray[np.float64]:
    vectors = np.asarray(embeddings, dtype=np.float64)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
