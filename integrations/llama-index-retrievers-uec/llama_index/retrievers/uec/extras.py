"""What is known of a hit beside its score, on request in the metadata of the returned copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.schema import BaseNode

from uec_retriever.errors import InvalidInputError

EXTRAS = ("score", "raw_score", "deviation", "coefficients", "confidence")
PREFIX = "uec_"


def check_include(include: Sequence[str], possible: Sequence[str] = EXTRAS) -> tuple[str, ...]:
    """The extras asked for.

    Raises:
        InvalidInputError: for one that does not exist.
    """
    if isinstance(include, str):
        raise InvalidInputError(f"include is a list: [{include!r}]")
    if unknown := [name for name in include if name not in possible]:
        raise InvalidInputError(f"include can hold {list(possible)}, got {unknown[0]!r}")
    return tuple(dict.fromkeys(include))


def annotated(node: BaseNode, extras: Mapping[str, Any]) -> BaseNode:
    """A node with extras under keys such as `uec_score`, which neither LLM nor embedding model gets to see.

    Extras of an earlier step are replaced.

    Args:
        node: left as it is.
        extras: name -> value.

    Raises:
        InvalidInputError: if such a key is the user's own.
    """
    if not extras:
        return node
    ours = {PREFIX + name: value for name, value in extras.items()}
    hidden = set(node.excluded_llm_metadata_keys) & set(node.excluded_embed_metadata_keys)
    if taken := [key for key in ours if key in node.metadata and key not in hidden]:
        raise InvalidInputError(
            f"node {node.node_id!r} has a metadata key {taken[0]!r} of its own: "
            f"rename it, or leave {taken[0].removeprefix(PREFIX)!r} out of include"
        )
    return node.model_copy(
        update={
            "metadata": {**node.metadata, **ours},
            "excluded_llm_metadata_keys": _joined(node.excluded_llm_metadata_keys, ours),
            "excluded_embed_metadata_keys": _joined(node.excluded_embed_metadata_keys, ours),
        }
    )


def _joined(keys: Sequence[str], more: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*keys, *more]))
