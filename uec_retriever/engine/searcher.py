"""Searcher: the reading half of the engine."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from uec_retriever.convolution import check_temperature
from uec_retriever.data.records import Record
from uec_retriever.data.texts import check_texts
from uec_retriever.engine.ensemble import EncodedTexts, Ensemble
from uec_retriever.engine.results import Rescoring, SearchResult
from uec_retriever.engine.search import check_limits, rescore, search, search_encoded
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import Where
from uec_retriever.store.manifest import Manifest


class Searcher:
    """Experts and the texts that they embedded; safe under threads.

    Args:
        ensemble: experts and manifest.
        store: the collection.
    """

    def __init__(self, ensemble: Ensemble, store: ChromaStore) -> None:
        self.ensemble = ensemble
        self.store = store

    @property
    def manifest(self) -> Manifest:
        """What made the index."""
        return self.store.manifest

    @property
    def experts(self) -> list[Expert]:
        """The loaded experts, in the order of the manifest."""
        return self.ensemble.experts

    def count(self) -> int:
        """Number of texts."""
        return self.store.count()

    def pages(self) -> Iterator[list[Record]]:
        """All records, a page at a time."""
        return self.store.pages()

    def get(self, ids: Sequence[str] | None = None, where: Where | None = None) -> list[Record]:
        """Records by id (in that order, absent ones left out), or all that match a filter."""
        if isinstance(ids, str):
            raise InvalidInputError("expected a list of ids, got a single one: put it into a list")
        return self.store.get(ids, where)

    def check_options(
        self, k: int = 10, *, candidates: int | None = None, temperature: float | None = None
    ) -> None:
        """Refuse what `search` would refuse of its options, before there is a query.

        Raises:
            InvalidInputError: for an option out of range.
        """
        check_limits(k, candidates)
        self._with_temperature(temperature)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
    ) -> SearchResult:
        """The k best texts for a query.

        Args:
            query: non-empty.
            k: at least 1; more than there are texts gives them all.
            where: Chroma's metadata filter.
            candidates: how many to fetch and rescore, at least k; `max(30, 2 k)` if absent.
            temperature: T for this query, instead of the index's (block layout only).

        Raises:
            InvalidInputError: for an empty query, k < 1, or a filter Chroma cannot apply.
        """
        return self.search_batch([query], k, where=where, candidates=candidates, temperature=temperature)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
    ) -> list[SearchResult]:
        """`search` for many queries at once; same results, less time."""
        return search(
            self.ensemble,
            self.store,
            queries,
            k,
            where=where,
            candidates=candidates,
            manifest=self._with_temperature(temperature),
        )

    async def asearch(self, query: str, k: int = 10, **options: Any) -> SearchResult:
        """`search` in a thread, so that the event loop goes on (options as `search`)."""
        return await asyncio.to_thread(functools.partial(self.search, query, k, **options))

    def search_together(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
    ) -> SearchResult:
        """One search for several texts that stand for one query, such as paraphrases or a hypothetical answer.

        The query is the mean of their Gaussians, taken as independent.

        Args:
            queries: at least one, non-empty.
            k: as `search`.
            where: as `search`.
            candidates: as `search`.
            temperature: as `search`.
        """
        queries = check_texts(queries, "query")
        if not queries:
            raise InvalidInputError("there are no texts to search with: give at least one")
        encoded = self.ensemble.encode_queries(queries, self._with_temperature(temperature))
        assert encoded.coefficients is not None
        mean = GaussianEmbedding(
            encoded.gaussian.mean.mean(axis=0, keepdims=True),
            encoded.gaussian.variance.mean(axis=0, keepdims=True) / np.float32(len(queries)),
        )
        together = EncodedTexts(mean, encoded.coefficients.mean(axis=0, keepdims=True), encoded.truncated)
        confident = temperature in (None, self.manifest.temperature)
        return self._search_encoded(queries[0], together, k, where, candidates, confident)

    def search_embedding(
        self,
        embedding: Sequence[float] | Array,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
    ) -> SearchResult:
        """Search with a query embedding that `embed_queries` made, or a stored one.

        It has no variance of its own, so deviations are those of the texts alone, and there are no
        coefficients. One whose scores could exceed 1 is scaled down.

        Args:
            embedding: `[D]` in the layout of the index, finite.
            k: as `search`.
            where: as `search`.
            candidates: as `search`.

        Raises:
            InvalidInputError: for another dimension than the index's, NaN or infinity.
        """
        vector = np.atleast_2d(np.asarray(embedding, dtype=np.float32))
        if vector.shape != (1, self.manifest.dimension):
            raise InvalidInputError(
                f"the query embedding has the shape {np.shape(embedding)}, the index needs "
                f"[{self.manifest.dimension}]: use one that this index's embed_queries made"
            )
        if not np.isfinite(vector).all():
            raise InvalidInputError("the query embedding holds NaN or infinity: nothing is near to that")
        ends = np.cumsum([e.dimension for e in self.manifest.experts])[:-1]
        blocks = np.split(vector, ends, axis=1) if self.manifest.layout == "block" else [vector]
        vector = vector / max(1.0, float(sum(np.linalg.norm(block) for block in blocks)))
        encoded = EncodedTexts(GaussianEmbedding(vector, np.zeros_like(vector)), None, {})
        return self._search_encoded("", encoded, k, where, candidates, confident=False)

    def embed_queries(self, queries: Sequence[str]) -> Array:
        """`[n, D]` what the index is searched with, float32: means weighted by their coefficients."""
        return self.ensemble.encode_queries(check_texts(queries, "query")).gaussian.mean

    def embed_documents(self, texts: Sequence[str]) -> Array:
        """`[n, D]` what texts would be stored as, float32; they are not stored."""
        texts = check_texts(texts)
        if not texts:
            return np.empty((0, self.manifest.dimension), dtype=np.float32)
        return self.ensemble.encode_documents(texts).gaussian.mean

    def rescore(self, query: str, texts: Sequence[str], *, batch_size: int = 32) -> Rescoring:
        """Score texts of any origin with the uncertainty-aware similarity; they are not stored.

        Args:
            query: non-empty.
            texts: n non-empty texts, say, what another retriever found.
            batch_size: texts in one forward pass.

        Raises:
            InvalidInputError: for an empty query or text.
        """
        return rescore(self.ensemble, query, texts, batch_size=batch_size)

    def vectors(self, ids: Sequence[str]) -> Array:
        """`[n, D]` stored means of records that are there, float32; unknown ids are passed over."""
        return self.store.vectors(ids)

    def _search_encoded(
        self,
        query: str,
        encoded: EncodedTexts,
        k: int,
        where: Where | None,
        candidates: int | None,
        confident: bool,
    ) -> SearchResult:
        return search_encoded(
            self.ensemble,
            self.store,
            [query],
            encoded,
            k,
            where=where,
            candidates=candidates,
            confident=confident,
        )[0]

    def _with_temperature(self, temperature: float | None) -> Manifest:
        if temperature is None:
            return self.ensemble.manifest
        if self.manifest.layout == "sum":
            raise InvalidInputError("the sum layout fixes the temperature when documents are indexed")
        check_temperature(temperature)
        return replace(self.ensemble.manifest, temperature=temperature)
