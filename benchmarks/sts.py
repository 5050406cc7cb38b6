"""Spearman correlation with gold similarities: every method on the same sentence embeddings.

    python -m benchmarks.sts                     # stsb_en and sick_r, MiniLM and WordLlama
    python -m benchmarks.sts --limit 200 --sets stsb_en

Posteriors, temperature and fixed weights come from `train.tsv`, no test pair is used; see
`uec_retriever.evaluation.sts` for how the two sentences of a pair are treated alike.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.common import (
    SEED,
    add_calibration_arguments,
    add_expert_arguments,
    console,
    data_folder,
    load_experts,
    save_result,
)
from uec_retriever.cli.eval_similarity import show_sts
from uec_retriever.evaluation.sts import StsOptions, run_sts

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
    options = StsOptions(arguments.limit, arguments.train, arguments.pairs, arguments.temperature, SEED)
    result = run_sts([data_folder() / name for name in arguments.sets], experts, options)
    show_sts(result)
    console.print(f"{time.monotonic() - start:.0f} s")
    save_result("sts", result, arguments.out)


if __name__ == "__main__":
    main()
