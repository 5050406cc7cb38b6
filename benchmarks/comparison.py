"""One method against others, query by query: paired differences of nDCG@10 with intervals, and where it loses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common import SEED
from uec_retriever.evaluation.bootstrap import Interval, interval, resample_means
from uec_retriever.evaluation.metrics import NDCG
from uec_retriever.evaluation.retrieval_study import Measurements


def mean_difference(measured: Sequence[Measurements], method: str, other: str) -> Interval:
    """Mean over sets of the difference of nDCG@10, queries resampled within each set."""
    differences = [m.values[method][NDCG] - m.values[other][NDCG] for m in measured]
    draws = np.mean([resample_means(d, SEED) for d in differences], axis=0)
    return interval(float(np.mean([d.mean() for d in differences])), draws)


def compare_table(measured: Sequence[Measurements], method: str, name: str) -> dict[str, Any]:
    """A table of a result file: a method minus each single expert, fusion, ensemble and UEC method, best ones first.

    Args:
        measured: of collections with the same methods.
        method: its label.
        name: of the table.
    """
    kinds = {
        k: kind for k, kind in measured[0].kinds.items() if kind not in ("oracle", "ablation") and k != method
    }
    averages = {k: float(np.mean([m.values[k][NDCG].mean() for m in measured])) for k in kinds}
    rows = []
    for other in sorted(kinds, key=lambda k: -averages[k]):
        each = [float((m.values[method][NDCG] - m.values[other][NDCG]).mean()) for m in measured]
        whole = mean_difference(measured, method, other)
        rows.append(
            [other, f"{whole.mean:+.3f} [{whole.low:+.3f}, {whole.high:+.3f}]", *(f"{d:+.3f}" for d in each)]
        )
    best = [
        f"{m.values[method][NDCG].mean() - max(m.values[k][NDCG].mean() for k, kind in kinds.items() if kind == 'single'):+.3f}"
        for m in measured
    ]
    return {
        "name": name,
        "title": f"{NDCG} of {method} minus that of others",
        "columns": ["other", "mean", *(m.collection.name for m in measured)],
        "rows": [*rows, ["each set's best single expert", "", *best]],
        "note": "[...]: 95 % paired bootstrap interval over queries; each set counts alike",
    }
