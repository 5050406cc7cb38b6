"""The last linear layer of an embedding model, and what a forward pass says of it.

See `discovery` for how the layer is found, `laplace` for the notation.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from uec_retriever.experts.norms import Norm

Activation = Callable[[Tensor], Tensor]


@dataclass
class Capture:
    """What one forward pass left behind, in one thread."""

    inputs: tuple[Any, ...] = ()
    output: Tensor | None = None
    scales: dict[str, Tensor] = field(default_factory=dict)
    pooling_features: dict[str, Any] = field(default_factory=dict)
    embedding: Tensor | None = None


@dataclass(frozen=True, eq=False)
class LastLayer:
    """The last linear layer and the linearised path from it to the embedding.

    Attributes:
        name: name of the module within the model.
        linear: the module; its weight is W.
        token_norms: normalisation layers between it and pooling.
        pooling: the pooling module; None for a layer that already sees whole texts.
        activation: elementwise function after a `Dense` head; None if it is the identity.
        text_norms: normalisation layers after pooling.
        output: the module whose result is z, the embedding before L2 normalisation.
        dimension: D, after Matryoshka truncation.
    """

    name: str
    linear: nn.Module
    token_norms: tuple[Norm, ...]
    pooling: nn.Module | None
    activation: Activation | None
    text_norms: tuple[Norm, ...]
    output: nn.Module
    dimension: int

    @property
    def weight(self) -> Tensor:
        """W: `[D, I]`, or `[V, D]` for a bag of tokens; the rows that reach the embedding."""
        weight = next(iter(self.linear.parameters()))
        return weight[:, : self.dimension] if self.is_bag else weight[: self.dimension]

    @property
    def shape(self) -> tuple[int, int]:
        """(D, I), whichever way the weight lies."""
        rows, columns = self.weight.shape
        return (columns, rows) if self.is_bag else (rows, columns)

    @property
    def is_bag(self) -> bool:
        """Whether the features are a sparse bag of tokens (StaticEmbedding)."""
        return isinstance(self.linear, nn.EmbeddingBag)

    def features(self, capture: Capture) -> Tensor:
        """g: `[n, I]` float32, dense, or sparse COO for a bag of tokens.

        `g = sum_t w_t h_t / sigma_t`: pooled by the model's own pooling module, divided by the
        normalisation layers' own scales. Rows do not depend on each other.
        """
        if self.is_bag:
            features = _bag_features(capture.inputs[0], capture.inputs[1], self.weight.shape[0])
        elif self.pooling is None:
            features = capture.inputs[0].float()
        else:
            features = self._pool_features(capture)
        for norm in self.text_norms:
            scale = capture.scales[norm.name]
            features = features * (1 / scale) if not features.is_sparse else _scale_rows(features, 1 / scale)
        return features

    def gain(self, capture: Capture) -> Tensor:
        """gamma: `[D]`, or `[n, D]` after a non-linear activation, float32."""
        gain = torch.ones(self.dimension)
        for norm in (*self.token_norms, *self.text_norms):
            gain = gain * norm.gain[: self.dimension]
        if self.activation is not None and capture.output is not None:
            gain = gain * derivative(self.activation, capture.output)[:, : self.dimension].cpu()
        return gain

    def _pool_features(self, capture: Capture) -> Tensor:
        assert self.pooling is not None
        tokens = capture.inputs[0]
        inverse = torch.ones((), device=tokens.device)
        for norm in self.token_norms:
            inverse = inverse / capture.scales[norm.name]
        if "cu_seq_lens_q" in capture.pooling_features:  # flash attention without padding
            return pool(self.pooling, tokens.float() * inverse, capture.pooling_features)
        weights = pooling_weights(self.pooling, tokens[..., :1].float(), capture.pooling_features)
        return torch.bmm((weights * inverse).transpose(1, 2), tokens.float())[:, 0]


class Recorder:
    """Records what a layer sees in forward passes, for each thread its own, by hooks that go with this object.

    Args:
        layer: of the model that will be run; others may record the same model.
    """

    def __init__(self, layer: LastLayer) -> None:
        self._hooks = _Hooks()
        weakref.finalize(
            self, _remove, self._hooks.register(layer)
        )  # the model holds the hooks, not this object

    @contextmanager
    def capture(self) -> Iterator[Capture]:
        """Record the forward pass that this thread runs inside the block."""
        self._hooks.local.capture = Capture()
        try:
            yield self._hooks.local.capture
        finally:
            self._hooks.local.capture = None


class _Hooks:
    """What a model calls in its forward passes. In a copy of the model, or a pickled one, these do nothing."""

    def __init__(self) -> None:
        self.local = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Hooks, ()

    def register(self, layer: LastLayer) -> list[RemovableHandle]:
        handles = [
            layer.linear.register_forward_hook(partial(self._on_linear, layer.activation is not None)),
            layer.output.register_forward_hook(self._on_output),
        ]
        for norm in (*layer.token_norms, *layer.text_norms):
            handles.append(norm.module.register_forward_hook(partial(self._on_norm, norm)))
        if layer.pooling is not None:
            handles.append(layer.pooling.register_forward_pre_hook(self._on_pooling))
        return handles

    @property
    def _capture(self) -> Capture | None:
        return getattr(self.local, "capture", None)

    def _on_linear(self, with_output: bool, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if (capture := self._capture) is not None:
            capture.inputs = args
            if with_output:
                capture.output = output

    def _on_norm(self, norm: Norm, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if (capture := self._capture) is not None:
            capture.scales[norm.name] = norm.scale(args[0])

    def _on_pooling(self, module: nn.Module, args: tuple[dict[str, Any], ...]) -> None:
        if (capture := self._capture) is not None:
            capture.pooling_features = dict(args[0])

    def _on_output(self, module: nn.Module, args: tuple[Any, ...], output: dict[str, Tensor]) -> None:
        if (capture := self._capture) is not None:
            capture.embedding = output["sentence_embedding"]


def _remove(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()


def derivative(activation: Activation, inputs: Tensor) -> Tensor:
    """Derivative of an elementwise function at `inputs`, same shape, float32."""
    with torch.enable_grad():
        x = inputs.detach().clone().requires_grad_(True)
        (result,) = torch.autograd.grad(activation(x).sum(), x)
    return result.float()


def pool(pooling: nn.Module, tokens: Tensor, features: dict[str, Any]) -> Tensor:
    """Run the model's pooling on other token vectors, `[n, t, x]` -> `[n, x]`."""
    others = {k: v for k, v in features.items() if k not in ("cls_token_embeddings", "sentence_embedding")}
    result: Tensor = pooling({**others, "token_embeddings": tokens})["sentence_embedding"]
    return result


def pooling_weights(pooling: nn.Module, like: Tensor, features: dict[str, Any]) -> Tensor:
    """`[n, t, 1]` weight of each token in a linear pooling: its derivative, for `like` `[n, t, 1]`."""
    with torch.enable_grad():
        x = torch.zeros_like(like, requires_grad=True)
        (weights,) = torch.autograd.grad(pool(pooling, x, features).sum(), x)
    return weights


def _bag_features(tokens: Tensor, offsets: Tensor, vocabulary: int) -> Tensor:
    """Sparse `[n, V]` share of each token in its text: what an EmbeddingBag averages over."""
    ids, starts = tokens.cpu().numpy(), offsets.cpu().numpy()
    lengths = np.append(starts[1:], len(ids)) - starts
    cells = np.repeat(np.arange(len(starts)) * vocabulary, lengths) + ids
    cells, counts = np.unique(cells, return_counts=True)
    rows, columns = np.divmod(cells, vocabulary)
    shares = (counts / lengths[rows]).astype(np.float32)
    indices = torch.from_numpy(np.array([rows, columns]))
    return _sparse(indices, torch.from_numpy(shares), (len(starts), vocabulary))


def _scale_rows(features: Tensor, factors: Tensor) -> Tensor:
    rows = features.indices()[0]
    values = features.values() * factors.cpu()[rows, 0]
    return _sparse(features.indices(), values, features.shape)


def _sparse(indices: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A sparse matrix of sorted, unique indices."""
    return torch.sparse_coo_tensor(indices, values, shape, check_invariants=False, is_coalesced=True)
