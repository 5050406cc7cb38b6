"""A logistic probe as in MTEB on every method's features, and out-of-scope texts by uncertainty.

    python -m benchmarks.classification                      # banking77 and clinc150, MiniLM and WordLlama
    python -m benchmarks.classification --labels 10 --limit 100 --rounds 1

Posteriors, temperature and fixed weights come from train texts; see `uec_retriever.evaluation.classification`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.common import SEED, console, data_folder, save_result
from devtools.models import MINILM, MPNET, WORDLLAMA, real_model
from uec_retriever.cli.eval_similarity import show_classification
from uec_retriever.encoders.expert import Expert
from uec_retriever.evaluation.classification import ClassificationOptions, run_classification

SETS = ("banking77", "clinc150")


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument(
        "--experts", nargs="+", default=[MINILM, WORDLLAMA], choices=[MINILM, WORDLLAMA, MPNET]
    )
    parser.add_argument("--limit", type=int, help="at most this many test and out-of-scope texts of each set")
    parser.add_argument("--labels", type=int, help="at most this many labels of each set")
    parser.add_argument("--per-label", type=int, default=8, help="training texts of each label in a round")
    parser.add_argument("--rounds", type=int, default=10, help="training samples")
    parser.add_argument("--pairs", type=int, default=320, help="at most this many calibration pairs")
    parser.add_argument("--temperature", type=float, help="instead of the one that calibration pairs choose")
    parser.add_argument("--out", type=Path, help="folder for the JSON")
    arguments = parser.parse_args()
    experts = [Expert.load(str(real_model(name)), label=name, device="cpu") for name in arguments.experts]
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
    result = run_classification([data_folder() / name for name in arguments.sets], experts, options)
    show_classification(result)
    console.print(f"{time.monotonic() - start:.0f} s")
    save_result("classification", result, arguments.out)


if __name__ == "__main__":
    main()
