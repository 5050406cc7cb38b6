"""Merging of parameters: several fine-tuned models of one architecture become one, a peer of ensembles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from uec_retriever.errors import InvalidInputError

State = dict[str, Tensor]
Model = TypeVar("Model", bound=nn.Module)  # of sentence-transformers, or any other


def weighted_average(models: Sequence[Model], weights: Sequence[float] | None = None) -> Model:
    """A model whose parameters are the weighted mean of others' ("model soup", Wortsman et al. 2022, arXiv 2203.05482).

    Args:
        models: K >= 1 of equal architecture; the first one's tokenizer, pooling and prompts are kept.
        weights: K numbers >= 0, not all 0, normalised to sum 1; equal ones if absent.

    Returns:
        A new model on the first one's device; the given ones are not changed.

    Raises:
        InvalidInputError: if the architectures differ, naming the first difference, or for weights that do not fit.
    """
    if not models:
        raise InvalidInputError("there is no model to merge: give at least one")
    shares = [1.0] * len(models) if weights is None else [float(w) for w in weights]
    if len(shares) != len(models) or not all(0 <= w < math.inf for w in shares) or sum(shares) == 0:
        raise InvalidInputError(f"{len(models)} models need as many weights >= 0, not all 0; got {shares}")
    total = sum(shares)
    return _merge(models, models[0], [w / total for w in shares], keep=0.0)


def task_arithmetic(base: Model, models: Sequence[Model], scale: float) -> Model:
    """Base + scale * sum of the models' differences to it (Ilharco et al. 2023, arXiv 2212.04089).

    Args:
        base: what the models were fine-tuned from.
        models: K >= 1 of the base's architecture.
        scale: lambda; 1 / K is the uniform average, 0 the base.

    Returns:
        A new model on the base's device.

    Raises:
        InvalidInputError: if the architectures differ, naming the first difference, or for an infinite scale.
    """
    if not models:
        raise InvalidInputError("there is no model to merge: give at least one")
    if not math.isfinite(scale):
        raise InvalidInputError(f"the scale is {scale}: give a finite number, e.g. {1 / len(models):.2f}")
    return _merge(models, base, [scale] * len(models), keep=1 - scale * len(models))


def _merge(models: Sequence[Model], pattern: Model, weights: Sequence[float], keep: float) -> Model:
    """`keep * pattern + sum_k weights_k * models_k` in the pattern's clothes, added up in float64."""
    states = [model.state_dict() for model in models]
    own = pattern.state_dict()
    for position, state in enumerate(states):
        _check_same(own, state, position)
    merged: State = {}
    for name, value in own.items():
        if not value.is_floating_point():
            merged[name] = value
            continue
        total = keep * value.double().cpu()
        for weight, state in zip(weights, states, strict=True):
            total += weight * state[name].double().cpu()
        merged[name] = total.to(value.dtype)
    result = deepcopy(pattern)
    with torch.no_grad():
        result.load_state_dict(merged)
    return result


def _check_same(own: State, other: State, position: int) -> None:
    for name in sorted(own.keys() | other.keys()):
        shapes = [tuple(s[name].shape) if name in s else None for s in (own, other)]
        if shapes[0] != shapes[1]:
            raise InvalidInputError(
                f"model {position} has another architecture: {name} is {shapes[1] or 'missing'} there and "
                f"{shapes[0] or 'missing'} in the first; only models fine-tuned from one base can be merged"
            )
