"""Classification by MTEB's logistic probe (extra `mteb`) on the embeddings of single experts, of all alike, and of UEC.

Calibration pairs of posteriors and temperature: two train texts of one label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.errors import InvalidInputError
from uec_retriever.evaluation.bootstrap import mean_cell
from uec_retriever.evaluation.encoding_cache import EncodingCache
from uec_retriever.evaluation.methods import UNIFORM
from uec_retriever.evaluation.mteb_adapter import UECModel
from uec_retriever.evaluation.mteb_meta import require_mteb
from uec_retriever.evaluation.mteb_tasks import classification_task
from uec_retriever.evaluation.systems import Progress, System, fit_systems
from uec_retriever.evaluation.tab_separated import LabelledText, read_labelled, sample
from uec_retriever.experts.expert import Expert


@dataclass(frozen=True)
class ClassificationOptions:
    """What is measured.

    Attributes:
        limit: at most this many test texts of each set.
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
    """Measure on test texts (`train.tsv` and `test.tsv`: label, text).

    Args:
        folders: one for each set.
        experts: at least one.
        options: defaults if absent.
        progress: called with what is being done, and how much of it.

    Returns:
        What JSON can hold: `sets[name]["methods"][label]` with `accuracy` and `macro F1`, means over the rounds with
        intervals over them and paired differences to `uniform`; and what was `chosen`.

    Raises:
        CorpusError: for a file that cannot be read.
        InvalidInputError: without experts or sets, for experts of the same label, or for fewer than two labels.
        MissingExtraError: without the extra `mteb`.
    """
    options = options or ClassificationOptions()
    if not experts or not folders:
        raise InvalidInputError("give at least one expert and one folder with train.tsv and test.tsv")
    require_mteb()
    cache = EncodingCache()  # no text goes through a model twice, whatever the system
    cached = [cache.expert(e) for e in experts]
    sets: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    for folder in folders:
        train, test = read_split_texts(folder, options)
        pairs = label_pairs(train, options.calibration_pairs, options.seed)
        name = folder.resolve().name
        systems, chosen[name] = fit_systems(cached, pairs, options.temperature)
        sets[name] = _measure(name, train, test, systems, options, progress)
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
    name: str,
    train: Sequence[LabelledText],
    test: Sequence[LabelledText],
    systems: Sequence[System],
    options: ClassificationOptions,
    progress: Progress | None,
) -> dict[str, Any]:
    import mteb

    number = {label: i for i, label in enumerate(sorted({label for label, _ in train}))}
    learn, ask = ([(text, number[label]) for label, text in part] for part in (train, test))
    rounds = options.rounds
    task = classification_task(name, learn, ask, samples_per_label=options.per_label, experiments=rounds)
    task.seed = options.seed
    values: dict[str, dict[str, Any]] = {}
    for done, system in enumerate(systems):
        if progress:
            progress(f"{name}: {system.label}", done, len(systems))
        found = mteb.evaluate(UECModel(system.ensemble), task, cache=None, show_progress_bar=False)
        [[scores]] = found.task_results[0].scores.values()
        each = scores["scores_per_experiment"]
        metrics = {"accuracy": "accuracy", "macro F1": "f1"}
        values[system.label] = {m: np.array([r[key] for r in each]) for m, key in metrics.items()}
    baseline = values[UNIFORM]
    return {
        "train": options.per_label * len(number),
        "test": len(test),
        "classes": len(number),
        "methods": {
            system.label: {
                "kind": system.kind,
                **{m: mean_cell(v, baseline[m], options.seed) for m, v in values[system.label].items()},
            }
            for system in systems
        },
    }


def read_split_texts(
    folder: Path, options: ClassificationOptions
) -> tuple[list[LabelledText], list[LabelledText]]:
    """Train and test texts of the labels that are kept, the test texts a sample."""
    train, test = (read_labelled(folder / f"{split}.tsv") for split in ("train", "test"))
    kept = set(sample(sorted({label for label, _ in train}), options.labels, options.seed))
    train, test = ([item for item in part if item[0] in kept] for part in (train, test))
    if len(kept) < 2 or not test:
        raise InvalidInputError(f"{folder} needs at least two labels in train.tsv, and test texts of them")
    return train, sample(test, options.limit, options.seed)


def label_pairs(train: Sequence[LabelledText], limit: int, seed: int) -> CalibrationPairs:
    """Two texts of one label each, every text at most once, in random order."""
    waiting: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for i in np.random.default_rng(seed).permutation(len(train)):
        label, text = train[i]
        if waiting.get(label, text) != text:
            found.append((waiting.pop(label), text))
        else:
            waiting[label] = text
        if len(found) == limit:
            break
    return CalibrationPairs([q for q, _ in found], [p for _, p in found], "train texts of one label")
