"""NodeIndex: the half of the retriever that adds, reads and deletes nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import BaseNode, Document, IndexNode, TransformComponent
from llama_index.core.settings import Settings
from llama_index.core.vector_stores.types import MetadataFilters
from llama_index.retrievers.uec.content_ids import with_content_ids, with_stable_ids
from llama_index.retrievers.uec.filters import chroma_filter
from llama_index.retrievers.uec.nodes import check_documents, check_nodes, node_of, records_of

from uec_retriever import AddReport, Engine
from uec_retriever.data.records import SOURCE_KEY, Record
from uec_retriever.engine.existing import Existing, accepts_update
from uec_retriever.errors import InvalidInputError


class _Adding(TypedDict):
    """How `Engine.add_records` is to add."""

    existing: Existing
    batch_size: int
    progress: bool


class NodeIndex:
    """Nodes in an index: adding, reading, deleting them.

    Attributes:
        engine: the index.
        object_map: index id -> object of an `IndexNode`.
    """

    engine: Engine
    object_map: dict[str, Any]

    @accepts_update
    def add_nodes(
        self,
        nodes: Sequence[BaseNode],
        *,
        existing: Existing = "replace",
        content_ids: bool = False,
        batch_size: int = 32,
        show_progress: bool = False,
    ) -> AddReport:
        """Add nodes; those that are there already, word for word, cost nothing.

        Objects of `IndexNode`s are not stored: this retriever remembers them in `object_map`.

        Args:
            nodes: with text and flat metadata.
            existing: what becomes of a node whose id is there with other content: the new one takes its place (`replace`),
                the call is refused (`refuse`), or the one that is there stays (`skip`).
            content_ids: ids from the content instead of the nodes' own: for nodes whose ids are others in every
                process, such as tool nodes. Relationships among the nodes follow.
            batch_size: texts in one forward pass.
            show_progress: show a bar, if it takes over two seconds.

        Raises:
            InvalidInputError: for a node that cannot be stored; none is, then.
            IdConflictError: if one id stands for two different nodes, or is there with other content and `existing` is
                `refuse`.
        """
        nodes = with_content_ids(nodes) if content_ids else check_nodes(nodes)
        adding: _Adding = {"existing": existing, "batch_size": batch_size, "progress": show_progress}
        return self._add(nodes, records_of(nodes), **adding)

    @accepts_update
    def add_documents(
        self,
        documents: Sequence[Document],
        *,
        transformations: Sequence[TransformComponent] | None = None,
        existing: Existing = "replace",
        content_ids: bool = True,
        batch_size: int = 32,
        show_progress: bool = False,
    ) -> AddReport:
        """Split documents into nodes and add these.

        Args:
            documents: give them ids that last to replace or delete them later.
            transformations: a node parser and whatever else; those of `Settings` if None.
            existing: what becomes of a document that is there with other content: its new nodes take the place of all its
                old ones (`replace`), the call is refused (`refuse`), or the one that is there stays (`skip`).
            content_ids: node ids from the content, so that adding a document again changes nothing; documents
                with a random id get one from their content as well.
            batch_size: texts in one forward pass.
            show_progress: show a bar, if it takes over two seconds.

        Raises:
            InvalidInputError: for a node that cannot be stored; none is, then.
            IdConflictError: if one id stands for two different nodes, or is there with other content and `existing` is
                `refuse`.
        """
        nodes = split_documents(documents, transformations, content_ids)
        adding: _Adding = {"existing": existing, "batch_size": batch_size, "progress": show_progress}
        return self._add(nodes, records_of(nodes), whole=True, **adding)

    def get_nodes(
        self, node_ids: Sequence[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Nodes by id, in that order, absent ones left out; or all that match filters."""
        records = self.engine.get(node_ids, chroma_filter(filters))
        return [node_of(r.id, r.text, r.metadata, r.payload) for r in records]

    def delete(self, node_ids: Sequence[str]) -> int:
        """Delete nodes by id, unknown ones passed over; returns how many."""
        return self.engine.delete(node_ids)

    def delete_ref_doc(self, ref_doc_id: str) -> int:
        """Delete the nodes of a document; returns how many."""
        return self.engine.delete(where={SOURCE_KEY: ref_doc_id})

    def _add(
        self,
        nodes: Sequence[BaseNode],
        records: Sequence[Record],
        *,
        whole: bool = False,
        **adding: Unpack[_Adding],
    ) -> AddReport:
        """Add nodes; `whole` says whether they are all that there is of their documents."""
        report = self.engine.add_records(records, whole=whole, **adding)
        held = {n.index_id: n.obj for n in nodes if isinstance(n, IndexNode) and n.obj is not None}
        self.object_map.update(held)
        return report


def split_documents(
    documents: Sequence[Document], transformations: Sequence[TransformComponent] | None, content_ids: bool
) -> list[BaseNode]:
    """Nodes of documents.

    Args:
        documents: theirs stay as they are.
        transformations: a node parser and whatever else; those of `Settings` if None.
        content_ids: make the ids of nodes, and those of documents that are random, from the content.

    Raises:
        InvalidInputError: for what is no document, a text that cannot be stored, or metadata that leave no room for it.
    """
    documents = check_documents(documents)
    documents = with_stable_ids(documents) if content_ids else documents
    try:
        nodes = run_transformations(
            documents, Settings.transformations if transformations is None else transformations
        )
    except ValueError as error:
        if not str(error).startswith("Metadata length"):
            raise
        raise InvalidInputError(
            f"a document has more metadata than fits into a chunk beside its text ({error}): hide keys from embedding "
            "and LLM with excluded_embed_metadata_keys and excluded_llm_metadata_keys, or give larger chunks, "
            "transformations=[SentenceSplitter(chunk_size=...)]"
        ) from error
    return with_content_ids(nodes) if content_ids else list(nodes)
