"""Utility labels: how fast, how exact, and which definition of utility ranks gold passages first.

    python -m benchmarks.labels
    python -m benchmarks.labels --sets covidqa --parts speed --speed-chunks 1 --chunk 16    # small

- `speed`: pairs per second of the labeler against a plain loop in the same run: one forward pass with full-sequence
  logits per pair and answer, and one per question and answer without a passage. Both sides take turns, chunk by
  chunk, so that other work on the machine hits both. The largest difference of a label is given, and which ingredient
  pays how much. The chunks are a random choice of those of a run over the whole train split; what such a run would
  know by then of its questions without a passage is known here.
- `noise`: gold-first rate and mean rank correlation with the qrels-free consensus (the mean rank over all variants) of
  each definition of utility: length normalisation, neutral baseline, paraphrased prompts, several answers, chat and
  plain prompts. Questions of the train split.
- `precision`: the same labels by int8 weights and by bfloat16: speed and label error.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.common import SEED, console, data_folder, save_result, show
from devtools.models import GEMMA3, SMOLLM2, real_llm
from uec_retriever.corpus import Corpus
from uec_retriever.utility_labeler.inspection import by_question, gold_first
from uec_retriever.utility_labeler.judge import TokenSequence
from uec_retriever.utility_labeler.labeler import Labeler
from uec_retriever.utility_labeler.labels import Label
from uec_retriever.utility_labeler.local import LocalJudge
from uec_retriever.utility_labeler.mining import BM25, Mining, Passages, mine
from uec_retriever.utility_labeler.prompts import Prompt, default_prompts
from uec_retriever.utility_labeler.questions import Pair, Question, Questions
from uec_retriever.utility_labeler.run import CHUNK, make_chunks
from uec_retriever.utility_labeler.scoring import Budget
from uec_retriever.utility_labeler.utility import LabelOptions

JUDGES = (SMOLLM2, GEMMA3)
PARTS = ("speed", "noise", "precision")
IN_GROUP = ("qasper_dev_evidence", "policyqa")


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["covidqa", "qasper_dev_evidence"])
    parser.add_argument("--judge", choices=JUDGES, default=SMOLLM2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--questions", type=int, default=60, help="questions of each set, for noise")
    parser.add_argument(
        "--speed-chunks", type=int, default=2, help="chunks of each set, for speed and precision"
    )
    parser.add_argument("--chunk", type=int, default=CHUNK, help="pairs in a chunk")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with console.status(f"loading {arguments.judge}"):
        judge = LocalJudge.load(str(real_llm(arguments.judge)), device="cpu")
    result: dict[str, Any] = {
        "judge": arguments.judge,
        "fingerprint": judge.fingerprint,
        "threads": torch.get_num_threads(),
        "candidates": arguments.candidates,
        "split": "train",
        "sets": {},
    }
    for name in arguments.sets:
        found: dict[str, Any] = {}
        chunks, earlier = sample_chunks(
            load_pairs(name, None, arguments.candidates), arguments.chunk, arguments.speed_chunks
        )
        if "speed" in arguments.parts:
            found["speed"] = measure_speed(name, judge, chunks, earlier)
        if "precision" in arguments.parts:
            few = [pair for chunk in chunks for pair in chunk]
            found["precision"] = measure_precision(name, arguments.judge, judge, few)
        if "noise" in arguments.parts:
            pairs = load_pairs(name, arguments.questions, arguments.candidates)
            found["noise"] = measure_noise(name, judge, pairs)
        result["sets"][name] = found
    save_result("labels", result, arguments.out)


def load_pairs(name: str, number: int | None, candidates: int) -> list[Pair]:
    """Questions of the train split, a random choice or all, with BM25 and random candidates."""
    folder = data_folder() / name
    questions = list(Questions(folder, "train"))
    order = np.random.default_rng(SEED).permutation(len(questions))[:number]
    chosen = [questions[i] for i in sorted(order.tolist())]
    passages = Passages(document.record for document in Corpus(folder))
    options = Mining(candidates, within_group=name in IN_GROUP, seed=SEED)
    return list(mine(chosen, passages, BM25(passages), options))


def sample_chunks(pairs: list[Pair], size: int, number: int) -> tuple[list[list[Pair]], list[list[Question]]]:
    """Some chunks of a run over all pairs; and for each, its questions that the run has met before."""
    chunks = list(make_chunks(pairs, size))
    order = sorted(np.random.default_rng(SEED).permutation(len(chunks))[:number].tolist())
    first: dict[str, int] = {}
    for position, chunk in enumerate(chunks):
        for pair in chunk:
            first.setdefault(pair.question.id, position)
    earlier = [[p.question for p in chunks[i] if first[p.question.id] < i] for i in order]
    return [chunks[i] for i in order], earlier


@torch.inference_mode()
def plain_loop(judge: LocalJudge, sequence: TokenSequence) -> float:
    """One forward pass, logits of the whole sequence, log-softmax."""
    ids = [*sequence.prompt, *sequence.answer]
    logits = judge.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    start = len(sequence.prompt)
    targets = torch.tensor(sequence.answer)
    return float(logits[start - 1 : -1].gather(1, targets[:, None]).double().sum())


class PlainJudge:
    """A judge that runs the plain loop."""

    def __init__(self, judge: LocalJudge) -> None:
        self.judge = judge
        self.tokenizer: Any = judge.tokenizer
        self.context = judge.context
        self.fingerprint = judge.fingerprint
        self.description = judge.description

    def log_likelihoods(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """One after the other."""
        return [plain_loop(self.judge, s) for s in sequences]

    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[str]:
        """As the judge."""
        return self.judge.generate(prompts, max_new_tokens)


class RememberingJudge(PlainJudge):
    """A judge that is asked for each sequence once: definitions of utility share most of them."""

    def __init__(self, judge: LocalJudge) -> None:
        super().__init__(judge)
        self._known: dict[TokenSequence, float] = {}

    def log_likelihoods(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """Asks for what is new."""
        new = [s for s in dict.fromkeys(sequences) if s not in self._known]
        self._known.update(zip(new, self.judge.log_likelihoods(new), strict=True))
        return [self._known[s] for s in sequences]


def measure_speed(
    name: str, judge: LocalJudge, chunks: list[list[Pair]], earlier: list[list[Question]]
) -> dict[str, Any]:
    """Seconds of each way for the same pairs, in turns, and the largest difference of a label."""
    ways: dict[str, Labeler] = {
        "plain loop": Labeler(PlainJudge(judge)),
        "answer logits, batches": Labeler(_with_budget(judge, Budget(min_saving=None))),
        "and shared beginnings": Labeler(_with_budget(judge, Budget())),
    }
    pairs = [pair for chunk in chunks for pair in chunk]
    warm = pairs[:2]
    seconds = dict.fromkeys(ways, 0.0)
    labels: dict[str, list[Label]] = {way: [] for way in ways}
    for labeler in ways.values():
        Labeler(labeler.judge).label(warm)
    with console.status(f"{name}: speed"):
        for chunk, met in zip(chunks, earlier, strict=True):
            for way, labeler in ways.items():
                labeler.prepare(met)
                start = time.perf_counter()
                labels[way] += labeler.label(chunk)
                seconds[way] += time.perf_counter() - start
    base = seconds["plain loop"]
    expected = np.array([x.utility for x in labels["plain loop"]])
    rows = {
        way: {
            "seconds": seconds[way],
            "pairs_per_second": len(pairs) / seconds[way],
            "ratio": base / seconds[way],
            "largest_difference": float(np.abs(np.array([x.utility for x in labels[way]]) - expected).max()),
        }
        for way in ways
    }
    passages = len({p.candidate.passage_id for p in pairs})
    show(
        f"{name}: {len(pairs)} pairs of {len({p.question.id for p in pairs})} questions and {passages} passages",
        ["way", "pairs/s", "ratio", "largest difference, nats"],
        [
            [way, f"{r['pairs_per_second']:.2f}", f"{r['ratio']:.2f}", f"{r['largest_difference']:.1e}"]
            for way, r in rows.items()
        ],
    )
    return {"pairs": len(pairs), "passages": passages, "ways": rows}


def measure_precision(name: str, judge_name: str, judge: LocalJudge, pairs: list[Pair]) -> dict[str, Any]:
    """Cheaper numbers: speed against float32, error and rank correlation of the labels."""
    reference, base = _timed(Labeler(judge), pairs)
    expected = np.array([x.utility for x in reference])
    rows: dict[str, Any] = {}
    variants: dict[str, dict[str, Any]] = {"int8": {"quantize": "int8"}, "bfloat16": {"dtype": "bfloat16"}}
    for variant, options in variants.items():
        with console.status(f"{name}: {variant}"):
            other = LocalJudge.load(str(real_llm(judge_name)), device="cpu", **options)
            labels, seconds = _timed(Labeler(other), pairs)
        error = np.abs(np.array([x.utility for x in labels]) - expected)
        rows[variant] = {
            "ratio": base / seconds,
            "mean_error": float(error.mean()),
            "error_95": float(np.quantile(error, 0.95)),
            "largest_error": float(error.max()),
            "rank_correlation": _agreement(labels, reference),
            "gold_first": _rate(labels),
        }
    show(
        f"{name}: precision, against float32 (gold first {_rate(reference):.3f})",
        ["variant", "speed", "mean error", "95 %", "largest", "rank correlation", "gold first"],
        [[v, *(f"{x:.3f}" for x in r.values())] for v, r in rows.items()],
    )
    return {"float32_gold_first": _rate(reference), "variants": rows}


def measure_noise(name: str, local: LocalJudge, pairs: list[Pair]) -> dict[str, Any]:
    """Gold-first rate of each definition of utility, and its agreement with the consensus of all."""
    judge = RememberingJudge(local)
    chat = bool(getattr(judge.tokenizer, "chat_template", None))
    prompts = default_prompts(chat=chat)
    default = LabelOptions()
    variants: dict[str, tuple[Sequence[Prompt], LabelOptions]] = {
        "default (mean per token, max answer)": (prompts, default),
        "sum over tokens": (prompts, replace(default, normalise="sum")),
        "neutral baseline": (prompts, replace(default, baseline="neutral")),
        "3 paraphrases": (default_prompts(chat=chat, paraphrases=3), default),
        "first answer": (prompts, replace(default, answers="first")),
        "mean answer": (prompts, replace(default, answers="mean")),
        "3 paraphrases, mean answer": (
            default_prompts(chat=chat, paraphrases=3),
            replace(default, answers="mean"),
        ),
    }
    if chat:
        variants["plain prompt"] = (default_prompts(chat=False), default)
    labels: dict[str, list[Label]] = {}
    for variant, (used, options) in variants.items():
        with console.status(f"{name}: {variant}"):
            labels[variant], _ = _timed(Labeler(judge, used, options), pairs)
    ranks = np.mean([_ranks(found) for found in labels.values()], axis=0)
    rows: dict[str, Any] = {}
    for variant, found in labels.items():
        gold = gold_first(found)
        assert gold is not None
        rows[variant] = {
            "gold_first": gold.rate,
            "chance": gold.chance,
            "agreement_with_consensus": _correlation(found, -ranks),
            "agreement_with_default": _agreement(found, labels["default (mean per token, max answer)"]),
            "spread": float(np.std([x.utility for x in found])),
            "mean_log_likelihood_with": float(np.mean([x.log_likelihood_with for x in found])),
        }
    questions = len({p.question.id for p in pairs})
    show(
        f"{name}: {questions} questions, chance {rows['3 paraphrases']['chance']:.3f}",
        ["utility", "gold first", "rank correlation with consensus", "with default"],
        [
            [
                v,
                f"{r['gold_first']:.3f}",
                f"{r['agreement_with_consensus']:.3f}",
                f"{r['agreement_with_default']:.3f}",
            ]
            for v, r in rows.items()
        ],
    )
    return {"questions": questions, "pairs": len(pairs), "variants": rows}


def _with_budget(judge: LocalJudge, budget: Budget) -> LocalJudge:
    return LocalJudge(judge.model, judge.tokenizer, name="same", budget=budget, fingerprint=judge.fingerprint)


def _timed(labeler: Labeler, pairs: list[Pair]) -> tuple[list[Label], float]:
    """Labels in the order of the pairs, and seconds."""
    start = time.perf_counter()
    found = {label.key: label for chunk in make_chunks(pairs, 64) for label in labeler.label(chunk)}
    return [found[pair.key] for pair in pairs], time.perf_counter() - start


def _rate(labels: list[Label]) -> float:
    found = gold_first(labels)
    return found.rate if found is not None else float("nan")


def _ranks(labels: list[Label]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Rank of each label within its question, 0 the best."""
    rank = {
        label.key: position for group in by_question(labels).values() for position, label in enumerate(group)
    }
    return np.array([rank[label.key] for label in labels], dtype=float)


def _agreement(labels: list[Label], others: list[Label]) -> float:
    return _correlation(labels, np.array([x.utility for x in others]))


def _correlation(labels: list[Label], values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Mean Spearman correlation within the questions."""
    rows: dict[str, list[int]] = {}
    for position, label in enumerate(labels):
        rows.setdefault(label.question_id, []).append(position)
    utilities = np.array([x.utility for x in labels])
    found = [
        float(spearmanr(utilities[r], values[r]).statistic)
        for r in rows.values()
        if np.ptp(utilities[r]) > 0 and np.ptp(values[r]) > 0
    ]
    return float(np.mean(found)) if found else float("nan")


if __name__ == "__main__":
    main()
