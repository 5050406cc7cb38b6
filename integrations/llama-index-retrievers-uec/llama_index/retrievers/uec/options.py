"""Options of the retriever and of the index under it, told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import IndexNode
from llama_index.core.vector_stores.types import MetadataFilters
from pydantic import SecretStr

from uec_retriever import CalibrationPairs


class RetrieverOptions(TypedDict, total=False):
    """Arguments of `UECRetriever` that say how to search."""

    similarity_top_k: int
    filters: MetadataFilters | None
    candidates: int | None
    similarity_cutoff: float | None
    temperature: float | None
    include: Sequence[str]
    trust_query_embedding: bool
    callback_manager: CallbackManager | None
    object_map: dict[str, Any] | None
    objects: list[IndexNode] | None
    verbose: bool


class BuildOptions(RetrieverOptions, total=False):
    """Those, and arguments of `Engine.open_or_create`."""

    pairs: CalibrationPairs | None
    posteriors: Mapping[str, str | Path] | None
    structure: str | None
    layout: str | None
    device: str | None
    trust_remote_code: bool
    url: str | None
    headers: Mapping[str, str | SecretStr] | None
    client: Any
    collection: str
    batch_size: int


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the retriever, and those of the index with its secrets revealed.

    Raises:
        TypeError: for an unknown one, as Python would.
    """
    searching = RetrieverOptions.__annotations__
    if unknown := [name for name in options if name not in BuildOptions.__annotations__]:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
    index = {name: value for name, value in options.items() if name not in searching}
    if "headers" in index:
        index["headers"] = revealed(index["headers"])
    return {name: value for name, value in options.items() if name in searching}, index


def revealed(headers: Mapping[str, str | SecretStr] | None) -> dict[str, str] | None:
    """Headers as the server wants them."""
    if headers is None:
        return None
    return {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in headers.items()}
