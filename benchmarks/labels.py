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
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import SEED, console, data_folder, save_result, show
from benchmarks.label_quality import measure_noise, measure_precision
from devtools.models import GEMMA3, SMOLLM2, real_llm
from uec_retriever.data.corpus import Corpus
from uec_retriever.utility_labeler.judge import TokenSequence
from uec_retriever.utility_labeler.labeler import Labeler
from uec_retriever.utility_labeler.labels import Label
from uec_retriever.utility_labeler.local import LocalJudge
from uec_retriever.utility_labeler.mining import BM25, Mining, Passages, mine
from uec_retriever.utility_labeler.questions import Pair, Question, Questions
from uec_retriever.utility_labeler.run import CHUNK, make_chunks
from uec_retriever.utility_labeler.scoring import Budget

JUDGES = (SMOLLM2, GEMMA3)
PARTS = ("speed", "noise", "precision")
IN_GROUP = ("qasper_dev_evidence", "policyqa")


class PlainLoop(LocalJudge):
    """A judge with one forward pass for each sequence, over the logits of all of it."""

    @torch.inference_mode()
    def log_likelihoods(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """One after the other."""
        return [self._log_likelihood(s) for s in sequences]

    def _log_likelihood(self, sequence: TokenSequence) -> float:
        ids = torch.tensor([[*sequence.prompt, *sequence.answer]])
        logits = self.model(ids).logits[0, len(sequence.prompt) - 1 : -1].float().log_softmax(-1)
        return float(logits.gather(1, torch.tensor(sequence.answer)[:, None]).double().sum())


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
    parser.add_argument("--name", default="labels", help="of the JSON file")
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
    save_result(arguments.name, result, arguments.out)


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


def measure_speed(
    name: str, judge: LocalJudge, chunks: list[list[Pair]], earlier: list[list[Question]]
) -> dict[str, Any]:
    """Seconds of each way for the same pairs, in turns, and the largest difference of a label."""
    ways: dict[str, Labeler] = {
        "plain loop": Labeler(_judge(judge, Budget(), PlainLoop)),
        "answer logits, padded batches": Labeler(_judge(judge, Budget(pack=False))),
        "rows without padding": Labeler(_judge(judge, Budget(min_saving=None))),
        "and shared beginnings": Labeler(_judge(judge, Budget())),
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


def _judge(judge: LocalJudge, budget: Budget, kind: type[LocalJudge] = LocalJudge) -> LocalJudge:
    return kind(judge.model, judge.tokenizer, name="same", budget=budget, fingerprint=judge.fingerprint)


if __name__ == "__main__":
    main()
