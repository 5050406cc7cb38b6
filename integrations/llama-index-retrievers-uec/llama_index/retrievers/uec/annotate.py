"""What is known of a hit beside its score, on request in the metadata of the returned copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.schema import BaseNode

from uec_retriever.engine.results import EXTRAS, Extra
from uec_retriever.errors import InvalidInputError, show


def annotate(node: BaseNode, extras: Mapping[Any, Any], include: Sequence[Extra]) -> BaseNode:
    """A node with extras under keys such as `uec_score`, which neither LLM nor embedding model gets to see.

    Extras of an earlier step are replaced.

    Args:
        node: left as it is.
        extras: name -> value.
        include: names of those to take.

    Raises:
        InvalidInputError: if such a key is the user's own.
    """
    if not include:
        return node
    ours = {EXTRAS[name]: extras[name] for name in include}
    hidden = set(node.excluded_llm_metadata_keys) & set(node.excluded_embed_metadata_keys)
    for name in include:
        if EXTRAS[name] in node.metadata and EXTRAS[name] not in hidden:
            raise InvalidInputError(
                f"node {show(node.node_id)} has a metadata key {EXTRAS[name]!r} of its own: "
                f"rename it, or leave {name!r} out of include"
            )
    return node.model_copy(
        update={
            "metadata": {**node.metadata, **ours},
            "excluded_llm_metadata_keys": _union(node.excluded_llm_metadata_keys, ours),
            "excluded_embed_metadata_keys": _union(node.excluded_embed_metadata_keys, ours),
        }
    )


def _union(keys: Sequence[str], more: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*keys, *more]))
