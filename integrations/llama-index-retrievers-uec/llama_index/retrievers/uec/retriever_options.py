"""The options that say how the retriever searches, as other functions pass them on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import IndexNode
from llama_index.core.vector_stores.types import MetadataFilters
from llama_index.retrievers.uec.filters import chroma_filter

from uec_retriever.checks.numbers import check_number
from uec_retriever.engine.abstention import check_abstention
from uec_retriever.engine.coverage import check_coverage
from uec_retriever.engine.diversity import among
from uec_retriever.engine.grouping import GroupBy, check_group_by
from uec_retriever.engine.options import (
    check_no_evidence,
    check_search_options,
    refuse_unknown,
    with_candidates,
)
from uec_retriever.engine.results import Abstain, Extra, check_include, check_min_score

# the engine knows none of these
_OWN = {
    "filters",
    "similarity_cutoff",
    "include",
    "trust_query_embedding",
    "no_evidence",
    "mmr_threshold",
    "similarity_top_k",
}


class SearchFields:
    """How a retriever searches: attributes of `UECRetriever`, and what they are by default; documented there."""

    similarity_top_k: int = 2
    filters: MetadataFilters | None = None
    candidates: int | None = None
    similarity_cutoff: float | None = None
    temperature: float | None = None
    min_confidence: float | None = None
    abstain: Abstain = "flag"
    min_relevance: float | None = None
    coverage: float | None = None
    max_k: int | None = None
    group_by: GroupBy | None = None
    no_evidence: str | None = None
    mmr_threshold: float | None = None
    include: Sequence[Extra] = ()
    trust_query_embedding: bool = False

    def __repr__(self) -> str:
        told = [f"engine={self.engine!r}"]  # type: ignore[attr-defined]
        for name in SearchFields.__annotations__:
            if (value := getattr(self, name)) != getattr(SearchFields, name):
                told.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(told)})"

    def _engine_options(self) -> dict[str, Any]:
        """Keywords of `Engine.search`."""
        named = {name: getattr(self, name) for name in SearchFields.__annotations__.keys() - _OWN}
        where, scores = chroma_filter(self.filters), "expert_scores" in self.include
        k = (
            self.similarity_top_k
            if self.mmr_threshold is None
            else among(self.similarity_top_k, self.candidates)
        )
        return {**named, "k": k, "where": where, "expert_scores": scores}


class RetrieverOptions(TypedDict, total=False):
    """Options of `UECRetriever`, documented there, as its other functions take them too: how to search, and LlamaIndex's."""

    similarity_top_k: int
    filters: MetadataFilters | None
    candidates: int | None
    similarity_cutoff: float | None
    temperature: float | None
    min_confidence: float | None
    abstain: Abstain
    min_relevance: float | None
    coverage: float | None
    max_k: int | None
    group_by: GroupBy | None
    no_evidence: str | None
    mmr_threshold: float | None
    include: Sequence[str]
    trust_query_embedding: bool
    callback_manager: CallbackManager | None
    object_map: dict[str, Any] | None
    objects: list[IndexNode] | None
    verbose: bool


def check_options(function: str, options: RetrieverOptions, own: Iterable[str] = ()) -> RetrieverOptions:
    """Refuse options that cannot be used, before anything is made.

    Args:
        function: that got them, for the message.
        options: by name.
        own: parameters of the function beside them.

    Returns:
        The options, `candidates` in place of `fetch_k` where that was given.

    Raises:
        TypeError: for a name that does not exist, as Python would.
        InvalidInputError: for a value that cannot be used.
    """
    named: Any = with_candidates(options)
    refuse_unknown(named, [*own, *RetrieverOptions.__annotations__], function)
    check_values(named)
    found: RetrieverOptions = named
    return found


def check_diversity(threshold: object) -> float:
    """A threshold of maximal marginal relevance, out of [0, 1]."""
    return check_number("mmr_threshold", threshold, "in [0, 1], from most different to best match", 0, 1)


def check_values(options: RetrieverOptions) -> None:
    """Refuse values that no index could be searched with.

    Raises:
        InvalidInputError: naming the option.
    """
    check_include(options.get("include", ()))
    check_min_score(options.get("similarity_cutoff"))
    chroma_filter(options.get("filters"))
    check_search_options(
        options.get("similarity_top_k", 2),
        options.get("candidates"),
        options.get("temperature"),
        options.get("coverage"),
    )
    least, abstain = options.get("min_confidence"), options.get("abstain", "flag")
    check_abstention(least, abstain, options.get("min_relevance"))
    check_coverage(
        options.get("coverage"),
        options.get("max_k"),
        min_relevance=options.get("min_relevance"),
        similarity_cutoff=options.get("similarity_cutoff"),
        mmr_threshold=options.get("mmr_threshold") is not None,
    )
    if options.get("mmr_threshold") is not None:
        check_diversity(options["mmr_threshold"])
    check_group_by(options.get("group_by"), options.get("coverage"))
    check_no_evidence(options.get("no_evidence"), least, abstain)
