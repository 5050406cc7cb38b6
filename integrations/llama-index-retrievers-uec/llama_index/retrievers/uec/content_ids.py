"""Ids made from content, for nodes and documents whose own ids are others in every process."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence

from llama_index.core.schema import BaseNode, Document, MetadataMode, RelatedNodeInfo
from llama_index.retrievers.uec.nodes import check_nodes

from uec_retriever.errors import InvalidInputError, show


def with_content_ids(nodes: Sequence[BaseNode]) -> list[BaseNode]:
    """Copies of nodes with ids made from class, text, metadata and document.

    Nodes alike in all that get different ids if their own ids differ. Relationships among the nodes follow.

    Args:
        nodes: theirs is left alone.

    Raises:
        InvalidInputError: for what is no node.
    """
    nodes = check_nodes(nodes)
    new: dict[str, str] = {}
    alike: dict[str, int] = defaultdict(int)
    for node in nodes:
        if node.node_id in new:
            continue
        content = _digest(
            type(node).__name__,
            node.get_content(metadata_mode=MetadataMode.NONE),
            node.get_content(metadata_mode=MetadataMode.EMBED),
            node.metadata,
            node.ref_doc_id,
        )
        new[node.node_id] = content if not alike[content] else _digest(content, alike[content])
        alike[content] += 1
    return [_rename(node, new) for node in nodes]


def with_stable_ids(documents: Sequence[Document]) -> list[Document]:
    """Documents, those with a random id (a UUID 4, LlamaIndex's default) with one made from their content."""
    return [
        document.model_copy(update={"id_": _digest(document.get_content(), document.metadata)})
        if _is_random(document.id_)
        else document
        for document in documents
    ]


def _rename(node: BaseNode, new: Mapping[str, str]) -> BaseNode:
    relationships = {
        kind: [_rename_relation(r, new) for r in related]
        if isinstance(related, list)
        else _rename_relation(related, new)
        for kind, related in node.relationships.items()
    }
    return node.model_copy(update={"id_": new[node.node_id], "relationships": relationships})


def _rename_relation(info: RelatedNodeInfo, new: Mapping[str, str]) -> RelatedNodeInfo:
    return info.model_copy(update={"node_id": new.get(info.node_id, info.node_id)})


def _is_random(identifier: str) -> bool:
    try:
        return uuid.UUID(identifier).version == 4 and str(uuid.UUID(identifier)) == identifier
    except ValueError:
        return False


def _digest(*content: object) -> str:
    """32 hex digits of SHA-256."""
    try:
        told = json.dumps(content, sort_keys=True, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"metadata must be flat, with strings as keys, got {show(content)}"
        ) from error
    return hashlib.sha256(told.encode()).hexdigest()[:32]
