"""The most confident searches that failed, with what was returned and what was right, so that a person learns why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from uec_retriever.data.records import Record
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.results import MatchedWords
from uec_retriever.evaluation.confidence_queries import Asked

_LONGEST = 300  # characters of a text that are shown


def confident_failures(engine: Engine, asked: Sequence[Asked], most: int) -> list[dict[str, Any]]:
    """The searches without a right text among their hits, the most confident first.

    Those with an answer in the index come before those without, of which it only says that something looks like one.

    Args:
        engine: the index.
        asked: queries.
        most: how many of either kind.

    Returns:
        Of each `query`, `confidence`, `verdict`, `why` in words, `candidates`, `returned` (the first hit: `id`, `score`,
        `relevance`, `matched` words and the beginning of its `text`; null if nothing was found) and `right` (of the right texts
        the one that came nearest: `id`, `place` among the candidates or null, `matched`, `text`; null if the index holds none).
    """
    failed = sorted((one for one in asked if not one.is_right), key=lambda one: -one.confidence)
    failed = [one for has in (True, False) for one in [f for f in failed if f.has_answer == has][:most]]
    wanted = sorted({i for one in failed for i in one.right})
    records = {record.id: record for record in engine.get(wanted)} if wanted else {}
    return [_describe(one, records) for one in failed]


def _describe(asked: Asked, records: Mapping[str, Record]) -> dict[str, Any]:
    result, words = asked.result, asked.result.words
    first = result.hits[0] if result.hits else None
    returned = first and {
        **_evidence(first.record, words),
        "score": first.score,
        "relevance": first.relevance,
    }
    right = None
    known = [records[i] for i in sorted(asked.right) if i in records]
    if known:
        nearest = next((record for record in known if record.id == asked.nearest), known[0])
        right = {**_evidence(nearest, words), "place": asked.place}
    return {
        "query": asked.query,
        "confidence": asked.confidence,
        "verdict": result.verdict,
        "why": _why(asked),
        "candidates": asked.candidates,
        "returned": returned,
        "right": right,
    }


def _evidence(record: Record, words: MatchedWords | None) -> dict[str, Any]:
    spans = [] if words is None else words.analyzer.matched(words.terms, record.text)
    matched = list(dict.fromkeys(record.text[start:end].lower() for start, end in spans))
    text = " ".join(record.text.split())
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return {"id": record.id, "matched": matched if words is not None else None, "text": shown}


def _why(asked: Asked) -> str:
    if asked.taken_away:
        return "its answer was taken away: what came first only looks like one"
    if not asked.right:
        return "the index holds none of its right texts"
    if asked.place is None:
        return f"the right text is not among the {asked.candidates} candidates"
    return f"the right text came in place {asked.place} of {asked.candidates} candidates, behind the hits"
