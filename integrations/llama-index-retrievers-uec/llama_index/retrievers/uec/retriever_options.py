"""The options that say how the retriever searches, as other functions pass them on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import IndexNode
from llama_index.core.vector_stores.types import MetadataFilters
from llama_index.retrievers.uec.filters import chroma_filter

from uec_retriever import Recipe
from uec_retriever.engine.options import check_search_options
from uec_retriever.engine.results import check_include, check_min_score


class RetrieverOptions(TypedDict, total=False):
    """Arguments of `UECRetriever` that say how to search, and LlamaIndex's own.

    Attributes:
        similarity_top_k: how many nodes to retrieve.
        filters: on metadata.
        candidates: how many to fetch from Chroma and rescore; `max(30, 2 similarity_top_k)` if None.
        similarity_cutoff: drop nodes of a lower score, in [0, 1].
        temperature: T >= 0 of the coefficients for every query, instead of the index's.
        include: extras for the metadata of returned nodes.
        trust_query_embedding: search with the embedding in a `QueryBundle` if it has the index's dimension.
        callback_manager: of LlamaIndex.
        object_map: index id -> object, for retrieved `IndexNode`s to lead on to.
        objects: `IndexNode`s that hold such objects, instead of `object_map`.
        verbose: print what recursive retrieval does.
    """

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


def check_options(function: str, options: RetrieverOptions) -> None:
    """Refuse options that cannot be used, before anything is made.

    Args:
        function: that got them, for the message.
        options: by name.

    Raises:
        TypeError: for a name that does not exist, as Python would.
        InvalidInputError: for a value that cannot be used.
    """
    for name in options:
        if name not in RetrieverOptions.__annotations__:
            belongs = function.startswith("from_") and name in Recipe.__dataclass_fields__
            hint = f": give it in the recipe, Recipe({name}=...)" if belongs else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")
    check_values(options)


def check_values(options: RetrieverOptions) -> None:
    """Refuse values that no index could be searched with.

    Raises:
        InvalidInputError: naming the option.
    """
    check_include(options.get("include", ()))
    check_min_score(options.get("similarity_cutoff"))
    chroma_filter(options.get("filters"))
    check_search_options(
        options.get("similarity_top_k", 2), options.get("candidates"), options.get("temperature")
    )
