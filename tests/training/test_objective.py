"""The objective against a naive loop, and in its limits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uec_retriever.training.objective import (
    allowed_in_batch,
    teacher_distribution,
    utility_modulated_info_nce,
)

NAN = float("nan")


def naive(similarities, slots, utilities, questions, tau, tau_u, margin):
    """Question by question, candidate by candidate, straight from the formula."""
    total, counted = 0.0, 0
    rows = range(len(slots))
    lists = [
        [(int(s), u) for s, u in zip(slots[r], utilities[r], strict=True) if s >= 0 and not torch.isnan(u)]
        for r in rows
    ]
    for r in rows:
        finite = [u for _, u in lists[r] if torch.isfinite(u)]
        if not finite:
            continue
        counted += 1
        denominator = sum(torch.exp(u / tau_u) for u in finite)
        related = {s for other in rows if questions[other] == questions[r] for s, _ in lists[other]}
        in_batch = {s for other in rows for s, _ in lists[other]} - related
        for i, (slot, utility) in enumerate(lists[r]):
            if not torch.isfinite(utility):
                continue
            share = torch.exp(utility / tau_u) / denominator
            z = torch.exp(similarities[r, slot] / tau)
            for j, (other_slot, other_utility) in enumerate(lists[r]):
                near = margin is not None and abs(float(utility) - float(other_utility)) <= margin
                if j != i and other_slot != slot and not near:
                    z = z + torch.exp(similarities[r, other_slot] / tau)
            for b in in_batch:
                z = z + torch.exp(similarities[r, b] / tau)
            total = total - share * torch.log(torch.exp(similarities[r, slot] / tau) / z)
    return total / max(counted, 1)


def random_case(seed, batch=5, n=4, passages=9):
    g = torch.Generator().manual_seed(seed)
    similarities = (torch.rand(batch, passages, generator=g, dtype=torch.float64) * 2 - 1).requires_grad_()
    slots = torch.stack([torch.randperm(passages, generator=g)[:n] for _ in range(batch)])
    slots[1, 1] = slots[1, 0]  # a text twice
    utilities = torch.randn(batch, n, generator=g, dtype=torch.float64)
    utilities[0, 2:] = NAN
    slots[0, 2:] = -1
    utilities[2, 1] = -math.inf
    utilities[3] = utilities[3, 0]
    utilities[4, 1] = utilities[4, 0] + 0.01
    questions = [0, 1, 2, 1, 4]
    same = torch.tensor([[a == b for b in questions] for a in questions])
    return similarities, slots, utilities, questions, same


@pytest.mark.parametrize("margin", [None, 0.0, 0.05, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_loss_and_gradient_against_the_loop(seed, margin):
    similarities, slots, utilities, questions, same = random_case(seed)
    options = {"tau": 0.3, "tau_u": 0.7, "margin": margin}
    ours = utility_modulated_info_nce(similarities, slots, utilities, same_question=same, **options)
    (gradient,) = torch.autograd.grad(ours, similarities)
    expected = naive(similarities, slots, utilities, questions, *options.values())
    (expected_gradient,) = torch.autograd.grad(expected, similarities)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def disjoint(batch=3, n=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    similarities = (torch.rand(batch, batch * n, generator=g, dtype=torch.float64) * 2 - 1).requires_grad_()
    slots = torch.arange(batch * n).view(batch, n)
    return similarities, slots, torch.eye(batch, dtype=torch.bool)


def test_without_masks_the_gradient_is_student_minus_teacher():
    similarities, slots, same = disjoint()
    utilities = torch.randn(3, 4, dtype=torch.float64)
    loss = utility_modulated_info_nce(
        similarities, slots, utilities, same_question=same, tau=0.2, tau_u=0.5, margin=None
    )
    (gradient,) = torch.autograd.grad(loss, similarities)
    student = torch.softmax(similarities / 0.2, 1)
    teacher = torch.zeros_like(student).scatter(1, slots, torch.softmax(utilities / 0.5, 1))
    torch.testing.assert_close(gradient, (student - teacher) / 0.2 / 3)


def test_every_utility_reaches_the_gradient():
    """Not only the best one: changing the second best changes the gradient of both."""
    similarities, slots, same = disjoint()
    gradients = []
    for second in (0.5, 0.9):
        utilities = torch.tensor([[2.0, second, 0.0, -1.0]] * 3, dtype=torch.float64)
        loss = utility_modulated_info_nce(
            similarities, slots, utilities, same_question=same, tau=0.2, tau_u=1.0, margin=0.05
        )
        gradients.append(torch.autograd.grad(loss, similarities)[0])
    changed = (gradients[0] - gradients[1]).abs()[0, :4]
    assert (changed > 1e-4).all()


def test_one_hot_utilities_are_cross_entropy():
    similarities, slots, same = disjoint()
    utilities = torch.full((3, 4), -math.inf, dtype=torch.float64)
    utilities[:, 0] = 0.0
    loss = utility_modulated_info_nce(
        similarities, slots, utilities, same_question=same, tau=0.05, tau_u=0.5, margin=0.05
    )
    expected = torch.nn.functional.cross_entropy(similarities / 0.05, slots[:, 0])
    torch.testing.assert_close(loss, expected)


def test_a_sharp_teacher_tends_to_one_hot():
    similarities, slots, same = disjoint()
    utilities = torch.tensor([[1.0, 0.2, 0.0, -0.5]] * 3, dtype=torch.float64)
    loss = utility_modulated_info_nce(
        similarities, slots, utilities, same_question=same, tau=0.05, tau_u=1e-3, margin=None
    )
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(similarities / 0.05, slots[:, 0]))


@pytest.mark.parametrize("tau_u", [1e12, math.inf])
def test_an_infinite_teacher_temperature_distils_a_uniform_teacher(tau_u):
    similarities, slots, same = disjoint()
    utilities = torch.randn(3, 4, dtype=torch.float64)
    loss = utility_modulated_info_nce(
        similarities, slots, utilities, same_question=same, tau=0.05, tau_u=tau_u, margin=None
    )
    expected = -torch.log_softmax(similarities / 0.05, 1).gather(1, slots).mean()
    torch.testing.assert_close(loss, expected)


def test_equal_utilities_contrast_with_the_batch_only():
    similarities, slots, same = disjoint()
    utilities = torch.full((3, 4), 0.7, dtype=torch.float64)
    loss = utility_modulated_info_nce(
        similarities, slots, utilities, same_question=same, tau=0.2, tau_u=0.5, margin=0.0
    )
    expected = 0.0
    for r in range(3):
        others = torch.cat([similarities[r, o * 4 : o * 4 + 4] for o in range(3) if o != r]) / 0.2
        for i in range(4):
            own = similarities[r, slots[r, i]] / 0.2
            expected -= (own - torch.logsumexp(torch.cat([own[None], others]), 0)) / 12
    torch.testing.assert_close(loss, expected)
    alone = utility_modulated_info_nce(
        similarities[:1], slots[:1], utilities[:1], same_question=same[:1, :1], tau=0.2, tau_u=0.5, margin=0.0
    )
    assert alone.item() == 0.0
    assert torch.isfinite(torch.autograd.grad(alone, similarities)[0]).all()


@given(seed=st.integers(0, 10_000), shift=st.floats(-5, 5), tau_u=st.floats(0.05, 5))
@settings(max_examples=30, deadline=None)
def test_shifting_a_question_s_utilities_changes_nothing(seed, shift, tau_u):
    similarities, slots, utilities, _, same = random_case(seed)
    kwargs = {"same_question": same, "tau": 0.1, "tau_u": tau_u, "margin": None}
    a = utility_modulated_info_nce(similarities, slots, utilities, **kwargs)
    b = utility_modulated_info_nce(similarities, slots, utilities + shift, **kwargs)
    torch.testing.assert_close(a, b)


def test_padding_changes_nothing():
    similarities, slots, same = disjoint()
    utilities = torch.randn(3, 4, dtype=torch.float64)
    kwargs = {"same_question": same, "tau": 0.1, "tau_u": 0.5, "margin": 0.05}
    plain = utility_modulated_info_nce(similarities, slots, utilities, **kwargs)
    padded = utility_modulated_info_nce(
        similarities,
        torch.cat([slots, torch.full((3, 2), -1)], 1),
        torch.cat([utilities, torch.full((3, 2), NAN, dtype=torch.float64)], 1),
        **kwargs,
    )
    torch.testing.assert_close(plain, padded)
    (gradient,) = torch.autograd.grad(padded, similarities)
    assert torch.isfinite(gradient).all()


def test_a_row_without_candidates_does_not_count():
    similarities, slots, same = disjoint()
    utilities = torch.randn(3, 4, dtype=torch.float64)
    utilities[2] = NAN
    slots = slots.masked_fill(torch.isnan(utilities), -1)
    kwargs = {"tau": 0.1, "tau_u": 0.5, "margin": 0.05}
    loss = utility_modulated_info_nce(similarities, slots, utilities, same_question=same, **kwargs)
    two = utility_modulated_info_nce(
        similarities[:2], slots[:2], utilities[:2], same_question=same[:2, :2], **kwargs
    )
    torch.testing.assert_close(loss, two)
    assert teacher_distribution(utilities, 0.5)[2].sum() == 0


def test_a_shared_passage_is_no_negative_of_either_question():
    slots = torch.tensor([[0, 1], [1, 2], [3, 4]])
    allowed = allowed_in_batch(slots, 5, torch.eye(3, dtype=torch.bool))
    assert allowed.tolist() == [
        [False, False, True, True, True],
        [True, False, False, True, True],
        [True, True, True, False, False],
    ]


def test_the_same_question_in_two_rows_keeps_both_rows_passages_out():
    same = torch.eye(3, dtype=torch.bool)
    same[0, 2] = same[2, 0] = True
    allowed = allowed_in_batch(torch.tensor([[0, 1], [2, 3], [4, -1]]), 5, same)
    assert allowed[0].tolist() == [False, False, True, True, False]
    assert allowed[2].tolist() == [False, False, True, True, False]
