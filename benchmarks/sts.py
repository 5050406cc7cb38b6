"""Spearman correlation with gold similarities: every method on the same sentence embeddings.

    python -m benchmarks.sts                     # stsb_en and sick_r, MiniLM and WordLlama
    python -m benchmarks.sts --limit 200 --sets stsb_en

Posteriors, temperature and fixed weights come from `train.tsv`, no test pair is used; see
`uec_retriever.evaluation.sts` for how the two sentences of a pair are treated alike.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.common import SEED, console, data_folder, save_result
from devtools.models import MINILM, MPNET, WORDLLAMA, real_model
from uec_retriever.cli.eval_similarity import show_sts
from uec_retriever.encoders.expert import Expert
from uec_retriever.evaluation.sts import StsOptions, run_sts

SETS = ("stsb_en", "sick_r")


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument(
        "--experts", nargs="+", default=[MINILM, WORDLLAMA], choices=[MINILM, WORDLLAMA, MPNET]
    )
    parser.add_argument("--limit", type=int, help="at most this many test pairs of each set")
    parser.add_argument(
        "--train", type=int, default=1000, help="at most this many train pairs for the weights"
    )
    parser.add_argument("--pairs", type=int, default=320, help="at most this many calibration pairs")
    parser.add_argument("--temperature", type=float, help="instead of the one that calibration pairs choose")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    arguments = parser.parse_args()
    experts = [Expert.load(str(real_model(name)), label=name, device="cpu") for name in arguments.experts]
    start = time.monotonic()
    options = StsOptions(arguments.limit, arguments.train, arguments.pairs, arguments.temperature, SEED)
    result = run_sts([data_folder() / name for name in arguments.sets], experts, options)
    show_sts(result)
    console.print(f"{time.monotonic() - start:.0f} s")
    save_result("sts", result, arguments.out)


if __name__ == "__main__":
    main()
