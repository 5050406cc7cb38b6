"""The baseline: KL distillation over each question's candidates, without in-batch passages."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from torch import Tensor

from uec_retriever.training.columns import EmbeddedBatch
from uec_retriever.training.loss import DEFAULT_TAU, DEFAULT_TAU_U, UtilityLoss


class PaddedDistillKLDivLoss(UtilityLoss):
    """`DistillKLDivLoss` of the library on lists of different lengths.

    Rows with equally many candidates go through the library's loss together; KL(t || p) in nats, with
    t = softmax(U / tau_u) and p = softmax(cos / tau) over a question's own candidates, is averaged over the
    rows with at least two. Not scaled by a temperature squared, so that learning rates compare with
    the other losses'.

    Args:
        model: the student.
        tau: student temperature, in (0, inf).
        tau_u: teacher temperature in nats, in (0, inf).
        mini_batch_size: texts whose activations are kept at a time; None keeps all.

    Raises:
        InvalidInputError: for a parameter out of its range.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        tau: float = DEFAULT_TAU,
        tau_u: float = DEFAULT_TAU_U,
        mini_batch_size: int | None = None,
    ) -> None:
        super().__init__(model, tau, tau_u, mini_batch_size)
        self._divergence = DistillKLDivLoss(model, similarity_fct=self._scaled_cosine, temperature=1.0)

    def _scaled_cosine(self, queries: Tensor, passages: Tensor) -> Tensor:
        return functional.cosine_similarity(queries.float(), passages.float()) / self.tau

    def loss_of_embeddings(self, batch: EmbeddedBatch, labels: Tensor) -> Tensor:
        """Loss of texts that are embedded already."""
        present = ~torch.isnan(labels)
        counts = present.sum(1)
        total = batch.queries.sum() * 0.0
        for count in sorted(set(counts.tolist())):
            if count < 2:
                continue
            rows = torch.nonzero(counts == count).view(-1)
            slots = batch.slots[rows][present[rows]].view(-1, count)
            utilities = labels[rows][present[rows]].view(-1, count) / self.tau_u
            embeddings = [batch.queries[rows], *(batch.passages[slots[:, i]] for i in range(count))]
            total = total + len(rows) * self._divergence.compute_loss_from_embeddings(embeddings, utilities)
        return total / (counts >= 2).sum().clamp_min(1)

    @property
    def citation(self) -> str:
        """BibTeX, for the model card."""
        return str(self._divergence.citation)
