"""How to get from tokens to log-probabilities of answers, by the cheapest way that a model proves to allow."""

from __future__ import annotations

import copy
import logging
from typing import Any, Literal

import torch
from torch import Tensor

from uec_retriever.errors import UnsupportedModelError

logger = logging.getLogger(__name__)
Way = Literal["gather", "keep", "full"]
_LOGITS_AT_ONCE = 2**25
_PROBE = 12
_TOLERANCE = 1e-3


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
        self.device = (
            next(iter(model.parameters())).device if list(model.parameters()) else torch.device("cpu")
        )
        self.way: Way = way or self._find_way()
        self.shares = self._can_share()

    def extend(self, cache: Any, tokens: tuple[int, ...]) -> Any:
        """The key-value cache after more tokens of one sequence.

        Args:
            cache: of one row, which is used up; None for none.
            tokens: at least one.
        """
        ids = torch.tensor([tokens], device=self.device)
        runner = self._base() if self.way == "gather" else self.model
        options = {} if self.way != "keep" else {"logits_to_keep": 1}
        return runner(input_ids=ids, past_key_values=cache, use_cache=True, **options).past_key_values

    def log_probabilities(
        self, ids: Tensor, cache: Any, rows: Tensor, columns: Tensor, targets: Tensor
    ) -> Tensor:
        """Log-probability of target tokens.

        Args:
            ids: `[n, length]` int64, padded on the right.
            cache: of n rows, or None.
            rows: `[m]` in [0, n).
            columns: `[m]` in [0, length): the position *before* the target.
            targets: `[m]` token ids.

        Returns:
            `[m]` float64 on the CPU, nats, <= 0.
        """
        ids, rows, columns, targets = (t.to(self.device) for t in (ids, rows, columns, targets))
        options: dict[str, Any] = {"past_key_values": cache, "use_cache": cache is not None}
        if self.way == "gather":
            hidden = self._base()(input_ids=ids, **options).last_hidden_state[rows, columns]
            output = self.model.get_output_embeddings()
            size = max(1, _LOGITS_AT_ONCE // self.model.config.get_text_config().vocab_size)
            starts = range(0, len(targets), size)
            return torch.cat([_pick(output(hidden[i : i + size]), targets[i : i + size]) for i in starts])
        if self.way == "keep":
            kept, positions = torch.unique(columns, return_inverse=True)
            logits = self.model(input_ids=ids, logits_to_keep=kept, **options).logits[rows, positions]
        else:
            logits = self.model(input_ids=ids, **options).logits[rows, columns]
        return _pick(logits, targets)

    def _base(self) -> Any:
        return self.model.base_model

    def _probe(self) -> Tensor:
        vocabulary = self.model.config.get_text_config().vocab_size
        generator = torch.Generator().manual_seed(0)
        return torch.randint(vocabulary, (2, _PROBE), generator=generator)

    @torch.inference_mode()
    def _find_way(self) -> Way:
        ids = self._probe()
        rows, columns = torch.tensor([0, 0, 1, 1]), torch.tensor([3, 7, 2, _PROBE - 2])
        targets = ids[rows, columns + 1]
        self.way = "full"
        expected = self.log_probabilities(ids, None, rows, columns, targets)
        cut = self.log_probabilities(ids[:, : _PROBE - 1], None, rows, columns, targets)
        if not torch.allclose(expected, cut, atol=_TOLERANCE):
            raise UnsupportedModelError(
                f"{type(self.model).__name__} looks at later tokens: a judge must be a causal language model"
            )
        ways: tuple[Way, ...] = ("gather", "keep")
        for way in ways:
            self.way = way
            try:
                found = self.log_probabilities(ids, None, rows, columns, targets)
            except (AttributeError, TypeError, ValueError, IndexError, RuntimeError) as error:
                logger.debug("%s does not work: %s", way, error)
                continue
            if torch.allclose(expected, found, atol=_TOLERANCE):
                return way
        return "full"

    @torch.inference_mode()
    def _can_share(self) -> bool:
        """Whether a cached beginning, handed to two rows, changes nothing."""
        ids = self._probe()
        ids[1, :5] = ids[0, :5]
        rows, columns = torch.tensor([0, 1, 1]), torch.tensor([8, 7, _PROBE - 2])
        targets = ids[rows, columns + 1]
        expected = self.log_probabilities(ids, None, rows, columns, targets)
        try:
            cache = self.extend(None, tuple(ids[0, :5].tolist()))
            found = [
                self.log_probabilities(ids[:, 5:], fork(cache, 2), rows, columns - 5, targets)
                for _ in range(2)  # twice: the first use must leave the cache as it was
            ]
        except (AttributeError, TypeError, ValueError, IndexError, RuntimeError) as error:
            logger.info("%s cannot share beginnings: %s", type(self.model).__name__, error)
            return False
        return all(torch.allclose(expected, f, atol=_TOLERANCE) for f in found)


def _pick(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-softmax in float32 at the targets."""
    logits = logits.float()
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    return (chosen.double() - torch.logsumexp(logits, dim=-1).double()).cpu()


def fork(cache: Any, rows: int = 1) -> Any:
    """A key-value cache of `rows` equal rows that can grow without changing the one it came from.

    Args:
        cache: of one row, or None.
        rows: at least 1.
    """
    if cache is None:
        return None
    forked = copy.copy(cache)
    forked.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in forked.layers:
        for name, value in vars(layer).items():
            if isinstance(value, Tensor) and value.ndim == 4:
                setattr(layer, name, value.expand(rows, -1, -1, -1))  # the model appends into a new tensor
    return forked
