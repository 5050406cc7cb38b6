"""UECRetriever: an index of uec-retriever as a LangChain retriever."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import LangSmithRetrieverParams
from pydantic import ConfigDict

from langchain_uec.changing import ChangesDocuments
from langchain_uec.documents import make_records, split_documents, to_documents
from langchain_uec.engines import add_records, make_engine
from langchain_uec.search_fields import SearchFields, check_search_fields, engine_options
from langchain_uec.together import SearchesTogether, take_together
from langchain_uec.tools import FindsTools
from uec_retriever.data.records import check_not_empty
from uec_retriever.data.truncation import warn_of_cut_query
from uec_retriever.engine.existing import Existing, check_existing
from uec_retriever.engine.location import Location
from uec_retriever.engine.options import with_candidates
from uec_retriever.engine.results import Extra, check_include

if TYPE_CHECKING:
    from langchain_uec.engines import Experts
    from uec_retriever import Recipe, SearchResult


class UECRetriever(SearchFields, ChangesDocuments, FindsTools, SearchesTogether):
    """Searches with words and several embedding models at once, weighted per query by how sure each one is.

    From `k` to `no_evidence`, everything below can be given for one call too:
    `retriever.invoke("query", k=3, filter={"year": {"$gte": 2020}})`. What is None there comes from the
    retriever; `filter={}` lifts its filter, `min_confidence=0` its confidence. Safe under threads; asynchronous calls
    do not block the event loop. A context manager: `close` lets go of the index that it opened.

    Example:
        ```python
        retriever = UECRetriever.from_texts(texts, ["sentence-transformers/all-MiniLM-L6-v2"], "idx")
        retriever = UECRetriever(index="idx", k=5, include=["score", "deviation"])
        for document in retriever.invoke("what is a boundary layer?"):
            print(document.metadata["uec_score"], document.id, document.page_content)
        ```

    Attributes:
        index: folder of the index, or a `Location` (a Chroma server, a client, a collection); or give `engine`.
        engine: open engine, shared; never serialised.
        experts: expert label -> where its model is now, if it has moved; or the loaded expert or `UAEEmbedding`, for a
            model that needs `trust_remote_code` or other options.
        device: torch device of the experts; sentence-transformers' choice if None.
        k: at most this many documents, best first.
        filter: Chroma's metadata filter.
        score_threshold: leave out documents whose score is lower; scores lie in [0, 1], higher is better.
        candidates: how many to fetch from Chroma and rescore; `max(30, 2 k)` if None. `fetch_k` is taken for it.
        temperature: T >= 0 of the coefficients instead of the index's own; low trusts the surest expert alone.
        min_confidence: abstain where the confidence that a right answer was found is below it, in [0, 1]. It needs
            `engine.calibrate_confidence()`, and a search without filter.
        abstain: how: `flag` tells under `uec_abstained`, if `include` has `abstained`; `empty` gives no documents;
            `raise` raises `LowConfidenceError`, for `with_fallbacks`.
        min_relevance: leave out documents whose probability of being a right text is below it, in [0, 1]: what a score means for
            every query. It needs what `min_confidence` needs.
        coverage: how often a right text is to be among the documents, in (0, 1): as many as that needs, instead of `k`.
            It needs `engine.calibrate_coverage`; whether it holds for a query is in `include`'s `promise`.
        max_k: at most this many documents, with `coverage`; a call's own `k` goes before both.
        group_by: `document` for k whole documents, each by the best of the pieces that `uec index` split it into.
        no_evidence: a sentence for the language model where there are no documents, such as with `abstain="empty"`:
            the text of the one document that is given then, whose id is `NO_EVIDENCE_ID`. For the last retriever before the
            prompt: one that fuses several takes it for a document like others.
        include: values to add to the metadata, any of

            - `score` under `uec_score`: in [0, 1], higher is better;
            - `raw_score` under `uec_raw_score`: the uncertainty-aware similarity, in [-1, 1];
            - `deviation` under `uec_deviation`: standard deviation of that similarity (half of it is the score's);
            - `coefficients` under `uec_coefficients`: expert label -> share of trust, of the query; `words` is one of
              them, unless the index has none;
            - `expert_scores` under `uec_expert_scores`: expert label -> its own similarity with the document, see
              `Hit.expert_scores`;
            - `matched` under `uec_matched`: `[start, end]` of each place in `page_content` that has words of the
              query, in order, for citations;
            - `confidence` under `uec_confidence`: probability that a right answer was found, of the query; None
              where it is not calibrated: under a filter, for another temperature or other candidates;
            - `confidence_reason` under `uec_confidence_reason`: why there is no confidence; None if there is one;
            - `verdict` under `uec_verdict`: the confidence in words, see `SearchResult.verdict`; None without one;
            - `abstained` under `uec_abstained`: whether the confidence is below `min_confidence`;
            - `relevance` under `uec_relevance`: probability that the document is a right one; None without a confidence;
            - `promise` under `uec_promise`: what `coverage` rests on, and whether it holds, see `CoveragePromise`.

    Raises:
        InvalidInputError: for an option out of range, or if neither index nor engine is given.
        NotAnIndexError: if there is no index of ours.
        ModelMismatchError: if a model is not the one that made the index.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    include: Sequence[Extra] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**with_candidates(options))
        self.engine.check_options(temperature=self.temperature)  # as far as it is the index that decides

    @classmethod
    def _check_values(cls, options: Mapping[str, Any]) -> None:
        check_include(options.get("include", ()))
        check_search_fields(options)

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        experts: Experts | None = None,
        location: str | Path | Location | None = None,
        recipe: Recipe | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        existing: Existing = "replace",
        device: str | None = None,
        batch_size: int = 32,
        show_progress: bool = False,
        **options: Any,
    ) -> Self:
        """Make an index of texts, or add them to the one that is there; the same id replaces.

        Args:
            texts: non-empty strings.
            experts: names of models, loaded experts or other `Embeddings`; an index that is there needs none.
            location: folder of the index, or a `Location`; a temporary folder, gone with the retriever, if None.
            recipe: pairs, posteriors, structure, layout, temperature, lexical (words); one that is there must agree.
            ids: one for each text; where None, made from text and metadata.
            metadatas: one for each text, flat, see `uec_retriever.data.records.check_metadata`.
            existing: what becomes of a text whose id is there with other content: the new one takes its place (`replace`),
                the call is refused (`refuse`), or the one that is there stays (`skip`).
            device: torch device of the experts; sentence-transformers' choice if None.
            batch_size: texts in one forward pass.
            show_progress: show a bar for fitting and adding that takes over two seconds.
            **options: of the retriever, from `k` to `include`, and LangChain's `name`, `tags`, `metadata`;
                `temperature` is that of its queries.

        Raises:
            InvalidInputError: for a bad text, id, metadata or option; if there is no index and no expert, or it was
                made otherwise than asked.
            ModelMismatchError: if the index that is there was made with other experts.
        """
        options = with_candidates(options)
        cls._check_options(options, "from_texts")
        check_existing(existing)
        records, _ = make_records(texts, ids, metadatas)
        check_not_empty(records)
        engine, fields = make_engine(
            experts,
            (r.text for r in records),
            location,
            recipe,
            device=device,
            batch_size=batch_size,
            show_progress=show_progress,
        )
        retriever = cls(**fields, **options)
        retriever._owns_engine = True
        add_records(engine, records, batch_size, existing, show_progress)
        return retriever

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        experts: Experts | None = None,
        location: str | Path | Location | None = None,
        recipe: Recipe | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        existing: Existing = "replace",
        device: str | None = None,
        batch_size: int = 32,
        show_progress: bool = False,
        **options: Any,
    ) -> Self:
        """Make an index of documents, or add them to the one that is there; the same id replaces.

        Args:
            documents: with or without ids; without, one is made from text and metadata.
            experts: names of models, loaded experts or other `Embeddings`; an index that is there needs none.
            location: folder of the index, or a `Location`; a temporary folder, gone with the retriever, if None.
            recipe: pairs, posteriors, structure, layout, temperature, lexical (words); one that is there must agree.
            ids: instead of the documents' own.
            existing: what becomes of a text whose id is there with other content: the new one takes its place (`replace`),
                the call is refused (`refuse`), or the one that is there stays (`skip`).
            device: torch device of the experts; sentence-transformers' choice if None.
            batch_size: texts in one forward pass.
            show_progress: show a bar for fitting and adding that takes over two seconds.
            **options: of the retriever, from `k` to `include`, and LangChain's `name`, `tags`, `metadata`;
                `temperature` is that of its queries.

        Raises:
            InvalidInputError: for a bad text, id, metadata or option; if there is no index and no expert, or it was
                made otherwise than asked.
            ModelMismatchError: if the index that is there was made with other experts.
        """
        cls._check_options(options, "from_documents")
        texts, named, metadatas = split_documents(documents, ids)
        return cls.from_texts(
            texts,
            experts,
            location,
            recipe,
            ids=named,
            metadatas=metadatas,
            existing=existing,
            device=device,
            batch_size=batch_size,
            show_progress=show_progress,
            **options,
        )

    # the query by position alone: another one, by keyword, is then an unknown option like others
    def _get_relevant_documents(  # type: ignore[override]
        self, query: str, /, *, run_manager: CallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        together, options = take_together(given), self._for_call(given)
        search = functools.partial(self.engine.search_batch, **self._engine_options(options))
        return self._to_documents(together.find(query, search), options)

    async def _aget_relevant_documents(  # type: ignore[override]
        self, query: str, /, *, run_manager: AsyncCallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        together, options = take_together(given), self._for_call(given)
        search = functools.partial(self.engine.asearch_batch, **self._engine_options(options))
        return self._to_documents(await together.afind(query, search), options)

    def _engine_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        asked = {**engine_options(options), "expert_scores": "expert_scores" in self.include}
        # of several queries that are searched together, each raises its own
        return {**asked, "abstain": "flag"} if asked["abstain"] == "raise" else asked

    def _to_documents(self, result: SearchResult, options: Mapping[str, Any]) -> list[Document]:
        from uec_retriever.engine.abstention import abstaining  # imports chromadb

        result = abstaining(result, options["min_confidence"], options["abstain"])
        warn_of_cut_query(result.truncated)
        return to_documents(result, self.include, options["score_threshold"], options["no_evidence"])

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = "Chroma"
        params["ls_embedding_provider"] = "uec"
        params["ls_embedding_model"] = "+".join(self.engine.ensemble.labels)
        return params
