"""Domain experts: a base model, fine-tuned on the train qrels of one domain each.

    python -m benchmarks.domains                        # train the four, into --work; done ones are kept
    python -m benchmarks.domains --questions 40 --epochs 1

The stand-in for the UEC paper's language experts (MIRACL): one architecture, one initialisation, four domains.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.common import ROOT, SEED, console, data_folder
from devtools.models import MINILM, real_model
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.training import GradedQuestion, TrainingOptions, questions_from_qrels, train
from uec_retriever.training.checkpoints import REPORT
from uec_retriever.training.data import calibration_pairs

DOMAINS = {
    "biomedical": ("covidqa", "pubmedqa"),
    "tools": ("metatool",),
    "legal": ("policyqa",),
    "science": ("qasper_dev_evidence",),
}
REPEATED = ("policyqa",)  # the same questions about every policy: no group can be held out by itself
WORK = ROOT / ".cache" / "domains"


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training_arguments(parser)
    arguments = parser.parse_args()
    train_experts(arguments.work, arguments.questions, arguments.epochs, arguments.lr, arguments.max_length)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the experts' training."""
    parser.add_argument("--questions", type=int, default=800, help="train questions of each domain, at most")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--max-length", type=int, default=128, help="tokens of a text in training")
    parser.add_argument("--work", type=Path, default=WORK, help="trained models and encodings")


def domain_questions(domain: str, limit: int | None = None) -> list[GradedQuestion]:
    """Train questions of a domain's sets, equally many of each where there are enough, one relevant passage each.

    Args:
        domain: key of `DOMAINS`.
        limit: at most this many, a random choice.
    """
    generator = random.Random(SEED)
    names = DOMAINS[domain]
    chosen: list[GradedQuestion] = []
    for name in names:
        questions = questions_from_qrels(data_folder() / name)
        generator.shuffle(questions)
        for question in questions[: limit // len(names) if limit else None]:
            candidate = generator.choice(question.candidates)
            chosen.append(
                replace(
                    question,
                    id=f"{name}/{question.id}",
                    candidates=(replace(candidate, id=f"{name}/{candidate.id}"),),
                    group=f"{name}/{question.group}" if question.group and name not in REPEATED else None,
                )
            )
    return chosen


def domain_pairs(domain: str, limit: int) -> CalibrationPairs:
    """Calibration pairs of a domain: train questions with a relevant passage, in random order."""
    return calibration_pairs(domain_questions(domain, limit), SEED)


def train_experts(
    work: Path,
    questions: int,
    epochs: float,
    learning_rate: float,
    max_length: int,
    domains: Sequence[str] = tuple(DOMAINS),
    base: str = MINILM,
) -> dict[str, Path]:
    """Folder of each domain's expert; those that are finished are not trained again."""
    experts = {}
    for domain in domains:
        options = TrainingOptions(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=32,
            candidates=1,
            max_length=max_length,
            evaluations=1,
            seed=SEED,
        )
        out = work / f"{domain}-{questions}x{epochs:g}-{learning_rate:g}-{max_length}"
        experts[domain] = out
        if (out / REPORT).is_file():
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        report = train(
            str(real_model(base)),
            domain_questions(domain, questions),
            out,
            options,
            data=f"train qrels of {', '.join(DOMAINS[domain])}",
            resume=True,
        )
        console.print(
            f"{domain}: {report.questions} questions, held-out nDCG@10 {report.before['ndcg@10']:.4f} -> "
            f"{report.after['ndcg@10']:.4f} at step {report.best_step} of {report.steps}, {report.seconds:.0f} s"
        )
    return experts


if __name__ == "__main__":
    main()
