"""Classification by a logistic probe, every method on the same embeddings; out-of-scope texts by uncertainty.

The features of an ensemble are its experts' unit vectors side by side, block k times `sqrt(pi_k)`: the dot product of two
texts is then `sum_k sqrt(pi_k(a) pi_k(b)) cos_k`, the convolution's own where they agree on the coefficients. The
uncertainty-aware similarity becomes a moderated probe: a logit's variance under the embedding draws it towards 0.
So "no similarity" leaves out the moderation, "no coefficients" the weighting.

Calibration pairs of posteriors and temperature: two train texts of one label. Fixed weights: accuracy of the nearest
neighbour among the train texts themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uec_retriever.confidence.off_topic import OFF_TOPIC
from uec_retriever.convolution import convolve_block
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.engine.ensemble import fuse_queries
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import mean_cell
from uec_retriever.evaluation.collection_encoder import EncodedTexts, encode_texts
from uec_retriever.evaluation.expert_set import STRUCTURES, ExpertSet, fit_experts
from uec_retriever.evaluation.fusion import best_weights
from uec_retriever.evaluation.labelled_texts import LabelledTexts, read_labelled, sample_positions
from uec_retriever.evaluation.methods import ABLATIONS, UNIFORM, WEIGHTED
from uec_retriever.evaluation.out_of_scope import out_of_scope
from uec_retriever.evaluation.probe import Probe, ProbeScores, fit_probe, score_probe, undersample
from uec_retriever.evaluation.sts import describe
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array, GaussianEmbedding
from uec_retriever.store.manifest import Manifest

OUT_OF_SCOPE = "oos_test.tsv"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ClassificationOptions:
    """What is measured.

    Attributes:
        limit: at most this many test texts, and out-of-scope texts, of each set.
        labels: at most this many labels of each set.
        per_label: training texts of each label in a round (MTEB: 8).
        rounds: how many training samples (MTEB: 10).
        calibration_pairs: at most this many pairs for the posteriors.
        temperature: T; chosen on held-out calibration pairs if None.
        seed: of samples and bootstrap.
    """

    limit: int | None = None
    labels: int | None = None
    per_label: int = 8
    rounds: int = 10
    calibration_pairs: int = 320
    temperature: float | None = None
    seed: int = 0


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

    train: LabelledTexts
    test: LabelledTexts
    samples: list[list[int]]
    texts: list[str]
    rows: Mapping[str, list[int]]
    labels: list[str] = field(default_factory=list)


def run_classification(
    folders: Sequence[Path],
    experts: Sequence[Expert],
    options: ClassificationOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure every method on test texts (`train.tsv` and `test.tsv`: label, text; perhaps `oos_test.tsv`).

    Args:
        folders: one for each set.
        experts: at least one.
        options: defaults if absent.
        progress: called with what is being done, and how much of it.

    Returns:
        What JSON can hold: `sets[name]["methods"][label]` with `accuracy` (interval, paired difference to `uniform`),
        `macro F1` and `AUROC`; `sets[name]["out_of_scope"]`; and what was `chosen`.

    Raises:
        CorpusError: for a file that cannot be read.
        InvalidInputError: without experts or sets, for experts of the same label, or for fewer than two labels.
    """
    options = options or ClassificationOptions()
    if not experts or not folders:
        raise InvalidInputError("give at least one expert and one folder with train.tsv and test.tsv")
    sets: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    for folder in folders:
        name = folder.resolve().name
        sets[name], chosen[name] = _measure(_read(folder, options), experts, options, progress)
    return {
        "kind": "classification",
        "split": "test",
        "experts": [e.label for e in experts],
        "baseline": UNIFORM,
        "settings": asdict(options),
        "sets": sets,
        "chosen": chosen,
    }


def _measure(
    task: _Task, experts: Sequence[Expert], options: ClassificationOptions, progress: Progress | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    pairs = _calibration_pairs(task.train, options)
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
    for number, (label, features) in enumerate(methods.items()):
        if progress:
            progress(f"probe: {label}", number, len(methods))
        if features.key not in probes:
            probes[features.key] = [_fit(features, task, sample, options.seed) for sample in task.samples]
        scores[label] = [
            score_probe(p, features.probabilities(p, task.rows["test"]), task.test.labels)
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
    classes = len(set(task.train.labels))
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
        "UEC": {s: describe(m, fitted, s) for s, m in manifests.items()},
    }


def _fit(features: Features, task: _Task, sample: Sequence[int], seed: int) -> Probe:
    at = dict(zip(sorted({i for s in task.samples for i in s}), task.rows["train"], strict=True))
    rows = [at[i] for i in sample]
    return fit_probe(features.gaussian.mean[rows], [task.train.labels[i] for i in sample], seed)


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
    train, test = (read_labelled(folder, f"{split}.tsv") for split in ("train", "test"))
    names = sorted(set(train.labels))
    kept = {names[i] for i in sample_positions(len(names), options.labels, options.seed)}
    train, test = (
        part.rows([i for i, label in enumerate(part.labels) if label in kept]) for part in (train, test)
    )
    if len(kept) < 2 or not len(test):
        raise InvalidInputError(f"{folder} needs at least two labels in train.tsv, and test texts of them")
    test = test.sample(options.limit, options.seed)
    samples = undersample(train.labels, options.per_label, options.rounds, options.seed)
    used = sorted({i for sample in samples for i in sample})
    parts = {"train": [train.texts[i] for i in used], "test": test.texts, "strange": list[str]()}
    if (folder / OUT_OF_SCOPE).is_file():
        parts["strange"] = read_labelled(folder, OUT_OF_SCOPE).sample(options.limit, options.seed).texts
        parts["off topic"] = list(OFF_TOPIC)
    position = {t: i for i, t in enumerate(dict.fromkeys(t for part in parts.values() for t in part))}
    rows = {name: [position[t] for t in part] for name, part in parts.items()}
    return _Task(train, test, samples, list(position), rows, [train.labels[i] for i in used])


def _calibration_pairs(train: LabelledTexts, options: ClassificationOptions) -> CalibrationPairs:
    """Two texts of one label each, every text at most once, in random order."""
    waiting: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for i in np.random.default_rng(options.seed).permutation(len(train)):
        label, text = train.labels[i], train.texts[i]
        if waiting.get(label, text) != text:
            found.append((waiting.pop(label), text))
        else:
            waiting[label] = text
        if len(found) == options.calibration_pairs:
            break
    return CalibrationPairs([q for q, _ in found], [p for _, p in found], "train texts of one label")
