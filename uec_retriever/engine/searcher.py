"""Searcher: an index that can be searched."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

from uec_retriever.data.texts import check_texts
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.grouping import GroupBy
from uec_retriever.engine.lexical import LexicalQuery
from uec_retriever.engine.queries import encode, encoded_embedding
from uec_retriever.engine.reader import Reader
from uec_retriever.engine.rescoring import rescore
from uec_retriever.engine.results import Abstain, Rescoring, SearchResult
from uec_retriever.engine.search import SearchOptions, search_encoded, why_no_confidence
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.ahead import embedded_ahead
from uec_retriever.gaussian import Array
from uec_retriever.store.connection import Where


class Searcher(Reader):
    """Experts and the texts that they embedded; safe under threads.

    Args:
        ensemble: experts and manifest.
        store: the collection.
        folder: of the index.
    """

    def check_options(self, k: int = 10, *, temperature: float | None = None, **options: Any) -> None:
        """Refuse what `search` would refuse of its options, before there is a query.

        Args:
            k: hits.
            temperature: T instead of the index's.
            **options: the others of `search`.

        Raises:
            InvalidInputError: for an option out of range, or that needs what is not calibrated.
            TypeError: for another option.
        """
        if unknown := options.keys() - SearchOptions.__dataclass_fields__.keys():
            raise TypeError(f"a search has no option {min(unknown)!r}")
        self._prepare(SearchOptions(k, **options), temperature)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
        expert_scores: bool = False,
        min_confidence: float | None = None,
        abstain: Abstain = "flag",
        min_relevance: float | None = None,
        coverage: float | None = None,
        max_k: int | None = None,
        group_by: GroupBy | None = None,
    ) -> SearchResult:
        """The k best texts for a query.

        Args:
            query: non-empty.
            k: at least 1; more than there are texts gives them all.
            where: Chroma's metadata filter.
            candidates: how many to fetch and rescore, at least k; if None `max(30, 2 k)`, or as many as confidence needs.
            temperature: T for this query, instead of the index's (block layout only).
            expert_scores: have hits tell each expert's own score (`Hit.expert_scores`), at the cost of one more read.
            min_confidence: abstain where the confidence is below it, in [0, 1]; None to never abstain.
            abstain: how: `flag` sets `SearchResult.abstained`, `empty` leaves out the hits too, `raise` raises.
            min_relevance: leave out hits of a lower `Hit.relevance`, in [0, 1]; None to keep all.
            coverage: how often a right text is to be among the hits, in (0, 1): there are as many as that needs instead of
                k, see `SearchResult.promise`. Needs `calibrate_coverage`.
            max_k: at most this many hits then; None for as many as are needed.
            group_by: `document` for k documents, each by the best of its pieces; None for texts as they are.

        Raises:
            LowConfidenceError: where it abstains, with `abstain="raise"`.
            InvalidInputError: for an empty query, k < 1, a filter Chroma cannot apply, a `min_confidence` or
                `min_relevance` where there is no confidence, or a `coverage` that is not calibrated.
            StorageError: if Chroma cannot be read, or words cannot where there is a `min_confidence` or `min_relevance`;
                other searches do without words then, and have no confidence.
        """
        options: Any = {"where": where, "candidates": candidates, "temperature": temperature}
        options |= {"expert_scores": expert_scores, "min_confidence": min_confidence, "abstain": abstain}
        options |= {"min_relevance": min_relevance, "coverage": coverage, "max_k": max_k}
        options |= {"group_by": group_by}
        return self.search_batch([query], k, **options)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
        expert_scores: bool = False,
        min_confidence: float | None = None,
        abstain: Abstain = "flag",
        min_relevance: float | None = None,
        coverage: float | None = None,
        max_k: int | None = None,
        group_by: GroupBy | None = None,
    ) -> list[SearchResult]:
        """Search for many queries at once: the results of `search` for each, in less time.

        Args:
            queries: n non-empty texts; none gives no results.
            k: at least 1; more than there are texts gives them all.
            where: Chroma's metadata filter.
            candidates: how many to fetch and rescore, at least k; if None `max(30, 2 k)`, or as many as confidence needs.
            temperature: T for these queries, instead of the index's (block layout only).
            expert_scores: have hits tell each expert's own score (`Hit.expert_scores`), at the cost of one more read.
            min_confidence: abstain where the confidence is below it, in [0, 1]; None to never abstain.
            abstain: how: `flag` sets `SearchResult.abstained`, `empty` leaves out the hits too, `raise` raises.
            min_relevance: leave out hits of a lower `Hit.relevance`, in [0, 1]; None to keep all.
            coverage: how often a right text is to be among the hits, in (0, 1): there are as many as that needs instead of
                k, see `SearchResult.promise`. Needs `calibrate_coverage`.
            max_k: at most this many hits then; None for as many as are needed.
            group_by: `document` for k documents, each by the best of its pieces; None for texts as they are.

        Raises:
            LowConfidenceError: for the first query where it abstains, with `abstain="raise"`; `flag` tells of all.
            InvalidInputError: for an empty query, k < 1, a filter Chroma cannot apply, a `min_confidence` or
                `min_relevance` where there is no confidence, or a `coverage` that is not calibrated.
            StorageError: if Chroma cannot be read, or words cannot where there is a `min_confidence` or `min_relevance`;
                other searches do without words then, and have no confidence.
        """
        options = SearchOptions(
            *(k, where, candidates, expert_scores, min_confidence, abstain),
            *(min_relevance, coverage, max_k, group_by),
        )
        queries = check_texts(queries, "query")
        ensemble, other = self._prepare(options, temperature)
        if not queries:
            return []
        encoded, seconds = encode(ensemble, queries)
        search = functools.partial(
            search_encoded, ensemble, self.store, queries, encoded, options, seconds, other
        )
        words, needed = [[query] for query in queries], options.needs_confidence
        return self.words.using(ensemble.manifest.lexical, words, search, needed=needed)

    async def asearch(self, query: str, k: int = 10, **options: Any) -> SearchResult:
        """Search in a thread, so that the event loop goes on; embedding objects are asked by their asynchronous methods.

        Args:
            query: non-empty.
            k: at least 1.
            **options: `where`, `candidates`, `temperature`, `expert_scores`, `min_confidence`, `abstain`,
                `min_relevance`, `coverage`, `max_k` and `group_by` of `search`.

        Raises:
            LowConfidenceError: where it abstains, with `abstain="raise"`.
            InvalidInputError: as `search` raises it; before anything is embedded for what is no matter of the query.
            TypeError: for another option.
        """
        return (await self.asearch_batch([query], k, **options))[0]

    async def asearch_batch(self, queries: Sequence[str], k: int = 10, **options: Any) -> list[SearchResult]:
        """Search for many queries in a thread, as `asearch` does for one.

        Args:
            queries: n non-empty texts; none gives no results.
            k: at least 1.
            **options: those of `search_batch`.

        Raises:
            LowConfidenceError: for the first query where it abstains, with `abstain="raise"`.
            InvalidInputError: as `search_batch` raises it; before anything is embedded for what is no matter of the queries.
            TypeError: for another option.
        """
        await asyncio.to_thread(functools.partial(self.check_options, k, **options))
        async with embedded_ahead(self.experts, check_texts(queries, "query")):
            return await asyncio.to_thread(functools.partial(self.search_batch, queries, k, **options))

    def search_together(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: int | None = None,
        temperature: float | None = None,
        expert_scores: bool = False,
        min_confidence: float | None = None,
        abstain: Abstain = "flag",
        min_relevance: float | None = None,
        coverage: float | None = None,
        max_k: int | None = None,
        group_by: GroupBy | None = None,
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
            min_confidence: abstain where the confidence is below it, in [0, 1]; None to never abstain.
            abstain: how: `flag` sets `SearchResult.abstained`, `empty` leaves out the hits too, `raise` raises.
            min_relevance: leave out hits of a lower `Hit.relevance`, in [0, 1]; None to keep all.
            coverage: how often a right text is to be among the hits, in (0, 1): there are as many as that needs instead of
                k, see `SearchResult.promise`. Needs `calibrate_coverage`.
            max_k: at most this many hits then; None for as many as are needed.
            group_by: `document` for k documents, each by the best of its pieces; None for texts as they are.

        Raises:
            LowConfidenceError: where it abstains, with `abstain="raise"`.
            InvalidInputError: without texts, for an empty one, k < 1, a filter Chroma cannot apply, a `min_confidence`
                or `min_relevance` for several texts, since these have no confidence, or a `coverage` that is not calibrated.
            StorageError: as `search` raises it.
        """
        options = SearchOptions(
            *(k, where, candidates, expert_scores, min_confidence, abstain),
            *(min_relevance, coverage, max_k, group_by),
        )
        queries = check_texts(queries, "query")
        if not queries:
            raise InvalidInputError("there are no texts to search with: give at least one")
        several = "calibrated for searches with one text: search with one" if len(queries) > 1 else None
        ensemble, other = self._prepare(options, temperature, several)
        encoded, seconds = encode(ensemble, queries, together=True)
        search = functools.partial(
            search_encoded, ensemble, self.store, queries[:1], encoded, options, seconds, other
        )
        needed = options.needs_confidence
        return self.words.using(ensemble.manifest.lexical, [queries], search, needed=needed)[0]

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
        other = "calibrated for searches with a text, not with an embedding"
        return search_encoded(ensemble, self.store, [""], encoded, options, 0.0, other, [None])[0]

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

        def score(words: Sequence[LexicalQuery | None], _: str | None) -> Rescoring:
            return rescore(ensemble, query, texts, batch_size, words)

        return self.words.using(ensemble.manifest.lexical, [[query]], score)

    def _prepare(
        self, options: SearchOptions, temperature: float | None, other: str | None = None
    ) -> tuple[Ensemble, str | None]:
        """The ensemble for a search, and what is other than at calibration; refuses what it cannot do before it encodes."""
        ensemble, another = self._at(temperature)
        why_no_confidence(ensemble, options, other or another)
        return ensemble, other or another
