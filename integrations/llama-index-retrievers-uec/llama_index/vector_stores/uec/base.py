"""UECVectorStore: an index of uec-retriever as a vector store of LlamaIndex."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.retrievers.uec.nodes import check_nodes, node_of, records_of
from llama_index.vector_stores.uec.queries import run_query, where_of
from llama_index.vector_stores.uec.store_embedding import StoreEmbedding
from pydantic import ValidationError

from uec_retriever import Engine, Location, Recipe
from uec_retriever.data.records import SOURCE_KEY
from uec_retriever.engine.choice import choose_engine
from uec_retriever.engine.closing import Closes
from uec_retriever.engine.copies import explaining_lost_headers
from uec_retriever.engine.options import refuse_unknown, refuse_validation
from uec_retriever.errors import InvalidInputError
from uec_retriever.experts.ahead import embedded_ahead
from uec_retriever.experts.expert import ExpertLike

logger = logging.getLogger(__name__)


class UECVectorStore(Closes, BasePydanticVectorStore):
    """Stores nodes and searches them with words and several embedding models at once; it embeds by itself.

    Opens the index, or makes an empty one. Where LlamaIndex wants an embedding model, give `embed_model`, which leaves
    embedding to the store. Scores lie in [0, 1], higher is better. A node whose id is there replaces it. What is added is
    stored at once, so that there is nothing to persist. A context manager: `close` lets go of the index that it opened.

    Example:
        ```python
        store = UECVectorStore("idx", ["sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5"])
        IngestionPipeline(transformations=[splitter, store.embed_model], vector_store=store).run(documents=documents)
        index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
        index.as_retriever(similarity_top_k=5, vector_store_query_mode="mmr")
        ```

    Args:
        index: folder of an index, or a `Location` (a Chroma server, a client, a collection); a temporary folder, gone with
            the store, if None.
        experts: names, experts, `BaseEmbedding`s, functions (see `Expert.of`). An index that is there needs no names.
        engine: an open index, instead of everything else here.
        recipe: pairs, posteriors, structure, layout, temperature, lexical (words); one that is there must agree.
        texts: of your corpus, to calibrate a new index on if the recipe has no pairs; documentation of the Python standard
            library if too few.
        device: torch device for the experts; sentence-transformers' choice if None.
        show_progress: show a bar for fitting and adding that takes over two seconds.
        batch_size: texts in one forward pass.

    Raises:
        InvalidInputError: for arguments that cannot be used; if there is no index and no expert, or it was made otherwise
            than asked.
        ModelMismatchError: if the index was made with other experts.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    stores_text: bool = True
    is_embedding_query: bool = False
    index: str | Location | None = Field(default=None, description="Folder of an index, or its location.")
    device: str | None = Field(default=None, description="Torch device for the experts.")
    show_progress: bool = Field(default=False, description="Show a bar for what takes over two seconds.")
    batch_size: int = Field(default=32, ge=1, description="Texts in one forward pass.")
    _engine: Engine = PrivateAttr()
    _owns_engine: bool = PrivateAttr(default=False)
    _said: set[str] = PrivateAttr(default_factory=set)

    def __init__(
        self,
        index: str | Path | Location | Mapping[str, Any] | None = None,
        experts: Sequence[ExpertLike] | None = None,
        *,
        engine: Engine | None = None,
        recipe: Recipe | None = None,
        texts: Iterable[str] = (),
        device: str | None = None,
        **fields: Any,
    ) -> None:
        given = {"index": str(index) if isinstance(index, Path) else index, "device": device, **fields}
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise refuse_validation(type(self), error) from None
        self._owns_engine = engine is None
        if engine is None:
            self._engine = Engine.open_or_create(
                self.index,
                experts,
                recipe,
                texts=texts,
                device=device,
                batch_size=self.batch_size,
                progress=self.show_progress,
            )
        else:
            self._engine = choose_engine(engine, self.index, experts=experts, recipe=recipe, device=device)

    @classmethod
    def from_params(
        cls,
        index: str | Path | None = None,
        experts: Sequence[ExpertLike] | None = None,
        *,
        url: str | None = None,
        headers: Mapping[str, Any] | None = None,
        collection: str | None = None,
        **options: Any,
    ) -> UECVectorStore:
        """A store by plain values, as for other stores; `Location` takes the same.

        Args:
            index: folder of the index.
            experts: as for `UECVectorStore`.
            url: of a Chroma server that has the texts.
            headers: for that server.
            collection: name of the Chroma collection.
            **options: the others of `UECVectorStore`.
        """
        named = {"url": url, "headers": headers, "collection": collection}
        where = {name: value for name, value in named.items() if value is not None}
        return cls(Location(index, **where) if where else index, experts, **options)  # type: ignore[arg-type]

    @classmethod
    def class_name(cls) -> str:
        """Name for LlamaIndex's serialisation."""
        return "UECVectorStore"

    @property
    def engine(self) -> Engine:
        """The index, open: what to calibrate, say."""
        return self._engine

    @property
    def client(self) -> Any:
        """Chroma's client."""
        return self._engine.store.client

    @property
    def embed_model(self) -> StoreEmbedding:
        """For `VectorStoreIndex`, `IngestionPipeline` and `Settings`: leaves embedding to the store."""
        return StoreEmbedding()

    def close(self) -> None:
        """Close the index, for copies too; an engine that was given stays open."""
        if self._owns_engine:
            self._engine.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields; unpickling opens the index again."""
        names = self.model_fields_set - {"index", "device"}
        fields = {name: getattr(self, name) for name in names}
        opening = (
            {"engine": self._engine} if self.index is None else {"index": self.index, "device": self.device}
        )
        return _unpickle, (type(self), {**opening, **fields}, self._owns_engine)

    def add(self, nodes: Sequence[BaseNode], **add_kwargs: Any) -> list[str]:
        """Add nodes; one whose id is there replaces it, and one that is there word for word costs nothing.

        Args:
            nodes: with text and flat metadata; their embeddings are passed over.
            **add_kwargs: none.

        Returns:
            The id of each.

        Raises:
            InvalidInputError: for a node that cannot be stored; none is, then.
        """
        refuse_unknown(add_kwargs, ["nodes"], "add")
        records = records_of(check_nodes(nodes))
        self._engine.add_records(
            records, whole=False, batch_size=self.batch_size, progress=self.show_progress
        )
        return [node.node_id for node in nodes]

    async def async_add(self, nodes: Sequence[BaseNode], **add_kwargs: Any) -> list[str]:
        """As `add`, in a thread."""
        return await asyncio.to_thread(functools.partial(self.add, nodes, **add_kwargs))

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document.

        Args:
            ref_doc_id: of the document.
            **delete_kwargs: none.
        """
        refuse_unknown(delete_kwargs, ["ref_doc_id"], "delete")
        self._engine.delete(where={SOURCE_KEY: ref_doc_id})

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`, in a thread."""
        await asyncio.to_thread(functools.partial(self.delete, ref_doc_id, **delete_kwargs))

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete nodes by id, by filters, or those of some ids that match filters.

        Args:
            node_ids: all that match the filters if None.
            filters: all of the ids if None.
            **delete_kwargs: none.

        Raises:
            InvalidInputError: if neither is given, or filters that every node matches: `clear` deletes all.
        """
        refuse_unknown(delete_kwargs, ["node_ids", "filters"], "delete_nodes")
        where = where_of(filters, node_ids=node_ids)
        if where is None:
            what = "the filters leave out no node" if filters else "neither node_ids nor filters are given"
            raise InvalidInputError(f"{what}: give others to delete by, or delete all nodes with clear()")
        self._engine.delete(where=where)

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """As `delete_nodes`, in a thread."""
        await asyncio.to_thread(functools.partial(self.delete_nodes, node_ids, filters, **delete_kwargs))

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Nodes by id, in that order, absent ones left out; those that match filters; all, if neither is given."""
        records = self._engine.get(node_ids, where_of(filters))
        return [node_of(r.id, r.text, r.metadata, r.payload) for r in records]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As `get_nodes`, in a thread."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    def clear(self) -> None:
        """Delete all nodes; the index stays, calibrated as it is."""
        self._engine.delete(self._engine.ids())

    async def aclear(self) -> None:
        """As `clear`, in a thread."""
        await asyncio.to_thread(self.clear)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes for a query's text; for its embedding, if it has no text and the index's dimension.

        Args:
            query: with the mode `default` (which has words, too) or `mmr`.
            **kwargs: `mmr_threshold`, from 0, most different, to 1, best match, .5 if nothing says; `candidates` to rescore,
                and with `mmr` to choose from; `temperature`, T of the coefficients. LlamaIndex passes on its
                `vector_store_kwargs`.

        Raises:
            InvalidInputError: for another mode, an option out of range, or a filter that Chroma cannot express.
        """
        return run_query(self._engine, query, kwargs, self._said)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As `query`, in a thread; embedding objects are asked by their asynchronous methods."""
        async with embedded_ahead(self._engine.experts, [query.query_str] if query.query_str else []):
            return await asyncio.to_thread(functools.partial(self.query, query, **kwargs))

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Nothing to do: what is added is in the index at once."""
        if self.index is None and self._owns_engine:
            logger.warning(
                "the index is in a temporary folder and gone with the store: UECVectorStore(index=...) says where to keep it"
            )


def _unpickle(cls: type[UECVectorStore], fields: dict[str, Any], owns_engine: bool) -> UECVectorStore:
    index = fields.get("index")
    with explaining_lost_headers(index if isinstance(index, Location) else None):
        store = cls(**fields)
    store._owns_engine = owns_engine
    return store
