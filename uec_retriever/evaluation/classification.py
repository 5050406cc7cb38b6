"""Classification by a logistic probe, every method on the same embeddings; out-of-scope texts by uncertainty.

What the methods are is said in `probe_features`. Calibration pairs of posteriors and temperature: two train texts of one
label. Fixed weights: accuracy of the nearest neighbour among the train texts themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uec_retriever.confidence.off_topic import OFF_TOPIC
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.fitted import Progress, fit_experts, linearise_texts
from uec_retriever.evaluation.metrics import Values, bootstrap, paired_bootstrap
from uec_retriever.evaluation.out_of_scope import out_of_scope
from uec_retriever.evaluation.probe import Probe, fit_probe, score_probe, undersample
from uec_retriever.evaluation.probe_features import BASELINE, neighbour_accuracy, probe_features
from uec_retriever.evaluation.tables import LabelledTexts, drawn, read_labelled
from uec_retriever.evaluation.weights import best_weights
from uec_retriever.experts.expert import Expert
from uec_retriever.gaussian import Array

STRUCTURES = ("diag", "kron")
OUT_OF_SCOPE = "oos_test.tsv"


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


def run_classification(
    folders: Sequence[Path],
    experts: Sequence[Expert],
    options: ClassificationOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure every method on test texts (`train.tsv` and `test.tsv`: label, text; perhaps `oos_test.tsv`).

    Args:
        folders: one for each set.
        experts: at least one; they get posteriors.
        options: defaults if absent.
        progress: called with what is being done, and how much of it.

    Returns:
        What JSON can hold: `sets[name]["methods"][label]` with `accuracy` (interval, paired difference to `uniform`),
        `macro F1` and `AUROC`; `sets[name]["out_of_scope"]`; and what was `chosen`.

    Raises:
        CorpusError: for a file that cannot be read.
        InvalidInputError: without experts or sets, or for fewer than two labels.
    """
    options = options or ClassificationOptions()
    if not experts or not folders:
        raise InvalidInputError("give at least one expert and one folder with train.tsv and test.tsv")
    sets: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    for folder in folders:
        name = folder.resolve().name
        sets[name], chosen[name] = _study(folder, experts, options, progress)
    return {
        "kind": "classification",
        "split": "test",
        "experts": [e.label for e in experts],
        "baseline": BASELINE,
        "settings": asdict(options),
        "sets": sets,
        "chosen": chosen,
    }


def _study(
    folder: Path, experts: Sequence[Expert], options: ClassificationOptions, progress: Progress | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    train, test = _read(folder, options)
    samples = undersample(train.labels, options.per_label, options.rounds, options.seed)
    used = sorted({i for sample in samples for i in sample})
    strange = (
        read_labelled(folder, OUT_OF_SCOPE).sample(options.limit, options.seed).texts
        if (folder / OUT_OF_SCOPE).is_file()
        else []
    )
    parts = {"train": [train.texts[i] for i in used], "test": test.texts, "strange": strange}
    if strange:
        parts["off topic"] = list(OFF_TOPIC)
    position = {t: i for i, t in enumerate(dict.fromkeys(t for part in parts.values() for t in part))}
    rows = {name: [position[t] for t in part] for name, part in parts.items()}
    linearised = linearise_texts(experts, list(position), progress=progress)
    pairs = _calibration_pairs(train, options)
    fitted = {
        s: fit_experts(experts, pairs, s, linearised, temperature=options.temperature, progress=progress)
        for s in STRUCTURES
    }
    weights = best_weights(
        len(experts),
        lambda w: neighbour_accuracy(fitted["kron"], w, rows["train"], [train.labels[i] for i in used]),
    )
    methods = probe_features(fitted, weights)
    found: dict[str, tuple[Values, float, float]] = {}
    probes: dict[str, list[Probe]] = {}
    at = {i: rows["train"][n] for n, i in enumerate(used)}
    for number, (label, features) in enumerate(methods.items()):
        if progress:
            progress(f"probe: {label}", number, len(methods))
        if features.key not in probes:
            probes[features.key] = [
                fit_probe(
                    features.gaussian.mean[[at[i] for i in sample]],
                    [train.labels[i] for i in sample],
                    options.seed,
                )
                for sample in samples
            ]
        scores = [
            score_probe(probe, features.probabilities(probe, rows["test"]), test.labels)
            for probe in probes[features.key]
        ]
        found[label] = (
            np.mean([s.correct for s in scores], axis=0),
            float(np.mean([s.f1 for s in scores])),
            float(np.mean([s.auroc for s in scores])),
        )
    result: dict[str, Any] = {
        "train": len(samples[0]),
        "test": len(test),
        "classes": len(set(train.labels)),
        "methods": {
            label: {
                "kind": methods[label].kind,
                "accuracy": {
                    **asdict(bootstrap(values, options.seed)),
                    "n": len(values),
                    "difference": asdict(paired_bootstrap(values, found[BASELINE][0], options.seed)),
                },
                "macro F1": f1,
                "AUROC": None if np.isnan(auroc) else auroc,
                **_weights_of(experts, methods[label].coefficients),
            }
            for label, (values, f1, auroc) in found.items()
        },
    }
    if strange:
        told = {
            label: {
                name: features.probabilities(probes[features.key][0], rows[name])
                for name in ("test", "strange")
            }
            for label, features in methods.items()
        }
        result["out_of_scope"] = out_of_scope(fitted, rows, told, options.seed)
        result["out_of_scope_texts"] = len(strange)
    return result, {
        "calibration pairs": len(pairs),
        "calibration pairs from": pairs.source,
        "weights": _weights_of(experts, weights)["coefficients"],
        "weights from": "accuracy of the nearest neighbour among the train texts",
        "UEC": {s: dict(f.chosen()) for s, f in fitted.items()},
    }


def _read(folder: Path, options: ClassificationOptions) -> tuple[LabelledTexts, LabelledTexts]:
    train, test = (read_labelled(folder, f"{split}.tsv") for split in ("train", "test"))
    names = sorted(set(train.labels))
    kept = {names[i] for i in drawn(len(names), options.labels, options.seed)}
    train, test = (
        part.rows([i for i, label in enumerate(part.labels) if label in kept]) for part in (train, test)
    )
    if len(kept) < 2 or not len(test):
        raise InvalidInputError(f"{folder} needs at least two labels in train.tsv, and test texts of them")
    return train, test.sample(options.limit, options.seed)


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


def _weights_of(experts: Sequence[Expert], weights: Array | None) -> dict[str, Any]:
    if weights is None:
        return {}
    return {"coefficients": {e.label: float(w) for e, w in zip(experts, weights, strict=True)}}
