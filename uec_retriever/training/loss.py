"""`UtilityModulatedInfoNCELoss`: graded utilities in a contrastive loss, for sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as functional
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from uec_retriever.checks.numbers import ABOVE_0, FINITE, check_number, check_whole
from uec_retriever.errors import InvalidInputError
from uec_retriever.training.columns import EmbeddedBatch, embed_columns
from uec_retriever.training.objective import utility_modulated_info_nce

DEFAULT_TAU = 0.05
DEFAULT_TAU_U = 0.5
DEFAULT_MARGIN = 0.05
CITATION = """
@misc{sandhu2026aligning,
    title={Aligning Dense Retrievers with LLM Utility via Distillation},
    author={Rajinder Sandhu and Di Mu and Cheng Chang and Md Shahriar Tasjid and Himanshu Rai and Maksims Volkovs and Ga Wu},
    year={2026},
    eprint={2604.22722},
    archivePrefix={arXiv},
    primaryClass={cs.IR},
}
"""


class UtilityLoss(nn.Module):
    """What the losses have in common: temperatures, checks, and embeddings of a batch's columns.

    Args:
        model: the student.
        tau: student temperature, in (0, inf).
        tau_u: teacher temperature in nats, in (0, inf].
        mini_batch_size: texts whose activations are kept at a time; None keeps all.

    Raises:
        InvalidInputError: for a parameter out of its range.
    """

    def __init__(
        self, model: SentenceTransformer, tau: float, tau_u: float, mini_batch_size: int | None
    ) -> None:
        super().__init__()
        check_number("tau", tau, f"a positive temperature, e.g. {DEFAULT_TAU}", ABOVE_0, FINITE)
        check_number("tau_u", tau_u, f"a positive temperature in nats, e.g. {DEFAULT_TAU_U}", ABOVE_0)
        if mini_batch_size is not None:
            check_whole("mini_batch_size", mini_batch_size, 1)
        self.model = model
        self.tau = tau
        self.tau_u = tau_u
        self.mini_batch_size = mini_batch_size

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            sentence_features: of the question column, then of each candidate column.
            labels: utilities `[batch, n]`, float.

        Returns:
            Scalar.

        Raises:
            InvalidInputError: if labels and columns do not fit, or a utility is +inf.
        """
        columns = list(sentence_features)
        batch = embed_columns(self.model, columns, _present(columns, labels), self.mini_batch_size)
        return self.loss_of_embeddings(batch, labels)

    def loss_of_embeddings(self, batch: EmbeddedBatch, labels: Tensor) -> Tensor:
        """The same, of texts that are embedded already."""
        raise NotImplementedError

    def get_config_dict(self) -> dict[str, Any]:
        """Parameters, for the model card."""
        return {"tau": self.tau, "tau_u": self.tau_u, "mini_batch_size": self.mini_batch_size}


class UtilityModulatedInfoNCELoss(UtilityLoss):
    r"""Draws a question towards its passages in proportion to how much they help an LLM answer it.

    For a question q with candidates C(q) and their utilities U, the teacher is
    t_i = exp(U_i / tau_u) / sum_{j in C(q)} exp(U_j / tau_u), the student's score of passage j is
    s_j = cos(q, j) / tau, and the loss is

        L(q) = - sum_{i in C(q)} t_i log( exp(s_i) / Z_i ),
        Z_i = exp(s_i) + sum_{j in N_i} exp(s_j) + sum_{b in B(q)} exp(s_b),
        N_i = {j in C(q) : |U_i - U_j| > margin, text of j differs from that of i},
        B(q) = passages of the batch that are no candidates of q (nor of another row with the same question),

    averaged over the questions of a batch. Why so:

    - Each candidate is a positive with its utility share t_i as weight, and a negative of the others
      with theirs, so *all* utilities reach the gradient: without masks it is dL/ds_i = p_i - t_i, with p
      the student's softmax; the loss is the cross-entropy against t, and least where p = t. Between
      two candidates the pull is balanced where p_i / p_j = t_i / t_j.
    - Perplexity is noisy: which of two near-equal candidates came out ahead says nothing, so neither
      pushes the other away (N_i); both are still drawn in and still beat the rest.
    - In-batch passages have teacher weight 0 and stand in every Z_i. Without them the loss orders the
      labelled list and lets everything else drift: corpus-wide retrieval gets worse.
    - A passage that is some other question's candidate and also q's is no negative: its utility is known.

    Limits: t one-hot (utilities 0 and -inf) is InfoNCE, `MultipleNegativesRankingLoss` with `scale = 1 / tau`
    over the same candidates; equal utilities contrast each candidate with the in-batch passages only;
    tau_u -> infinity is distillation of a uniform teacher over C(q).

    Memory: with `mini_batch_size` the activations of that many texts exist at a time; the others are
    computed again in the backward pass, dropout and all, so gradients are equal (Gao et al. 2021,
    GradCache; here through activation checkpointing). The sizes of the batch and of the candidate
    lists then cost embeddings only. In-batch passages are those of one device.

    Inputs: columns (question, passage_1, ..., passage_n) and float labels `[batch, n]`, utilities in nats;
    NaN marks a place without a candidate, -inf one that must not be a positive. Source: UAE, arXiv 2604.22722;
    the masks N_i and B(q) are ours.

    Args:
        model: the student.
        tau: student temperature, in (0, inf); .05 is sentence-transformers' usual `scale` of 20.
        tau_u: teacher temperature in nats, in (0, inf].
        margin: in nats, >= 0; None lets near-equal candidates push each other apart.
        mini_batch_size: texts whose activations are kept at a time; None keeps all.

    Raises:
        InvalidInputError: for a parameter out of its range.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        tau: float = DEFAULT_TAU,
        tau_u: float = DEFAULT_TAU_U,
        margin: float | None = DEFAULT_MARGIN,
        mini_batch_size: int | None = None,
    ) -> None:
        super().__init__(model, tau, tau_u, mini_batch_size)
        if margin is not None:
            check_number("margin", margin, ">= 0 nats, or None", 0)
        self.margin = margin

    def loss_of_embeddings(self, batch: EmbeddedBatch, labels: Tensor) -> Tensor:
        """The same, of texts that are embedded already."""
        queries = functional.normalize(batch.queries.float(), dim=1)
        passages = functional.normalize(batch.passages.float(), dim=1)
        return utility_modulated_info_nce(
            queries @ passages.T,
            batch.slots,
            labels.float(),
            same_question=batch.same_question,
            tau=self.tau,
            tau_u=self.tau_u,
            margin=self.margin,
        )

    def get_config_dict(self) -> dict[str, Any]:
        """Parameters, for the model card."""
        return {**super().get_config_dict(), "margin": self.margin}

    @property
    def citation(self) -> str:
        """BibTeX of the paper, for the model card."""
        return CITATION


def _present(columns: list[dict[str, Any]], labels: Tensor | None) -> Tensor:
    """Where there are candidates, `[batch, n]` bool.

    Raises:
        InvalidInputError: if labels and columns do not fit, or a utility is +inf.
    """
    n = len(columns) - 1
    if n < 1 or labels is None or labels.ndim != 2 or labels.shape[1] != n:
        shape = "none" if labels is None else list(labels.shape)
        raise InvalidInputError(
            f"{n} candidate columns and labels of shape {shape}: give a question column, n candidate columns and "
            "a list of n utilities for each row"
        )
    if bool(torch.isposinf(labels).any()):
        raise InvalidInputError("a utility is +inf: utilities are finite, NaN for no candidate, or -inf")
    return ~torch.isnan(labels)
