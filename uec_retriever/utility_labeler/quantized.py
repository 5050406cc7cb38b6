"""int8 linear layers for the CPU whose result for a token depends on that token only.

torch's own dynamic quantisation scales a whole batch at once, so that labels would change with their batch-mates; here
each token has its own scale, and each row of the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from uec_retriever.errors import UnsupportedModelError

_LEVELS = 127
_TINY = 1e-12


class Int8Linear(nn.Module):
    """A linear layer with int8 weights and, per token, int8 inputs.

    Args:
        linear: what it stands for; weight `[out, in]`.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=_TINY) / _LEVELS
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8).t().contiguous())
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())
        self.in_features, self.out_features = linear.in_features, linear.out_features

    def forward(self, inputs: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`, in the precision of the input."""
        rows = inputs.reshape(-1, self.in_features).float()
        scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=_TINY) / _LEVELS
        product = torch._int_mm((rows / scale).round().to(torch.int8), self.get_buffer("weight"))
        outputs = product.float() * scale * self.get_buffer("scale")
        if self.bias is not None:
            outputs = outputs + self.get_buffer("bias")
        return outputs.to(inputs.dtype).reshape(*inputs.shape[:-1], self.out_features)


def quantize_int8(model: Any) -> Any:
    """Replace all linear layers but the output layer, in place.

    Raises:
        UnsupportedModelError: if the model has no `torch.nn.Linear`, e.g. GPT-2, whose layers are of another kind.
    """
    output = model.get_output_embeddings()
    found = [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is nn.Linear and module is not output
    ]
    if not found:
        raise UnsupportedModelError(f"{type(model).__name__} has no linear layers to quantise: use bfloat16")
    for name, module in found:
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, Int8Linear(module))
    return model
