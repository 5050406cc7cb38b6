"""Searcher: the reading half of the engine."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from uec_retriever.checks.numbers import check_temperature
from uec_retriever.data.records import Record, check_ids
from uec_retriever.data.texts import check_texts
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.folder import IndexFolder
from uec_retriever.engine.results import Rescoring, SearchResult
from uec_retriever.engine.search import SearchOptions, encode, encoded_embedding, rescore, search_encoded
from uec_retriever.engine.words import Words
from uec_retriever.errors import InvalidInputError, ModelMismatchError
from uec_retriever.experts.ahead import embedded_ahead
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import Where
from uec_retriever.store.lexical.following import Progress
from uec_retriever.store.manifest import Manifest


class Searcher:
    """Experts and the texts that they embedded; safe under threads.

    Args:
        ensemble: experts and manifest.
        store: the collection.
        folder: of the index.
    """

    def __init__(self, ensemble: Ensemble, store: ChromaStore, folder: IndexFolder) -> None:
        self._ensemble = ensemble
        self._folder = folder
        self.words = Words(store, folder)
        self.store = store
        self._loads = 0  # the manifest may have changed since it was read

    @property
    def ensemble(self) -> Ensemble:
        """Experts and their calibration as of now; recalibration puts another one in its place."""
        return self._ensemble

    @property
    def manifest(self) -> Manifest:
        """What made the index."""
        return self._ensemble.manifest

    @property
    def experts(self) -> list[Expert]:
        """The loaded experts, in the order of the manifest."""
        return list(self._ensemble.experts)

    def count(self) -> int:
        """Number of texts."""
        return self.store.count()

    def pages(self) -> Iterator[list[Record]]:
        """All records that were there when it began, a page of up to 1,000 at a time."""
        return self.store.pages()

    def ids(self, where: Where | None = None) -> list[str]:
        """Ids of all records that match a filter, in the order they were added; of all if None."""
        return self.store.ids(where)

    def get(self, ids: Sequence[str] | None = None, where: Where | None = None) -> list[Record]:
        """Records by id, in that order, absent ones left out, or all; those that match a filter, if there is one.

        Raises:
            InvalidInputError: for what is no list of ids, or no filter.
        """
        if ids is None:
            return [record for page in self.store.pages(where) for record in page]
        return self.store.get(check_ids(ids), where)

    def check_options(
        self, k: int = 10, *, candidates: int | None = None, temperature: float | None = None
    ) -> None:
        """Refuse what `search` would refuse of its options, before there is a query.

        Args:
            k: hits.
            candidates: how many to fetch and rescore.
            temperature: T instead of the index's.

        Raises:
            InvalidInputError: for an option out of range.
        """
        SearchOptions(k, None, candidates)
        self._at(temperature)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
        expert_scores: bool = False,
    ) -> SearchResult:
        """The k best texts for a query.

        Args:
            query: non-empty.
            k: at least 1; more than there are texts gives them all.
            where: Chroma's metadata filter.
            candidates: how many to fetch and rescore, at least k; if None `max(30, 2 k)`, or as many as confidence needs.
            temperature: T for this query, instead of the index's (block layout only).
            expert_scores: have hits tell each expert's own score (`Hit.expert_scores`), at the cost of one more read.

        Raises:
            InvalidInputError: for an empty query, k < 1, or a filter Chroma cannot apply.
        """
        options: Any = {"where": where, "candidates": candidates, "temperature": temperature}
        return self.search_batch([query], k, **options, expert_scores=expert_scores)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
        expert_scores: bool = False,
    ) -> list[SearchResult]:
        """Search for many queries at once: the results of `search` for each, in less time.

        Args:
            queries: n non-empty texts; none gives no results.
            k: at least 1; more than there are texts gives them all.
            where: Chroma's metadata filter.
            candidates: how many to fetch and rescore, at least k; if None `max(30, 2 k)`, or as many as confidence needs.
            temperature: T for these queries, instead of the index's (block layout only).
            expert_scores: have hits tell each expert's own score (`Hit.expert_scores`), at the cost of one more read.

        Raises:
            InvalidInputError: for an empty query, k < 1, or a filter Chroma cannot apply.
        """
        queries, options = check_texts(queries, "query"), SearchOptions(k, where, candidates, expert_scores)
        ensemble, reason = self._at(temperature)
        if not queries:
            return []
        encoded, seconds = encode(ensemble, queries)
        search = functools.partial(
            search_encoded, ensemble, self.store, queries, encoded, options, seconds, reason
        )
        return self.words.using(ensemble.manifest.lexical, [[query] for query in queries], search)

    async def asearch(self, query: str, k: int = 10, **options: Any) -> SearchResult:
        """Search in a thread, so that the event loop goes on; embedding objects are asked by their asynchronous methods.

        Args:
            query: non-empty.
            k: at least 1.
            **options: `where`, `candidates`, `temperature` and `expert_scores` of `search`.
        """
        async with embedded_ahead(self.experts, check_texts([query], "query")):
            return await asyncio.to_thread(functools.partial(self.search, query, k, **options))

    def search_together(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
        expert_scores: bool = False,
    ) -> SearchResult:
        """One search for several texts that stand for one query, such as paraphrases or a hypothetical answer.

        The query is the mean of their Gaussians, taken as independent.

        Args:
            queries: at least one, non-empty.
            k: at least 1; more than there are texts gives them all.
            where: Chroma's metadata filter.
            candidates: how many to fetch and rescore, at least k; if None `max(30, 2 k)`, or as many as confidence needs.
            temperature: T for this query, instead of the index's (block layout only).
            expert_scores: have hits tell each expert's own score (`Hit.expert_scores`), at the cost of one more read.

        Raises:
            InvalidInputError: without texts, for an empty one, k < 1, or a filter Chroma cannot apply.
        """
        queries, options = check_texts(queries, "query"), SearchOptions(k, where, candidates, expert_scores)
        if not queries:
            raise InvalidInputError("there are no texts to search with: give at least one")
        ensemble, reason = self._at(temperature)
        encoded, seconds = encode(ensemble, queries, together=True)
        if len(queries) > 1:
            reason = "calibrated for searches with one text"
        search = functools.partial(
            search_encoded, ensemble, self.store, queries[:1], encoded, options, seconds, reason
        )
        return self.words.using(ensemble.manifest.lexical, [queries], search)[0]

    def search_embedding(
        self,
        embedding: Sequence[float] | Array,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        expert_scores: bool = False,
    ) -> SearchResult:
        """Search with a query embedding that `embed_queries` made, or a stored one.

        It has no words, and no variance of its own, so deviations are those of the texts alone, and there are no
        coefficients. One whose scores could exceed 1 is scaled down.

        Args:
            embedding: `[D]` in the layout of the index, finite.
            k: at least 1; more than there are texts gives them all.
            where: Chroma's metadata filter.
            candidates: how many to fetch and rescore, at least k; if None `max(30, 2 k)`, or as many as confidence needs.
            expert_scores: have hits tell each dense expert's own score (`Hit.expert_scores`).

        Raises:
            InvalidInputError: for what is no row of numbers, another dimension than the index's, NaN or infinity.
        """
        options, ensemble = SearchOptions(k, where, candidates, expert_scores), self._current()
        encoded = encoded_embedding(ensemble, embedding)
        reason = "calibrated for searches with a text, not with an embedding"
        return search_encoded(ensemble, self.store, [""], encoded, options, 0.0, reason, [None])[0]

    def embed_queries(self, queries: Sequence[str]) -> Array:
        """`[n, D]` what the index is searched with, float32: means weighted by their coefficients."""
        return self._current().encode_queries(check_texts(queries, "query")).gaussian.mean

    def embed_documents(self, texts: Sequence[str]) -> Array:
        """`[n, D]` what texts would be stored as, float32; they are not stored."""
        texts, ensemble = check_texts(texts), self._current()
        if not texts:
            return np.empty((0, ensemble.manifest.dimension), dtype=np.float32)
        return ensemble.encode_documents(texts).gaussian.mean

    def rescore(self, query: str, texts: Sequence[str], *, batch_size: int = 32) -> Rescoring:
        """Score texts of any origin with the uncertainty-aware similarity; they are not stored.

        Args:
            query: non-empty.
            texts: n non-empty texts, say, what another retriever found.
            batch_size: texts in one forward pass.

        Raises:
            InvalidInputError: for an empty query or text.
        """
        [query], texts, ensemble = check_texts([query], "query"), check_texts(texts), self._current()
        score = functools.partial(rescore, ensemble, query, texts, batch_size)
        return self.words.using(ensemble.manifest.lexical, [[query]], score)

    def index_words(self, progress: Progress | None = None) -> None:
        """Bring the lexical index up to the texts, as searching and adding do by themselves.

        Args:
            progress: called with the number of texts indexed since.
        """
        self.words.follow(self._current().manifest.lexical, progress)

    def vectors_by_id(self, ids: Sequence[str]) -> dict[str, Array]:
        """Id -> `[D]` stored mean, float32, of those records that are there."""
        return self.store.vectors(check_ids(ids))

    def _current(self) -> Ensemble:
        """The ensemble, calibrated as stored if another process has changed the index since.

        Raises:
            ModelMismatchError: if something else is there than what was opened.
        """
        loads = self.store.loads()
        if loads != self._loads:
            self._adopt(self.store.read_manifest())
            self._loads = loads
        return self._ensemble

    def _adopt(self, stored: Manifest) -> None:
        """Search from now on with the calibration that is stored, whoever stored it."""
        if stored.fingerprint != self.manifest.fingerprint:
            raise ModelMismatchError(
                "the index has been made anew with other experts or posteriors: open it again"
            )
        if stored != self.manifest or stored.generation > self.manifest.generation:
            self._ensemble = self._ensemble.with_manifest(stored)

    def _at(self, temperature: float | None) -> tuple[Ensemble, str | None]:
        """The ensemble at a temperature, and why that has no confidence, if so."""
        ensemble = self._current()
        if temperature is None or check_temperature(temperature) == ensemble.manifest.temperature:
            return ensemble, None
        other = ensemble.at_temperature(temperature)
        return other, f"calibrated for the temperature {ensemble.manifest.temperature:g}"
