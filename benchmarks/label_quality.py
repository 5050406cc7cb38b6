"""What labels are worth: cheaper numbers, and definitions of utility against each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.common import console, show
from devtools.models import real_llm
from uec_retriever.utility_labeler.inspection import by_question, gold_first
from uec_retriever.utility_labeler.labeler import Labeler
from uec_retriever.utility_labeler.labels import Label
from uec_retriever.utility_labeler.local import LocalJudge
from uec_retriever.utility_labeler.prompts import Prompt, default_prompts
from uec_retriever.utility_labeler.questions import Pair
from uec_retriever.utility_labeler.run import make_chunks
from uec_retriever.utility_labeler.utility import LabelOptions


def measure_precision(name: str, judge_name: str, judge: LocalJudge, pairs: list[Pair]) -> dict[str, Any]:
    """Cheaper numbers: speed against float32, error and rank correlation of the labels."""
    reference, base = _time_labels(Labeler(judge), pairs)
    expected = np.array([x.utility for x in reference])
    rows: dict[str, Any] = {}
    variants: dict[str, dict[str, Any]] = {"int8": {"quantize": "int8"}, "bfloat16": {"dtype": "bfloat16"}}
    for variant, options in variants.items():
        with console.status(f"{name}: {variant}"):
            other = LocalJudge.load(str(real_llm(judge_name)), device="cpu", **options)
            labels, seconds = _time_labels(Labeler(other), pairs)
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
    chat = bool(getattr(local.tokenizer, "chat_template", None))
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
            labels[variant], _ = _time_labels(Labeler(local, used, options), pairs)
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


def _time_labels(labeler: Labeler, pairs: list[Pair]) -> tuple[list[Label], float]:
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
