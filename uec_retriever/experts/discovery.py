"""Find the last linear layer, by experiment.

It is the last linear module, in order of execution, that the sentence embedding depends on. What lies
between it and the embedding (residual, normalisation layers, pooling, an elementwise activation) is then
checked by automatic differentiation; anything else is refused by name.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import (
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    StaticEmbedding,
)
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn

from uec_retriever.errors import UnsupportedModelError
from uec_retriever.experts.last_layer import LastLayer, pool, pooling_weights
from uec_retriever.experts.loading import tokenizer_lock
from uec_retriever.experts.norms import Norm, describe_norm, is_norm

_KNOWN = (Transformer, StaticEmbedding, Pooling, Dense, LayerNorm, Dropout, Normalize)
_PROBES = ["uncertainty", "a second and somewhat longer text, so that padding and pooling show"]


@dataclass
class _Trace:
    """What the probing forward pass recorded, in order of execution; other threads may be running the model."""

    linears: list[tuple[str, nn.Module, Tensor]] = field(default_factory=list)
    norms: list[tuple[int, str, nn.Module, Tensor, Tensor]] = field(default_factory=list)
    pooling: Pooling | None = None
    pooling_features: dict[str, Any] = field(default_factory=dict)
    tokens: Tensor = field(default_factory=lambda: torch.empty(0))
    pooled: Tensor = field(default_factory=lambda: torch.empty(0))
    embedding: Tensor = field(default_factory=lambda: torch.empty(0))
    thread: int = field(default_factory=threading.get_ident)

    def on_linear(self, name: str) -> Any:
        """A hook that makes a layer's result a fresh leaf of the graph."""

        def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            if threading.get_ident() != self.thread:
                return output
            leaf = output.detach().clone().requires_grad_(True)
            self.linears.append((name, module, leaf))
            return leaf

        return hook

    def on_norm(self, name: str) -> Any:
        """A hook that notes what enters and leaves a normalisation layer."""

        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            if threading.get_ident() == self.thread:
                self.norms.append((len(self.linears) - 1, name, module, args[0], output))

        return hook


def find_last_layer(model: SentenceTransformer) -> LastLayer:
    """Find the last linear layer that the embedding depends on, and the path between the two.

    Args:
        model: any sentence-transformers model over text; its weights are not touched.

    Returns:
        The layer; the model carries no hook of ours.

    Raises:
        UnsupportedModelError: naming the module that stands in the way.
    """
    modules = _modules(model)
    trace = _probe(model, modules)
    name, linear, current, position = _last_used(trace)
    here, token_level = f"'{name}'", current.ndim == 3
    if token_level and trace.pooling is None:
        raise UnsupportedModelError(f"{here} works on tokens, but the model has no Pooling module after it")
    activation = None if token_level else _activation(modules, linear)
    pending, pooled = activation, not token_level
    token_norms: list[Norm] = []
    text_norms: list[Norm] = []
    for executed, norm_name, module, norm_in, norm_out in trace.norms:
        if executed < position or not _depends(trace.embedding, norm_out):
            continue
        if not pooled and norm_in.ndim == 2:
            _require_path(current, trace.tokens, here, "the pooling", None)
            current, here, pooled = trace.pooled, "the pooling", True
        _require_path(current, norm_in, here, f"'{norm_name}'", pending)
        pending = None
        norm = describe_norm(norm_name, module, norm_in.shape[-1])
        (text_norms if pooled else token_norms).append(norm)
        current, here = norm_out, f"'{norm_name}'"
    if not pooled:
        _require_path(current, trace.tokens, here, "the pooling", None)
        current, here = trace.pooled, "the pooling"
    if token_level:
        _require_linear_pooling(trace)
    _require_path(current, trace.embedding, here, "the sentence embedding", pending)
    _require_single_use(trace, {name, *(n.name for n in (*token_norms, *text_norms))})
    dimension = trace.embedding.shape[1]
    return LastLayer(
        name=name,
        linear=linear,
        token_norms=tuple(token_norms),
        pooling=trace.pooling if token_level else None,
        activation=activation,
        text_norms=tuple(text_norms),
        output=modules[-1],
        dimension=min(dimension, model.truncate_dim or dimension),
    )


def _modules(model: SentenceTransformer) -> list[nn.Module]:
    modules = list(model)
    for position, module in enumerate(modules):
        last_normalize = isinstance(module, Normalize) and position == len(modules) - 1
        if not isinstance(module, _KNOWN) or (isinstance(module, Normalize) and not last_normalize):
            raise UnsupportedModelError(
                f"module {position} of the model, {type(module).__name__}, cannot be linearised: supported are "
                "Transformer or StaticEmbedding, then Pooling, Dense, LayerNorm, Dropout, and a final Normalize"
            )
    return modules[:-1] if isinstance(modules[-1], Normalize) else modules


def _probe(model: SentenceTransformer, modules: list[nn.Module]) -> _Trace:
    """One forward pass in which every linear layer's result is a fresh leaf of the graph."""
    trace, handles = _Trace(), []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.EmbeddingBag) or type(module).__name__ == "Conv1D":
            handles.append(module.register_forward_hook(trace.on_linear(name)))
        elif is_norm(module) and not isinstance(module, Normalize):
            handles.append(module.register_forward_hook(trace.on_norm(name)))
    model.eval()
    try:
        _run(model, modules, trace)
    finally:
        for handle in handles:
            handle.remove()
    return trace


def _run(model: SentenceTransformer, modules: list[nn.Module], trace: _Trace) -> None:
    with torch.inference_mode(False), torch.enable_grad():
        with tokenizer_lock(model):
            features: dict[str, Any] = batch_to_device(model.preprocess(_PROBES), model.device)
        for module in modules:
            if isinstance(module, Pooling):
                trace.pooling, trace.pooling_features = module, dict(features)
                trace.tokens = features["token_embeddings"]
            features = module(features)
            if isinstance(module, Pooling):
                trace.pooled = features["sentence_embedding"]
    trace.embedding = features["sentence_embedding"]


def _last_used(trace: _Trace) -> tuple[str, nn.Module, Tensor, int]:
    for position in range(len(trace.linears) - 1, -1, -1):
        name, module, leaf = trace.linears[position]
        if _depends(trace.embedding, leaf):
            if "lora" in name.lower():
                raise UnsupportedModelError(
                    f"the last linear layer '{name}' is a LoRA adapter: merge it first (merge_and_unload)"
                )
            if isinstance(module, nn.EmbeddingBag) and module.mode != "mean":
                raise UnsupportedModelError(
                    f"'{name}' is an EmbeddingBag of mode '{module.mode}', not 'mean'"
                )
            return name, module, leaf, position
    raise UnsupportedModelError("no linear layer of the model influences its sentence embedding")


def _depends(output: Tensor, on: Tensor) -> bool:
    gradient = _vjp(output, on, _weights(output.shape).to(output))
    return gradient is not None and bool((gradient != 0).any())


def _weights(shape: Sequence[int]) -> Tensor:
    """Numbers in [0.5, 1.5], the same every time; the global generator stays as it is."""
    return torch.rand(tuple(shape), generator=torch.Generator().manual_seed(0)) + 0.5


def _vjp(output: Tensor, on: Tensor, cotangent: Tensor) -> Tensor | None:
    if not (output.requires_grad and on.requires_grad):
        return None
    if output is on:
        return cotangent
    (g,) = torch.autograd.grad(output, on, cotangent, retain_graph=True, allow_unused=True)
    return g


def _require_path(start: Tensor, end: Tensor, start_name: str, end_name: str, activation: Any) -> None:
    """Refuse unless d end / d start is the identity, or the diagonal of an elementwise activation."""
    v = _weights(end.shape).to(end)
    through = _vjp(end, start, v)
    good = through is not None and through.shape == v.shape
    if good and through is not None:
        if activation is None:
            good = torch.allclose(through, v, rtol=1e-3, atol=1e-4)
        else:
            other = _vjp(end, start, 2 * v + 1)
            assert other is not None
            good = torch.allclose(other * v, through * (2 * v + 1), rtol=1e-3, atol=1e-5)
    if not good:
        raise UnsupportedModelError(
            f"what lies between {start_name} and {end_name} is more than a residual, dropout or an "
            "elementwise activation, so the embedding is not linear in the last layer's weights"
        )


def _require_linear_pooling(trace: _Trace) -> None:
    assert trace.pooling is not None
    x = _weights((*trace.tokens.shape[:2], 1)).to(trace.tokens.device)
    weights = pooling_weights(trace.pooling, x, trace.pooling_features)
    pooled = pool(trace.pooling, x, trace.pooling_features)
    expected = (weights * x).sum(1)
    if pooled.shape != expected.shape or not torch.allclose(pooled, expected, rtol=1e-3, atol=1e-4):
        raise UnsupportedModelError(
            f"pooling mode {trace.pooling.pooling_mode!r} is not a weighted mean of the tokens: supported are "
            "'mean', 'cls', 'lasttoken', 'weightedmean' and 'mean_sqrt_len_tokens', one at a time"
        )


def _activation(modules: list[nn.Module], linear: nn.Module) -> Any:
    for module in modules:
        if isinstance(module, Dense) and module.linear is linear:
            return None if isinstance(module.activation_function, nn.Identity) else module.activation_function
    return None


def _require_single_use(trace: _Trace, names: set[str]) -> None:
    calls = Counter([*(n for n, _, _ in trace.linears), *(n for _, n, _, _, _ in trace.norms)])
    for name in sorted(names):
        if calls[name] > 1:
            raise UnsupportedModelError(
                f"'{name}' is applied {calls[name]} times in one forward pass (shared weights, as in ALBERT)"
            )
