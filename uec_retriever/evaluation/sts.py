"""Semantic textual similarity: Spearman correlation with gold scores, every method on the same embeddings.

Both sentences go through the experts as queries. Rank fusion has no place here: there is nothing to rank for a
pair. Where a folder has `train.tsv`, its pairs with a gold score in the upper fifth of the scale are the calibration
pairs of posteriors, zeros, priors and temperature, and its Spearman decides the fixed weights. Where it has none, halves
of the sentences themselves are (or, where those are too few, general texts), and their held-out likelihood decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uec_retriever.convolution import pair_likelihood
from uec_retriever.data.pairs import MINIMUM_PAIRS, CalibrationPairs, pseudo_pairs
from uec_retriever.data.stdlib_docs import docstring_pairs
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.calibration import calibration_cell, stated
from uec_retriever.evaluation.fitted import FittedExperts, Progress, fit_experts, linearise_texts
from uec_retriever.evaluation.logistic_map import cross_fitted
from uec_retriever.evaluation.metrics import Values
from uec_retriever.evaluation.pair_scores import PairScores, cosines, fixed_scores, uec_scores
from uec_retriever.evaluation.resampling import Rows, cells, rank_correlation, resampled, spearman
from uec_retriever.evaluation.tables import SentencePairs, read_pairs
from uec_retriever.evaluation.weights import best_weights
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array

BASELINE = "uniform"
STRUCTURES = ("diag", "kron")
_ALIKE = 0.8  # of the scale: a gold score that makes a calibration pair
_ABLATIONS = {"no similarity": (False, True), "no coefficients": (True, False), "neither": (False, False)}


@dataclass(frozen=True)
class StsOptions:
    """What is measured.

    Attributes:
        limit: at most this many test pairs of each set, a random sample.
        train_pairs: at most this many train pairs decide the weights.
        calibration_pairs: at most this many pairs for the posteriors.
        temperature: T; chosen on held-out calibration pairs if None.
        seed: of samples and bootstrap.
    """

    limit: int | None = None
    train_pairs: int = 1000
    calibration_pairs: int = 320
    temperature: float | None = None
    seed: int = 0


def run_sts(
    folders: Sequence[Path],
    experts: Sequence[Expert],
    options: StsOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure every method on test pairs (`pairs.tsv`: score, sentence, sentence).

    Args:
        folders: one for each set.
        experts: at least one; they get posteriors.
        options: defaults if absent.
        progress: called with what is being done, and how much of it.

    Returns:
        What JSON can hold: `sets[name]["methods"][label]["Spearman"]` with a bootstrap interval and the paired
        difference to `uniform`, `sets[name]["reliability"]`, the macro-average `mean`, and what was `chosen`.

    Raises:
        CorpusError: for a file that cannot be read.
        InvalidInputError: without experts or sets.
    """
    options = options or StsOptions()
    if not experts or not folders:
        raise InvalidInputError("give at least one expert and one folder with pairs.tsv")
    sets: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    draws: list[Values] = []
    values: list[Values] = []
    kinds: Mapping[str, str] = {}
    for folder in folders:
        whole = read_pairs(folder)
        test = whole.sample(options.limit, options.seed)
        train = read_pairs(folder, "train.tsv") if (folder / "train.tsv").is_file() else None
        methods, chosen[test.name] = _methods(test, train, experts, options, progress)
        scores = np.stack([m.score for m in methods.values()], axis=1)
        gold = test.gold

        def drawn(rows: Rows, scores: Array = scores, gold: Array = gold) -> Values:
            return spearman(scores[rows], gold[rows])

        draws.append(resampled(drawn, len(test), options.seed))
        values.append(spearman(scores, test.gold))
        columns = {label: i for i, label in enumerate(methods)}
        found = cells(columns, values[-1], draws[-1], len(test), BASELINE)
        sets[test.name] = {
            "pairs": len(test),
            "methods": {
                label: {
                    "kind": m.kind,
                    "Spearman": found[label],
                    **({} if m.coefficients is None else {"coefficients": _named(experts, m.coefficients)}),
                }
                for label, m in methods.items()
            },
            "reliability": _reliability(test, whole.gold, methods, options.seed),
        }
        kinds = {label: m.kind for label, m in methods.items()}
    columns = {label: i for i, label in enumerate(kinds)}
    mean = cells(columns, np.mean(values, axis=0), np.mean(draws, axis=0), len(sets), BASELINE)
    return {
        "kind": "sts",
        "split": "test",
        "experts": [e.label for e in experts],
        "baseline": BASELINE,
        "settings": asdict(options),
        "sets": sets,
        "mean": {label: {"Spearman": mean[label]} for label in columns},
        "chosen": chosen,
    }


def _methods(
    test: SentencePairs,
    train: SentencePairs | None,
    experts: Sequence[Expert],
    options: StsOptions,
    progress: Progress | None,
) -> tuple[dict[str, PairScores], dict[str, Any]]:
    """All methods on the test pairs, and what was chosen without them."""
    pairs = _calibration_pairs(test, train, options)
    train = train.sample(options.train_pairs, options.seed) if train else None
    sentences = [*test.one, *test.other, *(train.one + train.other if train else ())]
    position = {text: i for i, text in enumerate(dict.fromkeys(sentences))}
    linearised = linearise_texts(experts, list(position), progress=progress)
    fitted = {
        s: fit_experts(experts, pairs, s, linearised, temperature=options.temperature, progress=progress)
        for s in STRUCTURES
    }
    first = next(iter(fitted.values()))
    one, other = [position[t] for t in test.one], [position[t] for t in test.other]
    alike = cosines(first.gaussians, one, other)
    if train:
        known = cosines(first.gaussians, [position[t] for t in train.one], [position[t] for t in train.other])
        gold = train.gold
        weights = best_weights(len(experts), lambda w: float(spearman((known @ w)[:, None], gold)[0]))
    else:
        weights = best_weights(len(experts), lambda w: _likelihood(first, w))
    methods = {e.label: fixed_scores("single", alike, np.eye(len(experts))[k]) for k, e in enumerate(experts)}
    methods[BASELINE] = fixed_scores("ensemble", alike, np.full(len(experts), 1 / len(experts)))
    methods["weighted"] = fixed_scores("ensemble", alike, weights)
    for structure, texts in fitted.items():
        methods[f"UEC {structure}"] = uec_scores(texts, one, other)
        for name, (similarity, adaptive) in _ABLATIONS.items():
            methods[f"UEC {structure}, {name}"] = uec_scores(
                texts, one, other, similarity=similarity, adaptive=adaptive
            )
        if len(experts) > 1 and len({e.dimension for e in experts}) == 1:
            methods[f"UEC {structure} sum"] = uec_scores(texts, one, other, layout="sum")
    return methods, {
        "calibration pairs": len(pairs),
        "calibration pairs from": pairs.source,
        "weights": _named(experts, weights),
        "weights from": f"Spearman on {len(train)} train pairs" if train else "held-out calibration pairs",
        "UEC": {s: dict(f.chosen()) for s, f in fitted.items()},
    }


def _calibration_pairs(
    test: SentencePairs, train: SentencePairs | None, options: StsOptions
) -> CalibrationPairs:
    if train:
        low, high = float(train.gold.min()), float(train.gold.max())
        alike = train.rows([i for i, g in enumerate(train.gold) if g >= low + _ALIKE * (high - low)])
        alike = alike.rows([i for i in range(len(alike)) if alike.one[i] != alike.other[i]])
        taken = alike.sample(options.calibration_pairs, options.seed)
        order = np.random.default_rng(options.seed).permutation(len(taken))
        if len(taken) >= MINIMUM_PAIRS:
            mixed = taken.rows(order.tolist())
            return CalibrationPairs(
                mixed.one, mixed.other, f"train pairs, gold above {_ALIKE:.0%} of the scale"
            )
    try:
        return pseudo_pairs([*test.one, *test.other], limit=options.calibration_pairs, seed=options.seed)
    except InvalidInputError:
        return docstring_pairs(options.calibration_pairs)


def _likelihood(fitted: FittedExperts, weights: Array) -> float:
    """Mean held-out log-likelihood of the calibration pairs under fixed weights."""
    queries = np.concatenate(
        [w * r.queries.mean for w, r in zip(weights, fitted.references, strict=True)], axis=1
    )
    positives = np.concatenate([r.positives.mean for r in fitted.references], axis=1)
    return pair_likelihood(queries, positives).mean


def _reliability(
    test: SentencePairs, scale: Array, methods: Mapping[str, PairScores], seed: int
) -> dict[str, Any]:
    """Confidence against gold scores brought to [0, 1], before (uniform cosines) and after the variances count."""
    gold = (test.gold - scale.min()) / max(float(np.ptp(scale)), 1e-12)
    found = {}
    for label in (BASELINE, *(f"UEC {s}{end}" for s in STRUCTURES for end in (", no similarity", ""))):
        method = methods[label]
        fitted = cross_fitted(gold, method.score, seed=seed)
        readings = {"stated": stated(method.score), "fitted": fitted}
        if method.kind == "uec":
            readings["fitted with variance"] = cross_fitted(gold, method.mean, method.variance, seed=seed)
        for reading, confidence in readings.items():
            cell = calibration_cell(gold, confidence, mean=method.mean, variance=method.variance)
            found[f"{label}, {reading}"] = cell
        if method.variance is not None:
            told = rank_correlation(method.variance, np.abs(gold - fitted), seed)
            found[f"{label}, fitted"]["variance predicts error"] = asdict(told) if told else None
    return found


def _named(experts: Sequence[Expert], weights: Array) -> dict[str, float]:
    return {e.label: float(w) for e, w in zip(experts, weights, strict=True)}
