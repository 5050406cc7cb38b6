"""How to get from tokens to log-probabilities of answers, by the cheapest way that a model proves to allow."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from uec_retriever.errors import UnsupportedModelError
from uec_retriever.utility_labeler.packing import Layout, packed_attention
from uec_retriever.utility_labeler.sharing import Segment, Tokens

logger = logging.getLogger(__name__)
Way = Literal["gather", "keep", "full"]
_LOGITS_AT_ONCE = 2**25
_PROBE = 12
_TOLERANCE = 1e-3
_ROUNDINGS = 16  # of the model's precision, where that is coarser
_UNABLE = (AttributeError, TypeError, ValueError, IndexError, KeyError, ImportError, RuntimeError)
Places = Sequence[tuple[int, int, int]]
"""Of answer tokens: row, the column *before* it, and the token."""


class AnswerHead:
    """A causal model, and the way to its logits at chosen positions.

    - `gather`: hidden states of the base model, the output layer on answer positions only.
    - `keep`: `logits_to_keep` of transformers, on the columns that any row needs; for models that do more
      between output layer and logits (soft caps, scales).
    - `full`: all logits.

    The first that agrees with the model's own logits on a probe is taken, so nothing is assumed of an architecture.

    Args:
        model: a causal language model in evaluation mode.
        way: fix the way; found by the probe if None.

    Raises:
        UnsupportedModelError: if the model is not causal.
    """

    def __init__(self, model: Any, way: Way | None = None) -> None:
        self.model = model
        parameters = list(model.parameters())
        self.device = parameters[0].device if parameters else torch.device("cpu")
        self.dtype = parameters[0].dtype if parameters else torch.float32
        self._tolerance = max(_TOLERANCE, _ROUNDINGS * torch.finfo(self.dtype).eps)
        self.window = attention_window(model.config.get_text_config())
        self.way: Way = way or self._find_way()
        self.packs = self._can_pack()

    def score_padded(self, rows: Sequence[Tokens], places: Places) -> Tensor:
        """Log-probabilities in rows that are padded on the right, where a causal model never looks.

        Args:
            rows: at least one token each.
            places: of answer tokens.

        Returns:
            `[m]` float64 on the CPU, nats, <= 0.
        """
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[row[-1]] * (width - len(row))] for row in rows], device=self.device)
        return self._log_probabilities({"input_ids": ids}, places)

    def score_packed(self, layout: Layout, places: Places) -> Tensor:
        """The same in one row of many segments, which see only what they go on from.

        Args:
            layout: of the segments.
            places: in row 0, columns of the layout.
        """
        with packed_attention(self.model, layout):
            inputs = {"input_ids": layout.ids, "position_ids": layout.positions}
            return self._log_probabilities(inputs, places)

    def layout(self, segments: Sequence[Segment]) -> Layout:
        """Segments in one row, as it suits the model and its device."""
        return Layout(segments, self.dtype, self.device, whole=self.device.type != "cpu")

    def _log_probabilities(self, inputs: dict[str, Tensor], places: Places) -> Tensor:
        rows, columns, targets = (torch.tensor(x, device=self.device) for x in zip(*places, strict=True))
        if self.way == "gather":
            hidden = self._base()(**inputs, use_cache=False).last_hidden_state[rows, columns]
            output = self.model.get_output_embeddings()
            size = max(1, _LOGITS_AT_ONCE // self.model.config.get_text_config().vocab_size)
            starts = range(0, len(targets), size)
            return torch.cat([_pick(output(hidden[i : i + size]), targets[i : i + size]) for i in starts])
        if self.way == "keep":
            kept, positions = torch.unique(columns, return_inverse=True)
            logits = self.model(**inputs, use_cache=False, logits_to_keep=kept).logits[rows, positions]
        else:
            logits = self.model(**inputs, use_cache=False).logits[rows, columns]
        return _pick(logits, targets)

    def _base(self) -> Any:
        return self.model.base_model

    def _probe(self) -> list[Tokens]:
        vocabulary = self.model.config.get_text_config().vocab_size
        generator = torch.Generator().manual_seed(0)
        return [tuple(row) for row in torch.randint(vocabulary, (2, _PROBE), generator=generator).tolist()]

    def _agree(self, expected: Tensor, found: Tensor) -> bool:
        return torch.allclose(expected, found, rtol=0, atol=self._tolerance)

    @torch.inference_mode()
    def _find_way(self) -> Way:
        probe = self._probe()
        places = [(r, c, probe[r][c + 1]) for r, c in ((0, 3), (0, 7), (1, 2), (1, _PROBE - 2))]
        self.way = "full"
        expected = self.score_padded(probe, places)
        if not self._agree(expected, self.score_padded([row[:-1] for row in probe], places)):
            raise UnsupportedModelError(
                f"{type(self.model).__name__} looks at later tokens: a judge must be a causal language model"
            )
        ways: tuple[Way, ...] = ("gather", "keep")
        for way in ways:
            self.way = way
            try:
                found = self.score_padded(probe, places)
            except _UNABLE as error:
                logger.debug("%s does not work: %s", way, error)
                continue
            if self._agree(expected, found):
                return way
        return "full"

    @torch.inference_mode()
    def _can_pack(self) -> bool:
        """Whether sequences that share a beginning, in one row with a stranger, are worth what they are alone."""
        one, other = self._probe()
        rows = [one, one[:4] + other[4:], other]
        places = [(r, c, rows[r][c + 1]) for r in range(3) for c in (4, 7, _PROBE - 2)]
        expected = self.score_padded(rows, places)
        layout = self.layout(
            [
                Segment(one[:4], 0, None, None),
                Segment(one[4:], 4, 0, 0),
                Segment(other[4:], 4, 0, 1),
                Segment(other, 0, None, 2),
            ]
        )
        starts = (layout.starts[1] - 4, layout.starts[2] - 4, layout.starts[3])
        try:
            found = self.score_packed(layout, [(0, starts[r] + c, token) for r, c, token in places])
        except _UNABLE as error:
            logger.info("%s cannot share beginnings: %s", type(self.model).__name__, error)
            return False
        return self._agree(expected, found)


def attention_window(config: Any) -> int | None:
    """Tokens within which every layer sees all that came before; None for no limit, 0 if it cannot be told."""
    sizes = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    return min((int(size) for size in sizes if size), default=0 if kinds else None)


def _pick(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-softmax in float32 at the targets."""
    logits = logits.float()
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (chosen.double() - torch.logsumexp(logits, dim=-1).double()).cpu()
