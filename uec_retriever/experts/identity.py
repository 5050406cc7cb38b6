"""The identity head: a linear layer z = W e of our own behind any embedding, with W = I at the MAP (design, step 1)."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from functools import cache as cache_result
from functools import cached_property
from typing import Any

import numpy as np
import torch

from uec_retriever.data.progress import Progress
from uec_retriever.data.splitting import Window
from uec_retriever.errors import EmbeddingError, NumericalError, StorageError, TextError
from uec_retriever.experts.embedding_cache import EmbeddingCache
from uec_retriever.experts.fingerprint import PROBES, probe_fingerprint, same_model
from uec_retriever.experts.head import Linearised, Role
from uec_retriever.experts.text_embedding import TextEmbedding
from uec_retriever.gaussian import Array

_logger = logging.getLogger(__name__)


class IdentityHead:
    """Features are the embeddings themselves, scaled to unit length; the gain is 1.

    So an index that stores means stores features as well: nothing is embedded anew to fit another posterior.

    Args:
        embedding: what turns texts into vectors.
        cache: where embeddings are looked for first, and kept.

    Raises:
        EmbeddingError: when it is first used, if the embedding cannot be had.
    """

    layer = "identity"

    def __init__(self, embedding: TextEmbedding, cache: EmbeddingCache | None = None) -> None:
        self.embedding = embedding
        self.cache = cache
        self._probes = cache_result(self._embed_probes)  # copies share it

    def __copy__(self) -> IdentityHead:
        other = IdentityHead(self.embedding, self.cache)
        vars(other).update(vars(self))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> IdentityHead:
        """The embedding is shared: it may be a connection, and holds no weights that anything here changes."""
        return self

    def with_cache(self, cache: EmbeddingCache | None) -> IdentityHead:
        """The same head with another cache, or none; this one stays as it is."""
        other = self.__copy__()
        other.cache = cache
        return other

    @property
    def shape(self) -> tuple[int, int]:
        """(D, D)."""
        return self.dimension, self.dimension

    @property
    def dimension(self) -> int:
        """D."""
        return self.embedding.dimension or self._probes().shape[1]

    @property
    def squared_norm(self) -> float:
        """|I|^2 = D."""
        return float(self.dimension)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights, where they can be read, else what the model makes of probes."""
        return self.embedding.fingerprint or probe_fingerprint(self._probes())

    def _embed_probes(self) -> Array:
        """Embeddings of the probe texts, half of them as queries; never from a cache, which would hide another model."""
        half = len(PROBES) // 2
        asked = [(PROBES[:half], "query"), (PROBES[half:], "document")]
        try:
            parts = [self._embed(texts, role, half, None, ()) for texts, role in asked]  # type: ignore[arg-type]
        except TextError as error:
            error.position = None  # of a probe, which is no text of whoever asked
            raise
        if len({part.shape[1] for part in parts}) > 1:
            raise EmbeddingError(
                f"{self.embedding.name} gives {parts[0].shape[1]} numbers for a query and {parts[1].shape[1]} for a "
                "document: give an embedding of one dimension"
            )
        return np.concatenate(parts)

    @property
    def window(self) -> Window | None:
        """What the embedding sees of a document; None if it sees all of it, or does not tell."""
        return self.embedding.window

    def linearise(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        batch_size: int,
        progress: Progress | None,
        prompts: Sequence[str],
    ) -> Linearised:
        """Unit embeddings, which are features and z at once.

        Args:
            texts: n >= 1 non-empty strings.
            role: `query`, `document` or, for neither, `text`.
            batch_size: texts in one forward pass or request, at least 1.
            progress: called with the number of texts done, after each batch.
            prompts: names of prompts to prefer to the role's.

        Raises:
            EmbeddingError: if the embedding fails, with the position of the text where one is to blame.
            NumericalError: for an embedding that is zero, NaN or infinite.
        """
        vectors = torch.from_numpy(self._cached(texts, role, batch_size, progress, prompts))
        flags = self.embedding.truncated(texts, role, prompts)
        return Linearised(vectors, vectors, torch.ones(vectors.shape[1]), flags)

    def remember(self, texts: Sequence[str], role: Role, vectors: Array) -> None:
        """Put unit embeddings `[n, D]` that were had before into the cache, if there is one."""
        if self.cache is not None:
            self.cache.put(self._scope(self.cache, role), texts, vectors)

    def forget(self, texts: Sequence[str], role: Role) -> None:
        """Drop embeddings from the cache, if there is one."""
        if self.cache is not None:
            self.cache.forget(self._scope(self.cache, role), texts)

    def _scope(self, cache: EmbeddingCache, *names: str) -> tuple[str, ...]:
        """What decides embeddings beside the text; servers never give quite the same probes."""
        return cache.model(self.fingerprint, same_model), *names

    def _cached(
        self,
        texts: Sequence[str],
        role: Role,
        batch_size: int,
        progress: Progress | None,
        prompts: Sequence[str],
    ) -> Array:
        if self.cache is None:
            return self._embed(texts, role, batch_size, progress, prompts)
        try:
            scope = self._scope(self.cache, role, *prompts)
            known = self.cache.get(scope, texts)
        except StorageError as error:
            _go_on_without(error, role)
            return self._embed(texts, role, batch_size, progress, prompts)
        missing = list(dict.fromkeys(text for text in texts if text not in known))
        if progress and len(missing) < len(texts):
            progress(len(texts) - len(missing))
        if missing:
            try:
                found = self._embed(missing, role, batch_size, progress, prompts, scope)
            except (EmbeddingError, NumericalError) as error:
                if error.position is not None:
                    error.position = texts.index(missing[error.position])
                raise
            known |= dict(zip(missing, found, strict=True))
        return np.stack([known[text] for text in texts])

    def _embed(
        self,
        texts: Sequence[str],
        role: Role,
        batch_size: int,
        progress: Progress | None,
        prompts: Sequence[str],
        scope: Sequence[str] | None = None,
    ) -> Array:
        """Unit vectors `[n, D]`; kept under `scope` as they come, also those beside one that has no direction."""
        vectors: Array | None = None
        bad: list[int] = []
        done = 0
        owner = self.embedding.name
        expected = self.embedding.dimension or (
            self._probes().shape[1] if self._probes.cache_info().currsize else None
        )
        for rows, batch in self.embedding.embed(texts, role, batch_size=batch_size, prompts=prompts):
            if batch.ndim != 2 or len(batch) != len(rows):
                raise EmbeddingError(
                    f"{owner} gave an array of shape {batch.shape} for {len(rows)} texts: it must give one vector each"
                )
            expected = expected or batch.shape[1]
            if batch.shape[1] != expected:
                raise EmbeddingError(
                    f"{owner} gave {batch.shape[1]} numbers for a text where it gave {expected} before: another model "
                    "answers now, or one of its settings changed",
                    rows[0],
                )
            length = np.linalg.norm(batch.astype(np.float64), axis=1)  # of any scale that float32 holds
            fine = np.flatnonzero(np.isfinite(length) & (length > 0))
            kept = np.asarray(rows)[fine]
            bad += sorted({*rows} - {*kept.tolist()})
            unit = (batch[fine] / length[fine, None]).astype(np.float32)
            vectors = np.empty((len(texts), expected), dtype=np.float32) if vectors is None else vectors
            vectors[kept] = unit
            if scope is not None and self.cache is not None:
                try:
                    self.cache.put(scope, [texts[i] for i in kept], unit)
                except StorageError as error:
                    _go_on_without(error, role)
            if bad and scope is None:
                break  # with a cache the others are embedded still: they will be asked for again
            done += len(rows)
            if progress:
                progress(len(rows))
        if bad:
            raise NumericalError(
                f"{owner} gave a zero, NaN or infinite embedding: drop the text, or look at the server's precision",
                min(bad),
            )
        if vectors is None or done < len(texts):
            raise EmbeddingError(
                f"{owner} gave embeddings of {done} of {len(texts)} texts: it must give one vector each"
            )
        return vectors


def _go_on_without(error: StorageError, role: Role) -> None:
    """Warn that a query is embedded though its cache cannot be used, as on a full disk; nothing else must be paid twice.

    Raises:
        StorageError: for another role, and where the cache is none at all.
    """
    if role != "query" or not isinstance(error.__cause__, OSError | sqlite3.Error):
        raise error
    _logger.warning("searching without a cache of embeddings: %s", error)
