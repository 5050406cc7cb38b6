"""Labelled texts, and calibration pairs made of them: two train texts of one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.tab_separated import LabelledText, read_labelled, sample
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError


@dataclass(frozen=True)
class ClassificationOptions:
    """What is measured.

    Attributes:
        limit: at most this many test texts of each set.
        labels: at most this many labels of each set.
        per_label: training texts of each label in a round (MTEB: 8).
        rounds: how many training samples (MTEB: 10).
        calibration_pairs: at most this many pairs for the posteriors.
        temperature: T; chosen on held-out calibration pairs if None.
        seed: of samples and bootstrap.
    """

    limit: int | None = None
    labels: int | None = None
    per_label: int = 8
    rounds: int = 10
    calibration_pairs: int = 320
    temperature: float | None = None
    seed: int = 0


def read_split_texts(
    folder: Path, options: ClassificationOptions
) -> tuple[list[LabelledText], list[LabelledText]]:
    """Train and test texts of the labels that are kept, the test texts a sample."""
    train, test = (read_labelled(folder / f"{split}.tsv") for split in ("train", "test"))
    kept = set(sample(sorted({label for label, _ in train}), options.labels, options.seed))
    train, test = ([item for item in part if item[0] in kept] for part in (train, test))
    if len(kept) < 2 or not test:
        raise InvalidInputError(f"{folder} needs at least two labels in train.tsv, and test texts of them")
    return train, sample(test, options.limit, options.seed)


def label_pairs(train: Sequence[LabelledText], limit: int, seed: int) -> CalibrationPairs:
    """Two texts of one label each, every text at most once, in random order."""
    waiting: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for i in np.random.default_rng(seed).permutation(len(train)):
        label, text = train[i]
        if waiting.get(label, text) != text:
            found.append((waiting.pop(label), text))
        else:
            waiting[label] = text
        if len(found) == limit:
            break
    return CalibrationPairs([q for q, _ in found], [p for _, p in found], "train texts of one label")
