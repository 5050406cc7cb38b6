"""Any embedding of texts, wherever it comes from: what the identity head stands behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from uec_retriever.data.splitting import Window
from uec_retriever.experts.head import Role
from uec_retriever.gaussian import Array

Batch = tuple[Sequence[int], Array]


class TextEmbedding(ABC):
    """An embedding; safe under threads.

    Attributes:
        name: of the model, as an index records it.
        costly: whether an interrupted index is to keep what was embedded but not stored yet, as for servers.
    """

    name: str
    costly: ClassVar[bool] = True

    @property
    def fingerprint(self) -> str | None:
        """Hash of all that decides the embeddings; None where it cannot be had: then probes tell models apart."""
        return None

    @property
    def options(self) -> Mapping[str, Any] | None:
        """Of `Expert.load`, which makes the same again by its name; None where it cannot."""
        return None

    @property
    def aquery(self) -> Callable[[str], Awaitable[Any]] | None:
        """Query -> its embedding, asynchronously; None where a thread does it."""
        return None

    @property
    def dimension(self) -> int | None:
        """D; None where only an embedding tells."""
        return None

    @property
    def window(self) -> Window | None:
        """What the model sees of a document; None if it sees all of it, or does not tell."""
        return None

    @abstractmethod
    def embed(
        self, texts: Sequence[str], role: Role, *, batch_size: int, prompts: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """Embed texts, a batch at a time, as they come.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`.
            batch_size: texts in one batch, at most.
            prompts: names of prompts to prefer to the role's, where there are any.

        Yields:
            Positions of m texts, and their embeddings `[m, D]`, float32.

        Raises:
            EmbeddingError: if it fails, with the position of the text where one is to blame.
        """

    def truncated(self, texts: Sequence[str], role: Role, prompts: Sequence[str] = ()) -> list[bool]:
        """`[n]` whether the model cuts the text; False where it does not tell."""
        return [False] * len(texts)
