"""UECRetriever: an index of uec-retriever as a retriever of LlamaIndex."""

from __future__ import annotations

import asyncio
import copy
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import (
    BaseNode,
    Document,
    IndexNode,
    NodeWithScore,
    QueryBundle,
    TransformComponent,
)
from llama_index.core.vector_stores.types import MetadataFilters
from llama_index.retrievers.uec.changing import NodeIndex, split
from llama_index.retrievers.uec.content_ids import with_content_ids
from llama_index.retrievers.uec.extras import annotated, check_include
from llama_index.retrievers.uec.filters import chroma_filter
from llama_index.retrievers.uec.nodes import node_of, records_of
from llama_index.retrievers.uec.options import BuildOptions, RetrieverOptions, revealed, split_options
from pydantic import SecretStr

from uec_retriever import Engine, Expert, SearchResult
from uec_retriever.errors import InvalidInputError

logger = logging.getLogger(__name__)
_SAME = 0.999  # cosine above which two embeddings are one


class UECRetriever(NodeIndex, BaseRetriever):
    """Retrieves with several embedding models at once, weighted per query by how sure each one is.

    Scores lie in [0, 1], higher is better. Nodes come back whole, with nothing of ours in their metadata
    unless `include` asks for it.

    Args:
        index: folder of an index; or give `engine`.
        engine: an open index.
        similarity_top_k: how many nodes to retrieve.
        filters: on metadata, see `chroma_filter`.
        candidates: how many to fetch and rescore; `max(30, 2 similarity_top_k)` if None.
        similarity_cutoff: drop nodes of a lower score.
        temperature: T of the coefficients for every query, instead of the index's.
        include: any of `score`, `raw_score`, `deviation`, `coefficients`, `confidence`: put into the metadata of
            returned nodes as `uec_score` and so on, hidden from LLM and embedding model.
        trust_query_embedding: search with the embedding in a `QueryBundle` if it has the index's dimension,
            instead of encoding its text.
        experts: expert label -> where its model is now, or a loaded expert.
        device: torch device for the experts.
        trust_remote_code: passed to the models. Off unless you say so.
        url: of a Chroma server; embedded in the folder if absent.
        headers: for the server.
        client: a Chroma client of your own, instead of `url`.
        collection: name of the Chroma collection.
        callback_manager: of LlamaIndex.
        object_map: index id -> object, for retrieved `IndexNode`s to lead on to.
        objects: `IndexNode`s that hold such objects, instead of `object_map`.
        verbose: print what recursive retrieval does.

    Raises:
        InvalidInputError: for arguments that cannot be used, a filter that Chroma cannot express.
        UECError: as `Engine.open`.
    """

    def __init__(
        self,
        index: str | Path | None = None,
        *,
        engine: Engine | None = None,
        similarity_top_k: int = 2,
        filters: MetadataFilters | None = None,
        candidates: int | None = None,
        similarity_cutoff: float | None = None,
        temperature: float | None = None,
        include: Sequence[str] = (),
        trust_query_embedding: bool = False,
        experts: Mapping[str, str | Path | Expert] | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        url: str | None = None,
        headers: Mapping[str, str | SecretStr] | None = None,
        client: Any = None,
        collection: str | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self.candidates = candidates
        self.similarity_cutoff = similarity_cutoff
        self.temperature = temperature
        self.include = check_include(include)
        self.trust_query_embedding = trust_query_embedding
        chroma_filter(filters)
        opening: dict[str, Any] = {
            "experts": experts,
            "device": device,
            "trust_remote_code": trust_remote_code,
            "url": url,
            "headers": revealed(headers),
            "client": client,
            "collection": collection,
        }
        self.engine = _engine(
            index, engine, {name: v for name, v in opening.items() if v not in (None, False)}
        )
        self.engine.check_options(similarity_top_k, candidates=candidates, temperature=temperature)
        self._said: set[str] = set()
        super().__init__(callback_manager, object_map, objects, verbose)

    @classmethod
    def class_name(cls) -> str:
        """Name for LlamaIndex."""
        return "UECRetriever"

    @classmethod
    def from_nodes(
        cls,
        nodes: Sequence[BaseNode],
        experts: Sequence[Expert | str | Path] | None = None,
        path: str | Path | None = None,
        *,
        update: bool = False,
        content_ids: bool = False,
        **options: Unpack[BuildOptions],
    ) -> UECRetriever:
        """Make an index of nodes, or add them to the one that is there.

        Args:
            nodes: see `add_nodes`.
            experts: loaded, or by hub id or folder. An index that is there needs none.
            path: folder of the index; a temporary one, gone with the retriever, if None.
            update: as `add_nodes`.
            content_ids: as `add_nodes`.
            **options: as the class and `Engine.open_or_create`; `temperature` is the class's.

        Raises:
            InvalidInputError: for a node that cannot be stored, before anything is made.
            UECError: as `Engine.open_or_create`.
        """
        searching, making = split_options(options)
        check_include(searching.get("include", ()))
        chroma_filter(searching.get("filters"))
        nodes = with_content_ids(nodes) if content_ids else list(nodes)
        records = records_of(nodes)
        engine = Engine.open_or_create(path, experts, texts=(r.text for r in records), **making)
        retriever = cls(engine=engine, **searching)
        retriever._add(nodes, records, update=update, batch_size=options.get("batch_size", 32))
        return retriever

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        experts: Sequence[Expert | str | Path] | None = None,
        path: str | Path | None = None,
        *,
        transformations: Sequence[TransformComponent] | None = None,
        update: bool = False,
        content_ids: bool = True,
        **options: Unpack[BuildOptions],
    ) -> UECRetriever:
        """Make an index of documents, or add them to the one that is there.

        Args:
            documents: see `add_documents`.
            experts: as `from_nodes`.
            path: as `from_nodes`.
            transformations: as `add_documents`.
            update: as `add_documents`.
            content_ids: as `add_documents`.
            **options: as `from_nodes`.
        """
        nodes = split(documents, transformations, content_ids)
        retriever = cls.from_nodes(nodes, experts, path, update=update, **options)
        if update:
            retriever._delete_stale(nodes)
        return retriever

    def with_options(self, **options: Unpack[RetrieverOptions]) -> UECRetriever:
        """A retriever over the same engine with some arguments changed, say, `filters` for one request."""
        searching, other = split_options(options)
        if other:
            raise TypeError(f"{next(iter(other))!r} belongs to the index: make another retriever")
        changed = copy.copy(self)
        current = {
            name: getattr(self, name) for name in RetrieverOptions.__annotations__ if hasattr(self, name)
        }
        UECRetriever.__init__(
            changed, engine=self.engine, **{**current, "verbose": self._verbose, **searching}
        )
        return changed

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        result = self._search(query_bundle)
        found = []
        for hit in result:
            if self.similarity_cutoff is not None and hit.score < self.similarity_cutoff:
                continue
            known: dict[str, Any] = {
                "score": hit.score,
                "raw_score": hit.raw_score,
                "deviation": hit.deviation,
                "coefficients": result.coefficients,
                "confidence": result.confidence,
            }
            node = node_of(hit.id, hit.text, hit.metadata, hit.payload)
            node = annotated(node, {name: known[name] for name in self.include})
            # LlamaIndex takes 0.0 for no score at all, and that for 1.0, where an IndexNode leads on
            score = max(hit.score, sys.float_info.min) if isinstance(node, IndexNode) else hit.score
            found.append(NodeWithScore(node=node, score=score))
        return found

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def _search(self, bundle: QueryBundle) -> SearchResult:
        where, k = chroma_filter(self.filters), self.similarity_top_k
        texts, embedding = bundle.embedding_strs, bundle.embedding
        has_text = any(text.strip() for text in texts)
        right_size = embedding is not None and len(embedding) == self.engine.manifest.dimension
        trusted = self.trust_query_embedding and right_size
        if embedding is not None and (trusted or not has_text):
            return self.engine.search_embedding(embedding, k, where=where, candidates=self.candidates)
        result = self.engine.search_together(
            texts or [bundle.query_str],
            k,
            where=where,
            candidates=self.candidates,
            temperature=self.temperature,
        )
        if (
            embedding is not None
            and not _is_same(result.embedding, embedding)
            and "embedding" not in self._said
        ):
            self._said.add("embedding")
            logger.warning(
                "the query came with an embedding (%d dimensions) that is not what this index's experts make of "
                "its text, so the text was used; trust_query_embedding=True searches with the embedding, if it has %d",
                len(embedding),
                self.engine.manifest.dimension,
            )
        return result


def _engine(index: str | Path | None, engine: Engine | None, opening: dict[str, Any]) -> Engine:
    if (index is None) == (engine is None):
        raise InvalidInputError("give the folder of an index or an engine, one of them")
    if index is not None:
        return Engine.open(index, **opening)
    assert engine is not None
    if not isinstance(engine, Engine):
        raise InvalidInputError(f"engine is a {type(engine).__name__}: give a uec_retriever.Engine")
    if opening:
        raise InvalidInputError(f"the engine is open already: leave {sorted(opening)[0]!r} out")
    return engine


def _is_same(one: Any, other: Sequence[float]) -> bool:
    ours, given = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if ours.shape != given.shape:
        return False
    norms = float(np.linalg.norm(ours) * np.linalg.norm(given))
    return norms > 0 and float(ours @ given) >= _SAME * norms
