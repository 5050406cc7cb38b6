"""The most confident failures of a result, as a person reads them: the page and the terminal show the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uec_retriever.evaluation.report_page.results import Result

FAILURES = "The most confident failures, and their evidence"
FAILURES_NOTE = (
    "The surest searches without a right text among their hits: what came first, and what was right."
)


@dataclass(frozen=True)
class Failure:
    """A search that was sure and wrong.

    Attributes:
        query: its text.
        facts: name -> what there is to know, in the order in which it is read.
    """

    query: str
    facts: tuple[tuple[str, str], ...]


def failures(result: Result) -> list[Failure]:
    """Those that a result brings, in its order."""
    return [Failure(str(one["query"]), tuple(_facts(one))) for one in result.content.get("failures") or ()]


def _facts(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("confidence", f"{one['confidence']:.0%}, {one['verdict']}"), ("why", str(one["why"]))]
    for name, key in (("came first", "returned"), ("right", "right")):
        if (text := one[key]) is not None:
            facts += [
                (name, _describe(text)),
                ("in common", _words(text["matched"])),
                ("text", str(text["text"])),
            ]
    return [(name, value) for name, value in facts if value]


def _describe(text: Mapping[str, Any]) -> str:
    told = [str(text["id"])]
    if text.get("score") is not None:
        told.append(f"score {text['score']:.3f}")
    if text.get("relevance") is not None:
        told.append(f"relevance {text['relevance']:.0%}")
    return ", ".join(told)


def _words(matched: list[str] | None) -> str:
    """Words that a text has in common with the query; empty for an index without words."""
    return "" if matched is None else ", ".join(matched) or "no word"
