"""The table of `benchmarks.confidence`: signals and confidence on every set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

METRICS = {
    "nauc": "nAUC",
    "auroc_mixed": "AUROC mixed",
    "auroc_off_topic": "AUROC off topic",
    "ece_mixed": "ECE mixed",
}
NAMES = {
    "signal: top": "score of the best hit (MTEB)",
    "heuristic: deviation of the first ten": "deviation of the first ten (MTEB)",
    "heuristic: the first less the second": "the first less the second (MTEB)",
    "signal: margin_5": "the first less the fifth",
    "signal: margin_10": "the first less the tenth",
    "pseudo, 50% unanswerable": "confidence, no labels",
    "pseudo, 50% unanswerable, no prior": "confidence, no labels, no prior",
    "pseudo, 0% unanswerable": "confidence, no labels, all answerable",
    "train labels, 50% unanswerable": "confidence, train labels",
}


def signals_table(results: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of a metric and a signal, columns of sets and their mean.

    Args:
        results: set -> what `benchmarks.confidence` found on it.
    """
    rows = []
    for metric, title in METRICS.items():
        for name, told in NAMES.items():
            values = [result["scores"].get(name, {}).get(metric) for result in results.values()]
            known = [value for value in values if value is not None]
            if known:
                whole = "" if len(known) == len(values) else f" (of {len(known)})"
                shown = ["-" if value is None else f"{value:.3f}" for value in values]
                rows.append([f"{title}: {told}", *shown, f"{np.mean(known):.3f}{whole}"])
    return {
        "name": "signals",
        "title": "Signals and confidence, by set",
        "columns": ["", *results, "mean"],
        "rows": rows,
    }
