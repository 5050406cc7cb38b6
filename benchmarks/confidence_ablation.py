"""What the prior adds to a confidence that was calibrated without labels: with it less without it, with paired intervals.

Both models are fitted on the same searches; test queries are drawn with replacement, each with its two searches, the
one with its right texts and the one without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.common import SEED
from uec_retriever.confidence.fit import expected_calibration_error
from uec_retriever.evaluation.abstention import nauc
from uec_retriever.evaluation.bootstrap import interval, resample

DRAWS = 500
WITHOUT = ", no prior"
# metric -> what the table calls it
SHOWN = {
    "auroc_hit": "AUROC of a hit",
    "auroc_mixed": "AUROC, half without answer",
    "nauc": "nAUC of nDCG@10",
    "ece_mixed": "ECE, half without answer",
}
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ablation:
    """Both models of one calibration on n test queries of a set.

    Attributes:
        present: `[4]` the metrics of `SHOWN` with the prior.
        absent: `[4]` without it.
        draws: `[S, 4]` differences, present less absent, of the draws; NaN where a draw has no value.
    """

    present: Floats
    absent: Floats
    draws: Floats


def ablate(
    present: Sequence[Floats], absent: Sequence[Floats], hits: NDArray[np.bool_], ndcg: Floats
) -> Ablation:
    """Compare two models query by query.

    Args:
        present: `[n]` confidences of the searches with right texts, and `[n]` of those without, by the model with the prior.
        absent: the same by the other model.
        hits: `[n]` whether the former found one.
        ndcg: `[n]` nDCG@10 of the former.
    """
    every = np.arange(len(hits))

    def both(rows: NDArray[np.int_]) -> Floats:
        sides = [(whole[rows], left_out[rows]) for whole, left_out in (present, absent)]
        return np.array([metrics(*side, hits[rows], ndcg[rows]) for side in sides])

    draws = resample(lambda rows: np.subtract(*both(rows)), len(hits), SEED, DRAWS)
    found = both(every)
    return Ablation(found[0], found[1], draws)


def metrics(whole: Floats, left_out: Floats, hits: NDArray[np.bool_], ndcg: Floats) -> Floats:
    """`[4]` the metrics of `SHOWN`; an AUROC is NaN where all searches, or none, succeeded."""
    searches = np.concatenate([whole, left_out])
    outcomes = np.concatenate([hits, np.zeros(len(left_out), bool)])
    areas = (area(hits, whole), area(outcomes, searches))
    return np.array([*areas, nauc(ndcg, whole), expected_calibration_error(outcomes, searches)])


def area(labels: NDArray[np.bool_], values: Floats) -> float:
    """AUROC by ranks, as Mann and Whitney's U: scikit-learn's takes too long for thousands of draws."""
    ones = int(labels.sum())
    if not 0 < ones < len(labels):
        return float("nan")
    above = float(rankdata(values)[labels].sum()) - ones * (ones + 1) / 2
    return above / (ones * (len(labels) - ones))


def ablation_table(found: Mapping[str, Mapping[str, Ablation]]) -> dict[str, Any]:
    """A table of a result file: every set, and the means over sets, by what the models were fitted on.

    Args:
        found: set -> calibration, of equal names where sets share one -> ablation.
    """
    rows = []
    for source in dict.fromkeys(source for one in found.values() for source in one):
        parts = {name: one[source] for name, one in found.items() if source in one}
        rows += [[f"{name}, {source}", *_cells([one])] for name, one in parts.items()]
        if len(parts) > 1:
            rows.append([f"mean, {source}", *_cells(list(parts.values()))])
    return {
        "name": "prior",
        "title": "Confidence with the prior, and the difference to one without it",
        "columns": ["set, fitted on", *(c for shown in SHOWN.values() for c in (shown, "difference"))],
        "rows": rows,
        "note": "[...]: 95 % paired bootstrap interval over queries; each set counts alike; a lower ECE is better",
    }


def _cells(parts: Sequence[Ablation]) -> list[str]:
    """The metrics with the prior and the differences, means over sets."""
    present, absent = (np.mean([getattr(p, side) for p in parts], axis=0) for side in ("present", "absent"))
    draws = np.mean([p.draws for p in parts], axis=0)
    cells = []
    for metric in range(len(SHOWN)):
        gain = interval(present[metric] - absent[metric], draws[:, metric])
        cells += [f"{present[metric]:.3f}", f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"]
    return cells
