"""Sentence pairs with gold scores, their calibration pairs, and the rank correlation with them.

Where a folder has `train.tsv`, its pairs with a gold score in the upper fifth of the scale are the calibration pairs of
posteriors, zeros, priors and temperature. Where it has none, halves of the test sentences themselves are, or, where those
are too few, general texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from benchmarks.tab_separated import ScoredPair, read_pairs, sample
from uec_retriever.data.pairs import MINIMUM_PAIRS, CalibrationPairs, pseudo_pairs
from uec_retriever.data.stdlib_docs import docstring_pairs
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import Rows, Values, compare, resample
from uec_retriever.evaluation.methods import UNIFORM
from uec_retriever.gaussian import Array

_ALIKE = 0.8  # of the scale: a gold score that makes a calibration pair
_SAMPLES = 500  # a rank correlation is dearer than a mean


@dataclass(frozen=True)
class StsOptions:
    """What is measured.

    Attributes:
        limit: at most this many test pairs of each set, a random sample.
        calibration_pairs: at most this many pairs for the posteriors.
        temperature: T; chosen on held-out calibration pairs if None.
        seed: of samples and bootstrap.
    """

    limit: int | None = None
    calibration_pairs: int = 320
    temperature: float | None = None
    seed: int = 0


def correlate(
    scores: Mapping[str, tuple[Array, Array]], kinds: Mapping[str, str], seed: int
) -> dict[str, Any]:
    """`sets` and `mean` of a result.

    Args:
        scores: set -> `[n]` gold similarities of its pairs, and `[n, M]` similarities.
        kinds: M labels -> their kinds.
        seed: of the bootstrap.
    """
    values, draws, sets = [], [], {}
    for name, (gold, columns) in scores.items():

        def statistic(rows: Rows, columns: Array = columns, gold: Array = gold) -> Values:
            return spearman(columns[rows], gold[rows])

        values.append(spearman(columns, gold))
        draws.append(resample(statistic, len(gold), seed, _SAMPLES))
        cells = _cells(list(kinds), values[-1], draws[-1])
        shown = {m: {"kind": kinds[m], "Spearman": {**cell, "n": len(gold)}} for m, cell in cells.items()}
        sets[name] = {"pairs": len(gold), "methods": shown}
    mean = _cells(list(kinds), np.mean(values, axis=0), np.mean(draws, axis=0))
    return {"sets": sets, "mean": {label: {"Spearman": cell} for label, cell in mean.items()}}


def spearman(scores: Array, truth: Array) -> Values:
    """`[M]` rank correlation of each column of `[n, M]` scores with `[n]` values; NaN where one does not vary."""
    ranks, wanted = rankdata(scores, axis=0), rankdata(truth)
    ranks, wanted = ranks - ranks.mean(axis=0), wanted - wanted.mean()
    with np.errstate(invalid="ignore"):
        return np.asarray(wanted @ ranks / np.sqrt((ranks**2).sum(axis=0) * (wanted**2).sum()))


def read_folder(folder: Path, options: StsOptions) -> tuple[list[ScoredPair], list[ScoredPair]]:
    """Test pairs, a sample of them, and train pairs, none if there are none."""
    test = sample(read_pairs(folder / "pairs.tsv"), options.limit, options.seed)
    return test, read_pairs(folder / "train.tsv") if (folder / "train.tsv").is_file() else []


def similar_pairs(
    test: Sequence[ScoredPair], train: Sequence[ScoredPair], limit: int, seed: int
) -> CalibrationPairs:
    """Calibration pairs: alike ones of the train pairs, or halves of the test sentences, or general ones."""
    low, high = (end((gold for gold, _, _ in train), default=0.0) for end in (min, max))
    least = low + _ALIKE * (high - low)
    alike = sample([(a, b) for gold, a, b in train if gold >= least and a != b], limit, seed)
    if len(alike) >= MINIMUM_PAIRS:
        order = np.random.default_rng(seed).permutation(len(alike))
        one, other = zip(*(alike[i] for i in order), strict=True)
        return CalibrationPairs(list(one), list(other), f"train pairs, gold above {_ALIKE:.0%} of the scale")
    try:
        sentences = [a for _, a, _ in test] + [b for _, _, b in test]
        return pseudo_pairs(sentences, limit=limit, seed=seed)
    except InvalidInputError:
        return docstring_pairs(limit)


def _cells(labels: Sequence[str], values: Values, draws: Values) -> dict[str, dict[str, Any]]:
    base = list(labels).index(UNIFORM)
    columns = enumerate(labels)
    return {m: compare(values[k], draws[:, k], values[base], draws[:, base]) for k, m in columns}
