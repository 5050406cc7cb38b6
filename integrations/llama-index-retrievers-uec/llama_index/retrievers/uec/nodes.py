"""Nodes as records, and back whole."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    TextNode,
)

from uec_retriever.checks.iterables import is_iterable
from uec_retriever.data.records import Record, make_records
from uec_retriever.data.texts import text_problem
from uec_retriever.errors import InvalidInputError, StorageError, show

logger = logging.getLogger(__name__)
_KNOWN: tuple[type[BaseNode], ...] = (TextNode, IndexNode, ImageNode, Node, Document, ImageDocument)
_ELSEWHERE = {"id_", "embedding", "metadata", "text", "obj", "class_name"}  # in the record, or not kept
_FRAMEWORK = "llama_index"
_MEDIA = ("text_resource", "image_resource", "audio_resource", "video_resource")


def records_of(nodes: Sequence[BaseNode]) -> list[Record]:
    """What an index stores of nodes.

    The text is stored plain, for whoever else reads the index; what is embedded is the text with the
    metadata that the node lets embedding models see. The rest of the node goes into the payload, except
    its embedding and the object of an `IndexNode`.

    Args:
        nodes: with non-empty texts and flat metadata, see `uec_retriever.data.records.check_metadata`. `None` and empty
            lists in metadata come back too, but no filter finds them.

    Raises:
        InvalidInputError: for a bad text, id or metadata value.
        IdConflictError: if one id stands for two different nodes.
    """
    nodes = check_nodes(nodes)
    texts = [node.get_content(metadata_mode=MetadataMode.NONE) for node in nodes]
    return make_records(
        texts,
        [node.node_id for node in nodes],
        [node.metadata for node in nodes],
        embedded=[node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes],
        payloads=[_payload(node, text) for node, text in zip(nodes, texts, strict=True)],
        sources=[node.ref_doc_id for node in nodes],
    )


def check_nodes(nodes: Iterable[Any], what: str = "node") -> list[Any]:
    """Nodes of LlamaIndex as a list.

    Args:
        nodes: documents are nodes too.
        what: how to call one in messages.

    Raises:
        InvalidInputError: for something else.
    """
    if isinstance(nodes, str | BaseNode) or not is_iterable(nodes):
        raise InvalidInputError(f"expected a list of {what}s, got {type(nodes).__name__}: put it into a list")
    nodes = list(nodes)
    for position, node in enumerate(nodes):
        if not isinstance(node, BaseNode):
            raise InvalidInputError(
                f"{what} {position} is {type(node).__name__}, not a node of llama_index: wrap a text in "
                f"{what.title().replace('Node', 'TextNode')}(text=...)"
            )
    return nodes


def check_documents(documents: Iterable[Document]) -> list[Document]:
    """Documents as a list, before they are split.

    Raises:
        InvalidInputError: for one whose text or metadata no tokenizer and no index can take.
    """
    checked = check_nodes(documents, "document")
    for position, document in enumerate(checked):
        text = document.get_content(metadata_mode=MetadataMode.ALL)
        if text.strip() and (problem := text_problem(text)):
            raise InvalidInputError(
                f"document {position} ({show(document.node_id)}), text and metadata: it {problem}"
            )
    return checked


def node_of(identifier: str, text: str, metadata: Mapping[str, Any], payload: str | None) -> BaseNode:
    """The node of a record; a `TextNode` if something else than LlamaIndex added it.

    Args:
        identifier: of the record.
        text: of the record.
        metadata: of the record.
        payload: of the record.

    Raises:
        StorageError: for a damaged payload.
    """
    kept = _of_llama_index(payload)
    if kept is None:
        return TextNode(id_=identifier, text=text, metadata=dict(metadata))
    try:
        fields = dict(kept["node"])
        restored = _metadata(metadata, kept["keys"], kept["values"])
        cls = _find_class(kept["class"], kept["base"])
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"record {show(identifier)} has a damaged payload: {error!r}") from error
    if issubclass(cls, Node):
        fields["text_resource"] = {**fields.get("text_resource", {}), "text": text}
    else:
        fields["text"] = text
    return cls(**{**fields, "id_": identifier, "metadata": restored})


def _of_llama_index(payload: str | None) -> dict[str, Any] | None:
    """What a payload holds, if it is ours and not another framework's."""
    try:
        content = json.loads(payload or "null")
    except ValueError:
        return None
    kept = content.get(_FRAMEWORK) if isinstance(content, dict) else None
    return kept if isinstance(kept, dict) else None


def _is_stored(value: object) -> bool:
    """Whether a metadata value goes to Chroma: it can hold neither of these."""
    return value is not None and not (isinstance(value, list) and not value)


def score_of(node: BaseNode, score: float) -> float:
    """A score as LlamaIndex is to get it: 0.0 it takes for none at all, and that for 1.0, where an `IndexNode` leads on."""
    return max(score, sys.float_info.min) if isinstance(node, IndexNode) else score


def _payload(node: BaseNode, text: str) -> str:
    bare = node.model_copy(update={"obj": None}) if isinstance(node, IndexNode) else node
    try:
        fields = bare.model_dump(mode="json", exclude_defaults=True, exclude=_ELSEWHERE)
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"node {show(node.node_id)} cannot be stored as JSON: {error}") from error
    for name in _ELSEWHERE & fields.keys():  # some classes add them against our will
        del fields[name]
    for name in _MEDIA:
        resource = getattr(node, name, None)
        if isinstance(resource, MediaResource):
            fields[name] = _resource(
                resource, fields.get(name) or {}, text if name == "text_resource" else None
            )
    base = next((cls for cls in type(node).__mro__ if cls in _KNOWN), None)
    if base is None:
        raise InvalidInputError(
            f"node {show(node.node_id)} is a {type(node).__name__}, none of {[cls.__name__ for cls in _KNOWN]}"
        )
    kept = {
        "class": type(node).__name__,
        "base": base.__name__,
        "node": fields,
        "keys": list(node.metadata),
        "values": {k: v for k, v in node.metadata.items() if not _is_stored(v) or _is_inexact(v)},
    }
    return json.dumps({_FRAMEWORK: kept})


def _resource(resource: MediaResource, dumped: Mapping[str, Any], text: str | None) -> dict[str, Any]:
    """A media resource with its data, which its own serialisation leaves out."""
    fields = {k: v for k, v in dumped.items() if v is not None and not (k == "text" and v == text)}
    return fields if resource.data is None else {**fields, "data": resource.data.decode("ascii")}


def _is_inexact(value: object) -> bool:
    """Whether Chroma may lose the last bit of a value."""
    return isinstance(value, float) or (isinstance(value, list) and isinstance(value[0], float))


def _metadata(stored: Mapping[str, Any], keys: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata in its old order, with what Chroma cannot hold; but another program's changes win."""
    restored = {}
    for key in keys:
        if key in stored:
            restored[key] = values[key] if _is_near(values.get(key), stored[key]) else stored[key]
        elif key in values and not _is_stored(values[key]):
            restored[key] = values[key]
    return {**restored, **{k: v for k, v in stored.items() if k not in restored}}


def _is_near(one: object, other: object) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_near, one, other))
    return isinstance(one, float) and isinstance(other, float) and math.isclose(one, other, rel_tol=1e-15)


def _find_class(name: str, base: str) -> type[BaseNode]:
    known = {cls.__name__: cls for cls in _KNOWN}
    if name in known:
        return known[name]
    for cls in _subclasses(known[base]):
        if cls.__name__ == name:
            return cls
    logger.warning("the node class %s is not imported here: its nodes come back as %s", name, base)
    return known[base]


def _subclasses(cls: type[BaseNode]) -> Iterator[type[BaseNode]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
