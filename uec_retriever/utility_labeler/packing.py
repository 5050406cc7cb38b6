"""A forest of segments in one row of tokens, without padding: each attends to what it goes on from, and to itself.

All layers but attention treat tokens one by one, so only attention has to know where a segment ends. transformers lets
one register a function for it (its attention interface); ours hands each segment, with the keys and values of all
that it goes on from, to the function that the model uses otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from uec_retriever.utility_labeler.sharing import Segment

_NAME = "uec_packed"


@dataclass(frozen=True)
class _Stretch:
    """Where a segment is, and what it sees.

    Attributes:
        first: its first column.
        last: one past its last.
        seen: `[n]` columns of all that it goes on from, and its own; None if these are its own only.
        mask: `[tokens, n]`, added to the attention's logits.
    """

    first: int
    last: int
    seen: Tensor | None
    mask: Tensor


class Layout:
    """Columns, positions and masks of segments in one row.

    Args:
        segments: parents before their children.
        dtype: of the model.
        device: of the model.
        whole: one mask for all instead of one for each segment: more arithmetic, fewer and larger steps.
    """

    def __init__(
        self, segments: Sequence[Segment], dtype: torch.dtype, device: torch.device, *, whole: bool = False
    ) -> None:
        ids = [token for s in segments for token in s.tokens]
        positions = [s.depth + i for s in segments for i in range(len(s.tokens))]
        self.ids = torch.tensor([ids], device=device)
        self.positions = torch.tensor([positions], device=device)
        self.starts: list[int] = []
        columns: list[list[int]] = []  # of all that a segment goes on from, and its own
        first = 0
        for segment in segments:
            last = first + len(segment.tokens)
            before = [] if segment.parent is None else columns[segment.parent]
            self.starts.append(first)
            columns.append([*before, *range(first, last)])
            first = last
        lowest = torch.finfo(dtype).min
        self.stretches: list[_Stretch] = []
        for segment, first, seen in zip(segments, self.starts, columns, strict=True):
            length = len(segment.tokens)
            mask = torch.full((length, len(seen)), lowest, dtype=dtype).triu(len(seen) - length + 1)
            chosen = None if segment.parent is None else torch.tensor(seen, device=device)
            self.stretches.append(_Stretch(first, first + length, chosen, mask.to(device)))
        if whole:
            mask = torch.full((len(ids), len(ids)), lowest, dtype=dtype, device=device)
            for stretch, seen in zip(self.stretches, columns, strict=True):
                mask[stretch.first : stretch.last, seen] = stretch.mask
            self.stretches = [_Stretch(0, len(ids), None, mask)]


_active: ContextVar[tuple[Layout, str]] = ContextVar("active")


@contextmanager
def packed_attention(model: Any, layout: Layout) -> Iterator[None]:
    """Let a model read `layout.ids` at `layout.positions`; one forward pass of the model at a time.

    Raises:
        ValueError: if the model's attention cannot be replaced.
    """
    from transformers import AttentionInterface

    config = model.config.get_text_config()
    usual = config._attn_implementation
    if usual not in ("sdpa", "eager"):
        raise ValueError(f"attention {usual!r} cannot be packed")
    AttentionInterface.register(_NAME, _attend)
    token = _active.set((layout, usual))
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = usual
        _active.reset(token)


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention of one layer; shapes `[1, heads, columns, dim]`, the result `[1, columns, heads, dim]`."""
    layout, usual = _active.get()
    attend = _attention(module, usual)
    found = []
    for s in layout.stretches:
        keys, values = (
            x[:, :, s.first : s.last] if s.seen is None else x.index_select(2, s.seen) for x in (key, value)
        )
        queries = query[:, :, s.first : s.last]
        found.append(attend(module, queries, keys, values, s.mask[None, None], **options)[0])
    return torch.cat(found, dim=1), None


def _attention(module: Any, name: str) -> Any:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if name == "eager":  # each architecture has its own
        return vars(sys.modules[type(module).__module__])["eager_attention_forward"]
    return ALL_ATTENTION_FUNCTIONS[name]
