"""What a label file says: distribution of utilities, and how often gold passages come first. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from uec_retriever.utility_labeler.labels import Label

_NEAR = 1e-9


@dataclass(frozen=True)
class GoldFirst:
    """How often a gold passage has the highest utility of its question.

    Attributes:
        questions: with both gold and other passages labelled.
        rate: share of them; a tie counts its share.
        chance: the rate of a random order.
    """

    questions: int
    rate: float
    chance: float


@dataclass(frozen=True)
class Inspection:
    """A summary of labels.

    Attributes:
        labels: how many.
        questions: how many.
        truncated: labels whose passage was cut.
        runs: their fingerprints.
        sources: source -> (labels, mean utility in nats).
        quantiles: utility at 0, 5, 25, 50, 75, 95 and 100 %, nats.
        helps: share of labels with a positive utility.
        histogram: counts per bin.
        edges: one more than bins, nats.
        gold: None without qrels.
        examples: of some questions, all labels, best first.
    """

    labels: int
    questions: int
    truncated: int
    runs: tuple[str, ...]
    sources: dict[str, tuple[int, float]]
    quantiles: tuple[float, ...]
    helps: float
    histogram: tuple[int, ...]
    edges: tuple[float, ...]
    gold: GoldFirst | None
    examples: tuple[tuple[Label, ...], ...] = field(default=())


def by_question(labels: Iterable[Label]) -> dict[str, list[Label]]:
    """Labels of each question, best first."""
    found: dict[str, list[Label]] = {}
    for label in labels:
        found.setdefault(label.question_id, []).append(label)
    for group in found.values():
        group.sort(key=lambda label: -label.utility)
    return found


def gold_first(labels: Iterable[Label]) -> GoldFirst | None:
    """How often gold comes first; None if no question has both gold and other passages."""
    rates, chances = [], []
    for group in by_question(labels).values():
        relevant = [label.relevance is not None and label.relevance > 0 for label in group]
        if any(label.relevance is None for label in group) or all(relevant) or not any(relevant):
            continue
        best = [
            gold
            for label, gold in zip(group, relevant, strict=True)
            if group[0].utility - label.utility < _NEAR
        ]
        rates.append(sum(best) / len(best))
        chances.append(sum(relevant) / len(relevant))
    if not rates:
        return None
    return GoldFirst(len(rates), float(np.mean(rates)), float(np.mean(chances)))


def inspect_labels(
    labels: Sequence[Label], *, bins: int = 20, examples: int = 3, seed: int = 0
) -> Inspection:
    """Summarise labels.

    Args:
        labels: at least one.
        bins: of the histogram, which spans 98 % of the utilities; the rest falls into its outer bins.
        examples: questions to show, a random choice of those with two passages or more.
        seed: of the choice.

    Raises:
        ValueError: for no labels.
    """
    if not labels:
        raise ValueError("there are no labels")
    utilities = np.array([label.utility for label in labels])
    low, high = np.quantile(utilities, [0.01, 0.99])
    counts, edges = np.histogram(
        utilities.clip(low, high), bins=bins, range=(low, high) if low < high else None
    )
    sources: dict[str, list[float]] = {}
    for label in labels:
        sources.setdefault(label.source, []).append(label.utility)
    groups = by_question(labels)
    shown = [group for group in groups.values() if len(group) > 1]
    chosen = np.random.default_rng(seed).permutation(len(shown))[:examples].tolist()
    return Inspection(
        labels=len(labels),
        questions=len(groups),
        truncated=sum(label.truncated for label in labels),
        runs=tuple(sorted({label.run for label in labels})),
        sources={name: (len(u), float(np.mean(u))) for name, u in sorted(sources.items())},
        quantiles=tuple(np.quantile(utilities, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]).tolist()),
        helps=float((utilities > 0).mean()),
        histogram=tuple(counts.tolist()),
        edges=tuple(edges.tolist()),
        gold=gold_first(labels),
        examples=tuple(tuple(shown[i]) for i in sorted(chosen)),
    )
