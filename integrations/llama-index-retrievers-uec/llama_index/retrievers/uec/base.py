"""UECRetriever: an index of uec-retriever as a retriever of LlamaIndex."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import (
    BaseNode,
    Document,
    NodeWithScore,
    QueryBundle,
    TransformComponent,
)
from llama_index.retrievers.uec.annotate import annotate
from llama_index.retrievers.uec.content_ids import with_content_ids
from llama_index.retrievers.uec.node_index import NodeIndex, split_documents
from llama_index.retrievers.uec.nodes import check_nodes, node_of, records_of, score_of
from llama_index.retrievers.uec.query_embedding import search_bundle
from llama_index.retrievers.uec.retriever_options import (
    RetrieverOptions,
    SearchFields,
    check_options,
)

from uec_retriever import Engine, Location, Recipe
from uec_retriever.data.records import Record, check_not_empty
from uec_retriever.data.truncation import warn_of_cut_query
from uec_retriever.engine.choice import choose_engine
from uec_retriever.engine.closing import Closes
from uec_retriever.engine.diversity import choose_diverse
from uec_retriever.engine.existing import Existing, accepts_update, check_existing
from uec_retriever.engine.results import check_include
from uec_retriever.experts.ahead import embedded_ahead
from uec_retriever.experts.expert import ExpertLike

_MAKING = (
    "experts",
    "location",
    "recipe",
    "existing",
    "content_ids",
    "device",
    "batch_size",
    "show_progress",
)


class _Making(TypedDict):
    """How `Engine.open_or_create` is to make an index."""

    device: str | None
    batch_size: int
    progress: bool


class UECRetriever(Closes, NodeIndex, SearchFields, BaseRetriever):
    """Retrieves with words and several embedding models at once, weighted per query by how sure each one is.

    Scores lie in [0, 1], higher is better. Nodes come back whole, with nothing of ours in their metadata
    unless `include` asks for it. A context manager: `close` lets go of the index that it opened. Pickled, it opens
    the index again where it is; neither headers nor a client are in the pickle.

    Args:
        index: folder of an index, or a `Location` (a Chroma server, a client, a collection); or give `engine`.
        engine: an open index: `Engine.open` takes models that have moved, and `experts={label: BaseEmbedding}`.
        device: torch device for the experts; sentence-transformers' choice if None.
        similarity_top_k: how many nodes to retrieve.
        filters: on metadata, see `chroma_filter`.
        candidates: how many to fetch from Chroma and rescore; `max(30, 2 similarity_top_k)` if None. `fetch_k` is
            taken for it.
        similarity_cutoff: drop nodes of a lower score, in [0, 1].
        temperature: T >= 0 of the coefficients for every query, instead of the index's.
        min_confidence: abstain where the confidence that a right answer was found is below it, in [0, 1]. It needs
            `engine.calibrate_confidence()`, and a search with one text and without filters.
        abstain: how: `flag` tells in the metadata, if `include` has `abstained`; `empty` gives no nodes; `raise` raises
            `LowConfidenceError`.
        min_relevance: leave out nodes whose probability of being a right text is below it, in [0, 1]: what a score means for
            every query. It needs what `min_confidence` needs.
        coverage: how often a right text is to be among the nodes, in (0, 1): as many as that needs, instead of `similarity_top_k`.
            It needs `engine.calibrate_coverage`; whether it holds for a query is in `include`'s `promise`.
        max_k: at most this many nodes, with `coverage`.
        group_by: `document` for documents, each by the best of its nodes.
        no_evidence: a sentence for the language model where there are no nodes, such as with `abstain="empty"`: the text
            of the one node that is given then, of the score 0 and the id `NO_EVIDENCE_ID`. For the last retriever before the
            prompt: one that fuses several, or drops low scores, takes it for a node like others.
        mmr_threshold: nodes that also differ from each other (maximal marginal relevance), from 0, most different, to 1, best
            match, chosen from the `candidates` best; None for the best.
        include: any of `score`, `raw_score`, `deviation`, `coefficients`, `expert_scores` (each expert's own similarity,
            see `Hit.expert_scores`), `matched` (`[start, end]` of each place in the node's text that has words of the
            query, for citations), `confidence` (None where it is not calibrated, as under filters),
            `confidence_reason` (why there is none), `verdict` (the confidence in words), `abstained` (whether it is
            below `min_confidence`), `relevance` (probability that the node is a right one) and `promise` (what `coverage`
            rests on): put into the metadata of returned nodes as `uec_score` and so on, hidden from LLM
            and embedding model.
        trust_query_embedding: search with the embedding in a `QueryBundle` if it has the index's dimension,
            instead of encoding its text.
        callback_manager: of LlamaIndex.
        object_map: index id -> object, for retrieved `IndexNode`s to lead on to.
        objects: `IndexNode`s that hold such objects, instead of `object_map`.
        verbose: print what recursive retrieval does.

    Raises:
        InvalidInputError: for arguments that cannot be used, a filter that Chroma cannot express, or unless one of
            index and engine is given.
        NotAnIndexError: if there is no index of ours.
        ModelNotFoundError: if a model is gone.
        ModelMismatchError: if a model is not the one that made the index.
    """

    def __init__(
        self,
        index: str | Path | Location | None = None,
        *,
        engine: Engine | None = None,
        device: str | None = None,
        **options: Unpack[RetrieverOptions],
    ) -> None:
        options = check_options("UECRetriever", options, ("index", "engine", "device"))
        given: dict[str, Any] = {**options, "include": check_include(options.get("include", ()))}
        for name in SearchFields.__annotations__:
            setattr(self, name, given.pop(name, getattr(SearchFields, name)))
        self._owns_engine = engine is None
        self.engine = choose_engine(engine, index, device=device)
        self.engine.check_options(temperature=self.temperature)  # as far as it is the index that decides
        self._said: set[str] = set()
        super().__init__(**given)

    @classmethod
    def class_name(cls) -> str:
        """Name for LlamaIndex."""
        return "UECRetriever"

    @classmethod
    @accepts_update
    def from_nodes(
        cls,
        nodes: Sequence[BaseNode],
        experts: Sequence[ExpertLike] | None = None,
        location: str | Path | Location | None = None,
        recipe: Recipe | None = None,
        *,
        existing: Existing = "replace",
        content_ids: bool = False,
        device: str | None = None,
        batch_size: int = 32,
        show_progress: bool = False,
        **options: Unpack[RetrieverOptions],
    ) -> UECRetriever:
        """Make an index of nodes, or add them to the one that is there.

        Args:
            nodes: with text and flat metadata.
            experts: names, experts, `BaseEmbedding`s, functions (see `Expert.of`). An index that is there needs no names.
            location: folder of the index, or a `Location`; a temporary folder, gone with the retriever, if None.
            recipe: pairs, posteriors, structure, layout, temperature, lexical (words); one that is there must agree.
            existing: what becomes of a node whose id is there with other content: the new one takes its place (`replace`),
                the call is refused (`refuse`), or the one that is there stays (`skip`).
            content_ids: ids from the content instead of the nodes' own: for nodes whose ids are others in every
                process, such as tool nodes. Relationships among the nodes follow.
            device: torch device for the experts; sentence-transformers' choice if None.
            batch_size: texts in one forward pass.
            show_progress: show a bar for fitting and adding that takes over two seconds.
            **options: of the retriever, from `similarity_top_k` on; `temperature` is that of its queries.

        Raises:
            InvalidInputError: for a node that cannot be stored, before anything is made; if there is no index and no
                expert, or it was made otherwise than asked.
            ModelMismatchError: if the index that is there was made with other experts.
            IdConflictError: if one id stands for two different nodes, or is there with other content and `existing` is
                `refuse`.
        """
        options = check_options("from_nodes", options, ("nodes", *_MAKING))
        check_existing(existing)
        nodes = with_content_ids(nodes) if content_ids else check_nodes(nodes)
        making: _Making = {"device": device, "batch_size": batch_size, "progress": show_progress}
        retriever, records = cls._open(nodes, experts, location, recipe, making, **options)
        retriever._add(nodes, records, existing=existing, batch_size=batch_size, progress=show_progress)
        return retriever

    @classmethod
    @accepts_update
    def from_documents(
        cls,
        documents: Sequence[Document],
        experts: Sequence[ExpertLike] | None = None,
        location: str | Path | Location | None = None,
        recipe: Recipe | None = None,
        *,
        transformations: Sequence[TransformComponent] | None = None,
        existing: Existing = "replace",
        content_ids: bool = True,
        device: str | None = None,
        batch_size: int = 32,
        show_progress: bool = False,
        **options: Unpack[RetrieverOptions],
    ) -> UECRetriever:
        """Split documents into nodes and make an index of these, or add them to the one that is there.

        Args:
            documents: give them ids that last to replace or delete them later.
            experts: names, experts, `BaseEmbedding`s, functions (see `Expert.of`). An index that is there needs no names.
            location: folder of the index, or a `Location`; a temporary folder, gone with the retriever, if None.
            recipe: pairs, posteriors, structure, layout, temperature, lexical (words); one that is there must agree.
            transformations: a node parser and whatever else; those of `Settings` if None.
            existing: what becomes of a document that is there with other content: its new nodes take the place of all its
                old ones (`replace`), the call is refused (`refuse`), or the one that is there stays (`skip`).
            content_ids: node ids from the content, so that adding a document again changes nothing; documents
                with a random id get one from their content as well.
            device: torch device for the experts; sentence-transformers' choice if None.
            batch_size: texts in one forward pass.
            show_progress: show a bar for fitting and adding that takes over two seconds.
            **options: of the retriever, from `similarity_top_k` on; `temperature` is that of its queries.

        Raises:
            InvalidInputError: for a node that cannot be stored, before anything is made; if there is no index and no
                expert, or it was made otherwise than asked.
            ModelMismatchError: if the index that is there was made with other experts.
            IdConflictError: if one id stands for two different nodes, or is there with other content and `existing` is
                `refuse`.
        """
        options = check_options("from_documents", options, ("documents", "transformations", *_MAKING))
        check_existing(existing)
        nodes = split_documents(documents, transformations, content_ids)
        making: _Making = {"device": device, "batch_size": batch_size, "progress": show_progress}
        retriever, records = cls._open(nodes, experts, location, recipe, making, **options)
        retriever._add(
            nodes, records, whole=True, existing=existing, batch_size=batch_size, progress=show_progress
        )
        return retriever

    @classmethod
    def _open(
        cls,
        nodes: Sequence[BaseNode],
        experts: Sequence[ExpertLike] | None,
        location: str | Path | Location | None,
        recipe: Recipe | None,
        making: _Making,
        **options: Unpack[RetrieverOptions],
    ) -> tuple[UECRetriever, list[Record]]:
        """A retriever over the index that is there, or over one made for nodes, and what that stores of them."""
        records = records_of(nodes)
        check_not_empty(records)
        texts = (r.text for r in records)
        engine = Engine.open_or_create(location, experts, recipe, texts=texts, **making)
        retriever = cls(engine=engine, **options)
        retriever._owns_engine = True
        return retriever, records

    def close(self) -> None:
        """Close the index, for deep copies too; an engine that was given stays open."""
        if self._owns_engine:
            self.engine.close()

    def with_options(self, **options: Unpack[RetrieverOptions]) -> UECRetriever:
        """A retriever over the same engine with some options changed, say, `filters` for one request.

        Args:
            **options: of the retriever, from `similarity_top_k` on.

        Raises:
            TypeError: for anything else: what belongs to the index needs another retriever.
        """
        options = check_options("with_options", options)
        changed = copy.copy(self)
        current: Any = {
            name: vars(self)[name] for name in RetrieverOptions.__annotations__ if name in vars(self)
        }
        merged: RetrieverOptions = {**current, "verbose": self._verbose, **options}
        UECRetriever.__init__(changed, engine=self.engine, **merged)
        return changed

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        options, trust = self._engine_options(), self.trust_query_embedding
        result = search_bundle(self.engine, query_bundle, options, trust=trust, said=self._said)
        warn_of_cut_query(result.truncated)
        if self.mmr_threshold is not None:
            good = result.best(self.similarity_cutoff)
            hits = choose_diverse(self.engine, good, self.similarity_top_k, self.mmr_threshold)
            result = replace(result, hits=hits)
        found = []
        for hit in result.best(self.similarity_cutoff, self.no_evidence):
            node = node_of(hit.id, hit.text, hit.metadata, hit.payload)
            node = annotate(node, result.extras(hit, self.include), self.include)
            found.append(NodeWithScore(node=node, score=score_of(node, hit.score)))
        return found

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        queries = [] if query_bundle.embedding else [query_bundle.query_str]
        if queries:
            await asyncio.to_thread(functools.partial(self.engine.check_options, **self._engine_options()))
        async with embedded_ahead(self.engine.experts, queries):
            return await asyncio.to_thread(self._retrieve, query_bundle)
