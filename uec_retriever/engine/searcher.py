"""Searcher: an index that can be searched."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

from uec_retriever.data.texts import check_texts
from uec_retriever.engine.reader import Reader
from uec_retriever.engine.rescoring import rescore
from uec_retriever.engine.results import Abstain, Rescoring, SearchResult
from uec_retriever.engine.search import SearchOptions, encode, encoded_embedding, search_encoded
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
        min_confidence: float | None = None,
        abstain: Abstain = "flag",
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

        Raises:
            LowConfidenceError: where it abstains, with `abstain="raise"`.
            InvalidInputError: for an empty query, k < 1, a filter Chroma cannot apply, or a `min_confidence` where there is
                no confidence.
        """
        options: Any = {"where": where, "candidates": candidates, "temperature": temperature}
        options |= {"expert_scores": expert_scores, "min_confidence": min_confidence, "abstain": abstain}
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

        Raises:
            LowConfidenceError: where it abstains, with `abstain="raise"`.
            InvalidInputError: for an empty query, k < 1, a filter Chroma cannot apply, or a `min_confidence` where there is
                no confidence.
        """
        options = SearchOptions(k, where, candidates, expert_scores, min_confidence, abstain)
        queries = check_texts(queries, "query")
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
            **options: `where`, `candidates`, `temperature`, `expert_scores`, `min_confidence` and `abstain` of `search`.
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
        min_confidence: float | None = None,
        abstain: Abstain = "flag",
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

        Raises:
            LowConfidenceError: where it abstains, with `abstain="raise"`.
            InvalidInputError: without texts, for an empty one, k < 1, a filter Chroma cannot apply, or a `min_confidence`,
                since several texts have no confidence.
        """
        options = SearchOptions(k, where, candidates, expert_scores, min_confidence, abstain)
        queries = check_texts(queries, "query")
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
