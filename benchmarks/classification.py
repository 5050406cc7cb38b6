"""A logistic probe as in MTEB on every method's features, and out-of-scope texts by uncertainty.

    python -m benchmarks.classification                      # banking77 and clinc150, MiniLM and WordLlama
    python -m benchmarks.classification --labels 10 --limit 100 --rounds 1

Posteriors, temperature and fixed weights come from train texts; what the methods are is said in
`benchmarks.classification_study`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict

from benchmarks.classification_data import ClassificationOptions
from benchmarks.classification_study import study_classification
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
from uec_retriever.cli.eval_options import show_tables
from uec_retriever.evaluation.methods import UNIFORM

SETS = ("banking77", "clinc150")


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--limit", type=int, help="at most this many test and out-of-scope texts of each set")
    parser.add_argument("--labels", type=int, help="at most this many labels of each set")
    parser.add_argument("--per-label", type=int, default=8, help="training texts of each label in a round")
    parser.add_argument("--rounds", type=int, default=10, help="training samples")
    add_calibration_arguments(parser, pairs=320)
    add_expert_arguments(parser)
    arguments = parser.parse_args()
    experts = load_experts(arguments.experts)
    start = time.monotonic()
    options = ClassificationOptions(
        arguments.limit,
        arguments.labels,
        arguments.per_label,
        arguments.rounds,
        arguments.pairs,
        arguments.temperature,
        SEED,
    )
    found = {n: study_classification(data_folder() / n, experts, options) for n in arguments.sets}
    result = {
        "kind": "classification",
        "split": "test",
        "experts": [e.label for e in experts],
        "baseline": UNIFORM,
        "settings": asdict(options),
        "sets": {name: one for name, (one, _) in found.items()},
        "chosen": {name: chosen for name, (_, chosen) in found.items()},
    }
    console.print(f"{time.monotonic() - start:.0f} s")
    save_result("classification", result, arguments.out)
    show_tables({**result, **PROVENANCE}, "classification")


if __name__ == "__main__":
    main()
