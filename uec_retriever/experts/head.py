"""Head: what an expert reads of texts, the last layer of a model or the identity behind any embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uec_retriever.data.progress import Progress
from uec_retriever.data.splitting import Window
from uec_retriever.errors import TextError

Role = Literal["query", "document", "text"]  # the last: compared with its like, as in STS or clustering


@dataclass(frozen=True, eq=False)
class Linearised:
    """What a head says of n texts, in their order; on the CPU, whatever device the model is on.

    Attributes:
        features: g `[n, I]`, dense or sparse COO, float32.
        embeddings: z `[n, D]` before L2 normalisation, float32.
        gain: gamma, `[D]` or `[n, D]`, float32.
        truncated: `[n]` whether the model cut the text to its maximal length.
    """

    features: Tensor
    embeddings: Tensor
    gain: Tensor
    truncated: list[bool]

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[np.integer[Any]]) -> Linearised:
        """The chosen texts, in the order of `rows`."""
        chosen = torch.from_numpy(np.arange(len(self))[rows].copy())
        return Linearised(
            self.features.index_select(0, chosen),
            self.embeddings[chosen],
            self.gain if self.gain.ndim == 1 else self.gain[chosen],
            [self.truncated[i] for i in chosen.tolist()],
        )

    @staticmethod
    def concatenate(parts: Sequence[Linearised]) -> Linearised:
        """Join forward passes of one model, at least one, in order."""
        if len(parts) == 1:
            return parts[0]
        gains = [part.gain for part in parts]
        return Linearised(
            torch.cat([part.features for part in parts]),
            torch.cat([part.embeddings for part in parts]),
            gains[0] if gains[0].ndim == 1 else torch.cat(gains),
            [flag for part in parts for flag in part.truncated],
        )


@contextmanager
def counting_from(first: int) -> Iterator[None]:
    """Make the position in an error that of a text among all, where the block sees those from `first` on."""
    try:
        yield
    except TextError as error:
        error.position = None if error.position is None else first + error.position
        raise


class Head(Protocol):
    """The linear map z = W g whose weights have a posterior, and what gives g; safe under threads."""

    @property
    def layer(self) -> str:
        """Name of the layer, for people and posterior files."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """(D, I) of W."""
        ...

    @property
    def squared_norm(self) -> float:
        """|W|^2 of the trained weights, > 0."""
        ...

    @property
    def fingerprint(self) -> str:
        """What makes two embeddings the same, see `fingerprint.same_model`."""
        ...

    @property
    def window(self) -> Window | None:
        """What is seen of a document; None if all of it is, or nobody tells."""
        ...

    def linearise(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        batch_size: int,
        progress: Progress | None,
        prompts: Sequence[str],
    ) -> Linearised:
        """Features and embeddings.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`.
            batch_size: texts in one forward pass or request, at least 1.
            progress: called with the number of texts done, after each batch.
            prompts: names of prompts to prefer to the role's.
        """
        ...
