"""Utility-Modulated InfoNCE as a pure function of similarities and utilities (UAE, arXiv 2604.22722)."""

from __future__ import annotations

import torch
from torch import Tensor

_NEVER = -1e30  # finite, unlike -inf: no NaN gradients where a row is masked as a whole


def teacher_distribution(utilities: Tensor, tau_u: float) -> Tensor:
    """T = softmax(U / tau_u) over each question's candidates.

    Args:
        utilities: U `[batch, n]` in nats; NaN where there is no candidate, -inf for one that must not be a positive.
        tau_u: teacher temperature in nats, > 0; infinite for a uniform teacher.

    Returns:
        `[batch, n]`, rows sum to 1; rows without a finite utility are 0.
    """
    finite = torch.isfinite(utilities)
    scaled = torch.where(finite, utilities, 0.0) / tau_u
    weights = torch.softmax(scaled.masked_fill(~finite, _NEVER), dim=1)
    return weights * finite


def allowed_in_batch(slots: Tensor, passages: int, same_question: Tensor) -> Tensor:
    """Which passages of the batch serve a question as negatives.

    Those are other questions' candidates that are not also candidates of this question, nor of
    another row with the same question: such a passage may be right, whatever row it stands in.

    Args:
        slots: `[batch, n]` int64, number of each candidate's passage; -1 where there is none.
        passages: how many different passages the batch holds.
        same_question: `[batch, batch]` bool, true on the diagonal.

    Returns:
        `[batch, passages]` bool.
    """
    owners = torch.zeros(len(slots), passages + 1, dtype=torch.bool, device=slots.device)
    owners.scatter_(1, slots.masked_fill(slots < 0, passages), True)
    owners = owners[:, :passages]
    related = (same_question.to(torch.float32) @ owners.to(torch.float32)) > 0
    return owners.any(0) & ~related


def utility_modulated_info_nce(
    similarities: Tensor,
    slots: Tensor,
    utilities: Tensor,
    *,
    same_question: Tensor,
    tau: float,
    tau_u: float,
    margin: float | None,
) -> Tensor:
    """Mean loss of the questions of a batch; see `UtilityModulatedInfoNCELoss` for the formula.

    Args:
        similarities: cosines `[batch, passages]` of each question with every different passage.
        slots: `[batch, n]` int64, number of each candidate's passage; -1 where there is none.
        utilities: `[batch, n]` in nats; NaN where there is no candidate, -inf for a plain negative.
        same_question: `[batch, batch]` bool, which rows hold the same question.
        tau: student temperature, > 0.
        tau_u: teacher temperature in nats, > 0, may be infinite.
        margin: in nats, >= 0; candidates this close in utility are no negatives of each other. None: all are.

    Returns:
        Scalar >= 0, the mean over questions with at least one finite utility; 0 without any.
    """
    teacher = teacher_distribution(utilities, tau_u)
    present = (slots >= 0) & ~torch.isnan(utilities)
    logits = similarities / tau
    own = logits.gather(1, slots.clamp_min(0))
    keep = present[:, None, :] & ~_not_apart(utilities, slots, margin)
    diagonal = torch.eye(slots.shape[1], dtype=torch.bool, device=slots.device)
    competing = own[:, None, :].expand(-1, slots.shape[1], -1).masked_fill(~(keep | diagonal), _NEVER)
    allowed = allowed_in_batch(slots.masked_fill(~present, -1), similarities.shape[1], same_question)
    in_batch = torch.logsumexp(logits.masked_fill(~allowed, _NEVER), dim=1)
    normaliser = torch.logsumexp(
        torch.cat([competing, in_batch[:, None, None].expand(-1, slots.shape[1], 1)], dim=2), dim=2
    )
    losses = (teacher * (normaliser - own)).sum(1)
    return losses.sum() / (teacher.sum(1) > 0).sum().clamp_min(1)


def _not_apart(utilities: Tensor, slots: Tensor, margin: float | None) -> Tensor:
    """`[batch, n, n]` pairs that must not be pushed apart: one passage twice, or near-equal utilities."""
    same = slots[:, :, None] == slots[:, None, :]
    if margin is None:
        return same
    difference = (utilities[:, :, None] - utilities[:, None, :]).abs()  # NaN compares false
    return same | (difference <= margin)
