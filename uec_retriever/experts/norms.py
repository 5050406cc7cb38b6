"""Normalisation layers, recognised by what they compute and not by what they are called."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uec_retriever.errors import UnsupportedModelError


@dataclass(frozen=True, eq=False)
class Norm:
    """A LayerNorm (centred) or RMSNorm: `y = gain * (x - mean) / scale(x) + bias`.

    Attributes:
        name: name of the module within the model.
        module: the layer.
        gain: `[D]` float32, on the CPU.
        centred: whether it subtracts the mean.
        epsilon: what it adds to the variance.
    """

    name: str
    module: nn.Module
    gain: Tensor
    centred: bool
    epsilon: float

    def scale(self, inputs: Tensor) -> Tensor:
        """`[..., 1]` the layer's own scale sigma for every token, float32; inputs `[..., D]`."""
        return _scale(inputs, self.centred, self.epsilon)


def is_norm(module: nn.Module) -> bool:
    """Whether a leaf module calls itself a normalisation layer (its mathematics is checked later)."""
    return "norm" in type(module).__name__.lower() and not list(module.children())


@torch.no_grad()
def describe_norm(name: str, module: nn.Module, dimension: int) -> Norm:
    """Find out by experiment what a normalisation layer computes.

    Raises:
        UnsupportedModelError: if it is neither a LayerNorm nor an RMSNorm.
    """
    reference = next(iter(module.parameters()), torch.empty(0))
    epsilon = float(getattr(module, "eps", None) or getattr(module, "variance_epsilon", None) or 0.0)
    signs = torch.ones(dimension)
    signs[::2] = -1.0
    generator = torch.Generator().manual_seed(0)
    check = torch.randn(dimension, generator=generator) + 0.5

    def run(x: Tensor) -> Tensor:
        result: Tensor = module(x.to(reference)[None, None])
        return result[0, 0].float().cpu()

    bias = run(torch.zeros(dimension))
    for centred in (True, False):
        gain = (run(signs) - bias) / _standardise(signs, centred, epsilon)
        expected = gain * _standardise(check, centred, epsilon) + bias
        tolerance = 1e-3 if reference.dtype == torch.float32 else 3e-2
        if torch.allclose(run(check), expected, rtol=tolerance, atol=tolerance):
            return Norm(name, module, gain, centred, epsilon)
    raise UnsupportedModelError(
        f"the normalisation layer '{name}' ({type(module).__name__}) is neither a LayerNorm nor an RMSNorm"
    )


def _scale(x: Tensor, centred: bool, epsilon: float) -> Tensor:
    x = x.float()
    square = x.var(-1, unbiased=False, keepdim=True) if centred else x.pow(2).mean(-1, keepdim=True)
    return (square + epsilon).sqrt()


def _standardise(x: Tensor, centred: bool, epsilon: float) -> Tensor:
    shifted = x - x.mean() if centred else x
    return shifted / _scale(x, centred, epsilon)
