"""Whether what an index says of its searches is true: everything that `uec eval confidence` finds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from uec_retriever.confidence.model import staleness
from uec_retriever.confidence.sketch import shared_share
from uec_retriever.engine.coverage import broken_promise
from uec_retriever.engine.engine import Engine
from uec_retriever.evaluation.confidence_failures import confident_failures
from uec_retriever.evaluation.confidence_figures import (
    confidence_figures,
    coverage_figures,
    relevance_figures,
)
from uec_retriever.evaluation.confidence_queries import TARGETS, ask_queries, can_promise, needed_confidence
from uec_retriever.evaluation.confidence_report import confidence_report


def run_confidence(
    engine: Engine,
    labelled: Mapping[str, Collection[str]],
    *,
    unanswerable: float | None = None,
    failures: int = 5,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Ask every query, and compare what the index says with the truth.

    Args:
        engine: the index, with calibrated confidence.
        labelled: query -> ids of its right records, as many as there are; not those that it was calibrated on.
        unanswerable: share of the queries to be without an answer, in [0, 1); what the confidence was calibrated for if None.
        failures: how many of the most confident ones to describe, with and without an answer in the index.
        seed: of the choice of queries that lose their answers, and of the bootstrap.
        progress: called with the number of queries done.

    Returns:
        A result file's content but for its provenance: `confidence`, `relevance`, `coverage`, `failures`, `warnings`, and what
        the report shows of them.

    Raises:
        InvalidInputError: for an index without confidence, bad queries, a share out of range, or if no right record is in the
            index.
    """
    model, covering = needed_confidence(engine), engine.ensemble.coverage
    share = model.unanswerable if unanswerable is None else unanswerable
    asked = ask_queries(engine, labelled, share, seed, progress)
    records, reason = engine.count(), None
    if covering is not None:
        possible = [target for target in TARGETS if can_promise(covering, target)]
        reason = (
            broken_promise(
                covering,
                min(possible or TARGETS),
                filtered=False,
                candidates=None,
                records=records,
                other=None,
            )
            if possible
            else "too few of its labelled queries have their right text among the candidates"
        )
    found = {
        "k": model.k,
        "unanswerable": share,
        "confidence": confidence_figures(asked, seed),
        "relevance": relevance_figures(asked, seed),
        "coverage": coverage_figures(asked, seed),
        "coverage reason": reason,
        "failures": confident_failures(engine, asked, failures),
        "warnings": _warnings(engine, labelled, share, records),
    }
    return {
        "kind": "confidence",
        "title": "Confidence",
        "calibrated": {"queries": model.queries, "source": model.source, "unanswerable": model.unanswerable},
        **found,
        **confidence_report(found),
    }


def _warnings(engine: Engine, labelled: Mapping[str, Any], share: float, records: int) -> list[str]:
    """What makes the figures other than those of searches to come."""
    model, covering = needed_confidence(engine), engine.ensemble.coverage
    found = []
    for name, sketch in (("confidence", model.asked), ("coverage", covering.asked if covering else ())):
        if known := shared_share(sketch, labelled):
            found.append(
                f"about {known:.0%} of the queries that calibrated the {name} are among these: it looks better than it is. "
                "Ask others, say of another split"
            )
    if stale := staleness(model.records, records):
        found.append(stale)
    if share != model.unanswerable:
        found.append(
            f"the confidence expects {model.unanswerable:.0%} of queries without an answer, these have {share:.0%}: it will "
            "be off by that"
        )
    return found
