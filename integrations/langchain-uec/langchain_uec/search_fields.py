"""How the retriever searches: its fields, each of which a call can give instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from uec_retriever.engine.grouping import GroupBy, check_group_by
from uec_retriever.engine.options import (
    check_no_evidence,
    check_search_options,
    refuse_unknown,
    with_candidates,
)
from uec_retriever.engine.results import Abstain, check_min_score

_ENGINE_NAMES = {"filter": "where"}  # where ours are others than the engine's
_OF_THE_ANSWER = ("score_threshold", "no_evidence")  # what the engine is not asked for


class SearchFields(BaseModel):
    """Fields of `UECRetriever` that a call can give too; documented there."""

    k: int = 4
    filter: dict[str, Any] | None = None
    score_threshold: float | None = None
    candidates: int | None = None
    temperature: float | None = None
    min_confidence: float | None = None
    abstain: Abstain = "flag"
    min_relevance: float | None = None
    coverage: float | None = None
    max_k: int | None = None
    group_by: GroupBy | None = None
    no_evidence: str | None = None

    def _for_call(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The value of each field in one call.

        Args:
            given: to that call; what is None comes from the retriever.

        Raises:
            TypeError: for a name that does not exist, as Python would.
            InvalidInputError: for a value that cannot be used.
        """
        names, given = SearchFields.model_fields, with_candidates(given)
        refuse_unknown(given, names, "invoke")
        options = {name: getattr(self, name) if given.get(name) is None else given[name] for name in names}
        if given.get("k") is not None and given.get("coverage") is None:  # so many, whatever coverage needs
            options |= {"coverage": None, "max_k": None}
        # the retriever's own sentence was checked; a call may ask to see what it stands in for
        check_search_fields({**options, "no_evidence": given.get("no_evidence")})
        return options


def check_search_fields(options: Mapping[str, Any]) -> None:
    """Refuse values that no index could be searched with.

    Args:
        options: by the names of `SearchFields`; what is missing is its default.

    Raises:
        InvalidInputError: naming the option.
    """
    from uec_retriever.engine.abstention import check_abstention  # imports chromadb
    from uec_retriever.engine.coverage import check_coverage

    check_min_score(options.get("score_threshold"))
    check_search_options(
        options.get("k", 4), options.get("candidates"), options.get("temperature"), options.get("coverage")
    )
    least, abstain = options.get("min_confidence"), options.get("abstain", "flag")
    check_abstention(least, abstain, options.get("min_relevance"))
    check_coverage(
        options.get("coverage"),
        options.get("max_k"),
        min_relevance=options.get("min_relevance"),
        score_threshold=options.get("score_threshold"),
    )
    check_group_by(options.get("group_by"), options.get("coverage"))
    check_no_evidence(options.get("no_evidence"), least, abstain)


def engine_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of `Engine.search`, without those that are None.

    Args:
        options: each of `SearchFields`.
    """
    # nothing is below 0, so that such a search needs no confidence: a call lifts the retriever's with it
    asked = {**options, **{name: options[name] or None for name in ("min_confidence", "min_relevance")}}
    return {
        _ENGINE_NAMES.get(name, name): value
        for name, value in asked.items()
        if value is not None and name not in _OF_THE_ANSWER
    }
