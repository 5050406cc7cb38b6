"""Sentence pairs under every method, with every part on and off, on the same embeddings.

Both sentences go through the experts as queries. Neither is one: in the block layout each is asked for the other in turn,
weighted by its own coefficients against the other's plain blocks, and the two scores are averaged, before the
similarity `sum_k (pi_k(a) + pi_k(b)) / 2 cos_k(a, b)`. The sum layout weights both sentences. Fixed weights are those that
train pairs like best, or held-out calibration pairs where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sts_data import StsOptions, correlate, read_folder, similar_pairs, spearman
from benchmarks.tab_separated import ScoredPair, read_pairs, sample
from uec_retriever.convolution import convolve_block, convolve_sum, pair_likelihood
from uec_retriever.engine.ensemble import fuse_queries
from uec_retriever.evaluation.bootstrap import Values
from uec_retriever.evaluation.collection_encoder import EncodedTexts, encode_texts
from uec_retriever.evaluation.expert_set import STRUCTURES, ExpertSet, fit_experts
from uec_retriever.evaluation.fusion import best_weights
from uec_retriever.evaluation.methods import ABLATIONS, UEC, UNIFORM, WEIGHTED
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array
from uec_retriever.similarity import paired_moments, similarity
from uec_retriever.store.manifest import Manifest


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

    name: str
    gold: Values
    methods: Mapping[str, PairScores]
    chosen: Mapping[str, Any]


def score_pairs(folder: Path, experts: Sequence[Expert], options: StsOptions, train_pairs: int) -> StsSet:
    """Every method on the test pairs of a folder."""
    test, every = read_folder(folder, options)
    pairs = similar_pairs(test, every, options.calibration_pairs, options.seed)
    train = sample(every, train_pairs, options.seed)
    position = {
        text: i for i, text in enumerate(dict.fromkeys(t for _, *texts in (*test, *train) for t in texts))
    }
    fitted = ExpertSet(experts, fit_experts(experts, pairs), pairs.split()[1])
    texts = encode_texts(fitted, list(position), "query", STRUCTURES)
    manifests = {s: fitted.calibrate(s, options.temperature) for s in STRUCTURES}

    def rows(part: Sequence[ScoredPair]) -> tuple[list[int], list[int]]:
        return [position[one] for _, one, _ in part], [position[other] for _, _, other in part]

    if train:
        known, wanted = cosines(texts, *rows(train)), np.array([gold for gold, _, _ in train])
        weights = best_weights(len(experts), lambda w: float(spearman((known @ w)[:, None], wanted)[0]))
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
    scale = np.array([gold for gold, _, _ in read_pairs(folder / "pairs.tsv")])
    gold = (np.array([gold for gold, _, _ in test]) - scale.min()) / max(float(np.ptp(scale)), 1e-12)
    return StsSet(folder.resolve().name, gold, methods, chosen)


def summarise_sts(found: Sequence[StsSet], experts: Sequence[str], options: StsOptions) -> dict[str, Any]:
    """Spearman of all methods on all sets, as JSON."""
    scores = {
        one.name: (one.gold, np.stack([m.score for m in one.methods.values()], axis=1)) for one in found
    }
    kinds = {label: method.kind for label, method in found[0].methods.items()}
    result = {
        "kind": "sts",
        "split": "test",
        "experts": list(experts),
        "baseline": UNIFORM,
        "settings": asdict(options),
        **correlate(scores, kinds, options.seed),
        "chosen": {one.name: dict(one.chosen) for one in found},
    }
    for one in found:
        for label, method in one.methods.items():
            if method.coefficients is not None:
                weights = dict(zip(experts, map(float, method.coefficients), strict=True))
                result["sets"][one.name]["methods"][label]["coefficients"] = weights
    return result


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
    scores = [similarity(m, v)[0] for m, v in moments]
    mean, variance, score = (
        np.asarray(np.mean(side, axis=0, dtype=np.float64)) for side in (*zip(*moments, strict=True), scores)
    )
    score = score if method.similarity else mean
    return PairScores(method.kind, score, mean, variance, ((pi_a + pi_b) / 2).mean(axis=0))


def _fixed_scores(kind: str, similarities: Array, weights: Array) -> PairScores:
    score = similarities @ weights
    return PairScores(kind, score, score, coefficients=None if kind == "single" else weights)


def _likelihood(experts: ExpertSet, weights: Array) -> float:
    """Mean held-out log-likelihood of the calibration pairs under fixed weights."""
    references = experts.references_under(STRUCTURES[0])
    queries = np.concatenate([w * r.queries.mean for w, r in zip(weights, references, strict=True)], axis=1)
    return pair_likelihood(queries, np.concatenate([r.positives.mean for r in references], axis=1)).mean
