"""Spearman correlation with gold similarities, and how good a probability each similarity is.

    python -m benchmarks.sts                     # stsb_en and sick_r, MiniLM and WordLlama
    python -m benchmarks.sts --limit 200 --sets stsb_en

Posteriors, temperature and fixed weights come from `train.tsv`, no test pair is used; see
`benchmarks.sts_study` for how the two sentences of a pair are treated alike. `reliability` reads similarities
against gold scores brought to [0, 1], before (uniform cosines) and after the variances count (`benchmarks.probability`).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks.common import (
    PROVENANCE,
    SEED,
    add_calibration_arguments,
    add_expert_arguments,
    console,
    data_folder,
    load_experts,
    save_result,
)
from benchmarks.probability import readings
from benchmarks.probability_report import probability_report
from benchmarks.sts_data import StsOptions
from benchmarks.sts_study import StsSet, score_pairs, summarise_sts
from uec_retriever.cli.eval_options import show_tables
from uec_retriever.evaluation.expert_set import STRUCTURES
from uec_retriever.evaluation.methods import UNIFORM

SETS = ("stsb_en", "sick_r")


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--limit", type=int, help="at most this many test pairs of each set")
    parser.add_argument(
        "--train", type=int, default=1000, help="at most this many train pairs for the weights"
    )
    add_calibration_arguments(parser, pairs=320)
    add_expert_arguments(parser)
    arguments = parser.parse_args()
    experts = load_experts(arguments.experts)
    start = time.monotonic()
    options = StsOptions(arguments.limit, arguments.pairs, arguments.temperature, SEED)
    found = [score_pairs(data_folder() / name, experts, options, arguments.train) for name in arguments.sets]
    result = summarise_sts(found, [e.label for e in experts], options)
    for one in found:
        result["sets"][one.name]["reliability"] = reliability(one)
    result |= probability_report(result["sets"])
    console.print(f"{time.monotonic() - start:.0f} s")
    save_result("sts", result, arguments.out)
    show_tables({**result, **PROVENANCE}, "sts")


def reliability(found: StsSet) -> dict[str, Any]:
    """Confidence against gold scores."""
    labels = [UNIFORM, *(f"UEC {s}{end}" for s in STRUCTURES for end in (", no similarity", ""))]
    return {
        f"{label}, {reading}": cell
        for label, method in ((label, found.methods[label]) for label in labels)
        for reading, cell in readings(
            found.gold, method.score, method.mean, method.variance if method.kind == "uec" else None, SEED
        ).items()
    }


if __name__ == "__main__":
    main()
