"""Classification by a logistic probe, with every part of the method on and off; out-of-scope texts by uncertainty.

The features of an ensemble are its experts' unit vectors side by side, block k times `sqrt(pi_k)`: the dot product of two
texts is then `sum_k sqrt(pi_k(a) pi_k(b)) cos_k`, the convolution's own where they agree on the coefficients. The
uncertainty-aware similarity becomes a moderated probe: a logit's variance under the embedding draws it towards 0.
So "no similarity" leaves out the moderation, "no coefficients" the weighting.

Calibration pairs of posteriors and temperature: two train texts of one label. Fixed weights: accuracy of the nearest
neighbour among the train texts themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.classification_data import ClassificationOptions, label_pairs, read_split_texts
from benchmarks.out_of_scope import out_of_scope
from benchmarks.probe import Probe, ProbeScores, fit_probe, score_probe, undersample
from benchmarks.tab_separated import LabelledText, read_labelled, sample
from uec_retriever.confidence.off_topic import OFF_TOPIC
from uec_retriever.convolution import convolve_block
from uec_retriever.engine.ensemble import fuse_queries
from uec_retriever.evaluation.bootstrap import mean_cell
from uec_retriever.evaluation.collection_encoder import EncodedTexts, encode_texts
from uec_retriever.evaluation.expert_set import STRUCTURES, ExpertSet, fit_experts
from uec_retriever.evaluation.fusion import best_weights
from uec_retriever.evaluation.methods import ABLATIONS, UNIFORM, WEIGHTED
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.store.manifest import Manifest

OUT_OF_SCOPE = "oos_test.tsv"


@dataclass(frozen=True, eq=False)
class Features:
    """A method's view of all texts.

    Attributes:
        kind: `single`, `ensemble`, `uec` or `ablation`.
        key: methods with the same means have the same, and share their probes.
        gaussian: means and variances of the features.
        moderated: whether the variances count.
        coefficients: `[K]` mean weight of each expert; None for a single one.
    """

    kind: str
    key: str
    gaussian: GaussianEmbedding
    moderated: bool = False
    coefficients: Array | None = None

    def probabilities(self, probe: Probe, rows: Sequence[int]) -> Array:
        """`[n, C]` that a probe gives some of the texts."""
        texts = self.gaussian[list(rows)]
        return probe.probabilities(texts.mean, texts.variance if self.moderated else None)


@dataclass(frozen=True, eq=False)
class _Task:
    """The texts of one folder: positions of each part among all of them, and the training samples."""

    train: list[LabelledText]
    test: list[LabelledText]
    samples: list[list[int]]
    texts: list[str]
    rows: Mapping[str, list[int]]
    labels: list[str] = field(default_factory=list)


def study_classification(
    folder: Path, experts: Sequence[Expert], options: ClassificationOptions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every method on the test texts of a folder (perhaps with `oos_test.tsv`), and what was chosen without them."""
    return _measure(_read(folder, options), experts, options)


def _measure(
    task: _Task, experts: Sequence[Expert], options: ClassificationOptions
) -> tuple[dict[str, Any], dict[str, Any]]:
    pairs = label_pairs(task.train, options.calibration_pairs, options.seed)
    fitted = ExpertSet(experts, fit_experts(experts, pairs), pairs.split()[1])
    texts = encode_texts(fitted, task.texts, "query", STRUCTURES)
    manifests = {s: fitted.calibrate(s, options.temperature) for s in STRUCTURES}
    weights = best_weights(
        len(experts), lambda w: _neighbour_accuracy(texts, w, task.rows["train"], task.labels)
    )
    methods = probe_features(texts, manifests, weights)
    probes: dict[str, list[Probe]] = {}
    rows: dict[str, Any] = {}
    scores: dict[str, list[ProbeScores]] = {}
    for label, features in methods.items():
        if features.key not in probes:
            probes[features.key] = [_fit(features, task, sample, options.seed) for sample in task.samples]
        scores[label] = [
            score_probe(p, features.probabilities(p, task.rows["test"]), [label for label, _ in task.test])
            for p in probes[features.key]
        ]
    baseline = np.mean([s.correct for s in scores[UNIFORM]], axis=0)
    for label, found in scores.items():
        area = float(np.mean([s.auroc for s in found]))
        rows[label] = {
            "kind": methods[label].kind,
            "accuracy": mean_cell(np.mean([s.correct for s in found], axis=0), baseline, options.seed),
            "macro F1": float(np.mean([s.f1 for s in found])),
            "AUROC": None if np.isnan(area) else area,
        }
        if (mean := methods[label].coefficients) is not None:
            rows[label]["coefficients"] = dict(zip(fitted.labels, map(float, mean), strict=True))
    classes = len({label for label, _ in task.train})
    sizes = {"train": len(task.samples[0]), "test": len(task.test), "classes": classes}
    result: dict[str, Any] = {**sizes, "methods": rows}
    if task.rows["strange"]:
        both = [*task.rows["test"], *task.rows["strange"]]
        told = {m: f.probabilities(probes[f.key][0], both) for m, f in methods.items()}
        result["out_of_scope"] = out_of_scope(texts, manifests, task.rows, told, options.seed)
        result["out_of_scope_texts"] = len(task.rows["strange"])
    return result, {
        "calibration pairs": len(pairs),
        "calibration pairs from": pairs.source,
        "weights": dict(zip(fitted.labels, map(float, weights), strict=True)),
        "weights from": "accuracy of the nearest neighbour among the train texts",
        "UEC": {s: fitted.describe(m, s) for s, m in manifests.items()},
    }


def _fit(features: Features, task: _Task, sample: Sequence[int], seed: int) -> Probe:
    at = dict(zip(sorted({i for s in task.samples for i in s}), task.rows["train"], strict=True))
    rows = [at[i] for i in sample]
    return fit_probe(features.gaussian.mean[rows], [task.train[i][0] for i in sample], seed)


def probe_features(
    texts: EncodedTexts, manifests: Mapping[str, Manifest], weights: Array
) -> dict[str, Features]:
    """Features of every method.

    Args:
        texts: all of them, under the structures of the manifests.
        manifests: structure -> its calibration.
        weights: `[K]` fixed ones of `weighted`.
    """
    first, manifest = next(iter(manifests.items()))
    uniform = np.full(len(weights), 1 / len(weights))
    methods = {
        e.label: Features("single", e.label, g)
        for e, g in zip(manifest.experts, texts.gaussians[first], strict=True)
    }
    for label, fixed in ((UNIFORM, uniform), (WEIGHTED, weights)):
        methods[label] = Features("ensemble", label, _side_by_side(texts, first, fixed), coefficients=fixed)
    for structure, calibrated in manifests.items():
        _, pi = fuse_queries(texts.gaussians[structure], calibrated)
        weighed = Features("uec", structure, _side_by_side(texts, structure, pi), True, pi.mean(axis=0))
        methods[f"UEC {structure}"] = weighed
        even = _side_by_side(texts, structure, uniform)
        for name, (similarity, coefficients) in ABLATIONS.items():
            parts = (structure, weighed.gaussian) if coefficients else (UNIFORM, even)
            mean = weighed.coefficients if coefficients else uniform
            methods[f"UEC {structure}, {name}"] = Features("ablation", *parts, similarity, mean)
    return methods


def _side_by_side(texts: EncodedTexts, structure: str, weights: Array) -> GaussianEmbedding:
    """Unit blocks, each times the root of its weight."""
    gaussians = texts.gaussians[structure]
    shape = (len(gaussians[0]), len(gaussians))
    return convolve_block(gaussians, np.sqrt(np.broadcast_to(weights, shape)))


def _neighbour_accuracy(
    texts: EncodedTexts, weights: Array, rows: Sequence[int], labels: Sequence[str]
) -> float:
    """Share of texts whose nearest neighbour among the others has their label."""
    parts = (w * m[rows] @ m[rows].T for w, m in zip(weights, texts.means, strict=True))
    similarity = np.asarray(sum(parts))
    np.fill_diagonal(similarity, -np.inf)
    names = np.array(labels)
    return float((names[similarity.argmax(axis=1)] == names).mean())


def _read(folder: Path, options: ClassificationOptions) -> _Task:
    train, test = read_split_texts(folder, options)
    samples = undersample([label for label, _ in train], options.per_label, options.rounds, options.seed)
    used = sorted({i for rows in samples for i in rows})
    parts = {"train": [train[i][1] for i in used], "test": [t for _, t in test], "strange": list[str]()}
    if (folder / OUT_OF_SCOPE).is_file():
        strange = sample(read_labelled(folder / OUT_OF_SCOPE), options.limit, options.seed)
        parts["strange"] = [text for _, text in strange]
        parts["off topic"] = list(OFF_TOPIC)
    position = {t: i for i, t in enumerate(dict.fromkeys(t for part in parts.values() for t in part))}
    rows = {name: [position[t] for t in part] for name, part in parts.items()}
    return _Task(train, test, samples, list(position), rows, [train[i][0] for i in used])
