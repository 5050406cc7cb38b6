"""Semantic textual similarity: Spearman correlation with gold scores, every method on the same embeddings.

Both sentences go through the experts as queries. Neither is one: in the block layout each is asked for the other in turn,
weighted by its own coefficients against the other's plain blocks, and the two scores are averaged, before the
similarity `sum_k (pi_k(a) + pi_k(b)) / 2 cos_k(a, b)`. The sum layout weights both sentences.

Where a folder has `train.tsv`, its pairs with a gold score in the upper fifth of the scale are the calibration pairs of
posteriors, zeros, priors and temperature, and its Spearman decides the fixed weights. Where it has none, halves of the
sentences themselves are (or, where those are too few, general texts), and their held-out likelihood decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from uec_retriever.convolution import convolve_block, convolve_sum, pair_likelihood
from uec_retriever.data.pairs import MINIMUM_PAIRS, CalibrationPairs, pseudo_pairs
from uec_retriever.data.stdlib_docs import docstring_pairs
from uec_retriever.engine.ensemble import fuse_queries
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import Values, compare, resample
from uec_retriever.evaluation.collection_encoder import EncodedTexts, encode_texts
from uec_retriever.evaluation.expert_set import STRUCTURES, ExpertSet, fit_experts
from uec_retriever.evaluation.fusion import best_weights
from uec_retriever.evaluation.labelled_texts import SentencePairs, read_pairs
from uec_retriever.evaluation.methods import ABLATIONS, UEC, UNIFORM, WEIGHTED
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array
from uec_retriever.similarity import paired_moments, probit_score
from uec_retriever.store.manifest import Manifest

_ALIKE = 0.8  # of the scale: a gold score that makes a calibration pair
_SAMPLES = 500  # a rank correlation is dearer than a mean
Progress = Callable[[str, int, int], None]


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


@dataclass(frozen=True, eq=False)
class PairScores:
    """One method on n pairs.

    Attributes:
        kind: `single`, `ensemble`, `uec` or `ablation`.
        score: `[n]`, higher is more alike.
        mean: `[n]` of the similarity, before its variance counts; the score itself where there is none.
        variance: `[n]` of the similarity, averaged over both directions; None where the method has none.
        coefficients: `[K]` mean weight of each expert; None for a single one.
    """

    kind: str
    score: Array
    mean: Array
    variance: Array | None = None
    coefficients: Array | None = None


@dataclass(frozen=True, eq=False)
class StsSet:
    """Every method on the test pairs of one folder, and what was chosen without them; `gold` in [0, 1]."""

    test: SentencePairs
    gold: Values
    methods: Mapping[str, PairScores]
    chosen: Mapping[str, Any]


def run_sts(
    folders: Sequence[Path],
    experts: Sequence[Expert],
    options: StsOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure every method on test pairs (`pairs.tsv`: score, sentence, sentence).

    Args:
        folders: one for each set.
        experts: at least one.
        options: defaults if absent.
        progress: called with what is being done, and how much of it.

    Returns:
        What JSON can hold: `sets[name]["methods"][label]["Spearman"]` with a bootstrap interval and the paired
        difference to `uniform`, the macro-average `mean`, and what was `chosen`.

    Raises:
        CorpusError: for a file that cannot be read.
        InvalidInputError: without experts or sets, or for experts of the same label.
    """
    options = options or StsOptions()
    if not experts or not folders:
        raise InvalidInputError("give at least one expert and one folder with pairs.tsv")
    found = []
    for number, folder in enumerate(folders):
        if progress:
            progress(folder.name, number, len(folders))
        found.append(score_pairs(folder, experts, options))
    return summarise_sts(found, [e.label for e in experts], options)


def score_pairs(folder: Path, experts: Sequence[Expert], options: StsOptions) -> StsSet:
    """Every method on the test pairs of a folder."""
    whole = read_pairs(folder)
    test = whole.sample(options.limit, options.seed)
    every = read_pairs(folder, "train.tsv") if (folder / "train.tsv").is_file() else None
    pairs = _calibration_pairs(test, every, options)
    train = every.sample(options.train_pairs, options.seed) if every else None
    sentences = [*test.one, *test.other, *(train.one + train.other if train else ())]
    position = {text: i for i, text in enumerate(dict.fromkeys(sentences))}
    fitted = ExpertSet(experts, fit_experts(experts, pairs), pairs.split()[1])
    texts = encode_texts(fitted, list(position), "query", STRUCTURES)
    manifests = {s: fitted.calibrate(s, options.temperature) for s in STRUCTURES}

    def rows(part: SentencePairs) -> tuple[list[int], list[int]]:
        return [position[t] for t in part.one], [position[t] for t in part.other]

    if train:
        known = cosines(texts, *rows(train))
        weights = best_weights(len(experts), lambda w: float(spearman((known @ w)[:, None], train.gold)[0]))
    else:
        weights = best_weights(len(experts), lambda w: _likelihood(fitted, w))
    alike = cosines(texts, *rows(test))
    single, uniform = np.eye(len(experts)), np.full(len(experts), 1 / len(experts))
    methods = {e.label: _fixed_scores("single", alike, single[k]) for k, e in enumerate(experts)}
    methods[UNIFORM] = _fixed_scores("ensemble", alike, uniform)
    methods[WEIGHTED] = _fixed_scores("ensemble", alike, weights)
    equal = len(experts) > 1 and len({e.dimension for e in experts}) == 1
    for structure, manifest in manifests.items():
        variants = {"": UEC(structure)}
        variants |= {f", {name}": UEC(structure, "block", *left) for name, left in ABLATIONS.items()}
        variants |= {" sum": UEC(structure, "sum")} if equal else {}
        for ending, method in variants.items():
            methods[f"UEC {structure}{ending}"] = uec_scores(method, manifest, texts, *rows(test))
    labels = [e.label for e in experts]
    chosen = {
        "calibration pairs": len(pairs),
        "calibration pairs from": pairs.source,
        "weights": dict(zip(labels, map(float, weights), strict=True)),
        "weights from": f"Spearman on {len(train)} train pairs" if train else "held-out calibration pairs",
        "UEC": {s: fitted.describe(m, s) for s, m in manifests.items()},
    }
    gold = (test.gold - whole.gold.min()) / max(float(np.ptp(whole.gold)), 1e-12)
    return StsSet(test, gold, methods, chosen)


def summarise_sts(found: Sequence[StsSet], experts: Sequence[str], options: StsOptions) -> dict[str, Any]:
    """Spearman of all methods on all sets, as JSON."""
    sets: dict[str, Any] = {}
    values, draws = [], []
    for one in found:
        scores = np.stack([m.score for m in one.methods.values()], axis=1)

        def statistic(rows: Any, scores: Array = scores, gold: Array = one.gold) -> Values:
            return spearman(scores[rows], gold[rows])

        values.append(spearman(scores, one.gold))
        draws.append(resample(statistic, len(one.test), options.seed, _SAMPLES))
        cells = _cells(one.methods, values[-1], draws[-1])
        sets[one.test.name] = {"pairs": len(one.test), "methods": {}}
        for label, method in one.methods.items():
            shown = {"kind": method.kind, "Spearman": {**cells[label], "n": len(one.test)}}
            if method.coefficients is not None:
                shown["coefficients"] = dict(zip(experts, map(float, method.coefficients), strict=True))
            sets[one.test.name]["methods"][label] = shown
    mean = _cells(found[0].methods, np.mean(values, axis=0), np.mean(draws, axis=0))
    return {
        "kind": "sts",
        "split": "test",
        "experts": list(experts),
        "baseline": UNIFORM,
        "settings": asdict(options),
        "sets": sets,
        "mean": {label: {"Spearman": cell} for label, cell in mean.items()},
        "chosen": {one.test.name: dict(one.chosen) for one in found},
    }


def _cells(methods: Mapping[str, PairScores], values: Values, draws: Values) -> dict[str, dict[str, Any]]:
    base = list(methods).index(UNIFORM)
    return {
        label: compare(values[k], draws[:, k], values[base], draws[:, base])
        for k, label in enumerate(methods)
    }


def cosines(texts: EncodedTexts, one: Sequence[int], other: Sequence[int]) -> Array:
    """`[n, K]` cosine of each pair of positions under each expert."""
    each = [np.einsum("nd,nd->n", m[one], m[other], dtype=np.float64) for m in texts.means]
    return np.stack(each, axis=1)


def uec_scores(
    method: UEC, manifest: Manifest, texts: EncodedTexts, one: Sequence[int], other: Sequence[int]
) -> PairScores:
    """Pairs of positions under UEC.

    Args:
        method: its structure, layout and parts.
        manifest: calibrated for the block layout.
        texts: all sentences.
        one: n first sentences.
        other: n second sentences.
    """
    gaussians = texts.gaussians[method.structure]
    _, pi = fuse_queries(gaussians, manifest)
    if not method.coefficients:
        pi = np.full_like(pi, 1 / pi.shape[1])
    a, b = ([g[list(rows)] for g in gaussians] for rows in (one, other))
    pi_a, pi_b = pi[list(one)], pi[list(other)]
    if method.layout == "sum":
        directions = [(convolve_sum(a, pi_a), convolve_sum(b, pi_b))]
    else:
        directions = [
            (convolve_block(a, pi_a), convolve_block(b)),
            (convolve_block(b, pi_b), convolve_block(a)),
        ]
    moments = [paired_moments(x, y) for x, y in directions]
    scores = [probit_score(m, v) for m, v in moments]
    mean, variance, score = (
        np.asarray(np.mean(side, axis=0, dtype=np.float64)) for side in (*zip(*moments, strict=True), scores)
    )
    score = score if method.similarity else mean
    return PairScores(method.kind, score, mean, variance, ((pi_a + pi_b) / 2).mean(axis=0))


def spearman(scores: Array, truth: Array) -> Values:
    """`[M]` rank correlation of each column of `[n, M]` scores with `[n]` values; NaN where one does not vary."""
    ranks, wanted = rankdata(scores, axis=0), rankdata(truth)
    ranks, wanted = ranks - ranks.mean(axis=0), wanted - wanted.mean()
    with np.errstate(invalid="ignore"):
        return np.asarray(wanted @ ranks / np.sqrt((ranks**2).sum(axis=0) * (wanted**2).sum()))


def _fixed_scores(kind: str, similarities: Array, weights: Array) -> PairScores:
    score = similarities @ weights
    return PairScores(kind, score, score, coefficients=None if kind == "single" else weights)


def _calibration_pairs(
    test: SentencePairs, train: SentencePairs | None, options: StsOptions
) -> CalibrationPairs:
    if train:
        low, high = float(train.gold.min()), float(train.gold.max())
        least = low + _ALIKE * (high - low)
        alike = [i for i, g in enumerate(train.gold) if g >= least and train.one[i] != train.other[i]]
        sampled = train.rows(alike).sample(options.calibration_pairs, options.seed)
        if len(sampled) >= MINIMUM_PAIRS:
            mixed = sampled.rows(np.random.default_rng(options.seed).permutation(len(sampled)).tolist())
            source = f"train pairs, gold above {_ALIKE:.0%} of the scale"
            return CalibrationPairs(mixed.one, mixed.other, source)
    try:
        return pseudo_pairs([*test.one, *test.other], limit=options.calibration_pairs, seed=options.seed)
    except InvalidInputError:
        return docstring_pairs(options.calibration_pairs)


def _likelihood(experts: ExpertSet, weights: Array) -> float:
    """Mean held-out log-likelihood of the calibration pairs under fixed weights."""
    references = experts.measured_under(STRUCTURES[0])
    queries = np.concatenate([w * r.queries.mean for w, r in zip(weights, references, strict=True)], axis=1)
    return pair_likelihood(queries, np.concatenate([r.positives.mean for r in references], axis=1)).mean
