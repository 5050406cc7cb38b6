"""The probe against sklearn and MTEB's sampling, the signals by hand, and the whole study on tiny experts."""

import json
import warnings
from collections import Counter

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from benchmarks.classification_data import ClassificationOptions
from benchmarks.classification_study import study_classification
from benchmarks.out_of_scope import jensen_shannon
from benchmarks.probe import fit_probe, score_probe, undersample
from tests.evaluation.made_up import tiny_experts, write_intents

SMALL = ClassificationOptions(per_label=4, rounds=2, calibration_pairs=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_intents(tmp_path_factory.mktemp("classification") / "toy")


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    return tiny_experts(tmp_path_factory.mktemp("models"), "bert", "qwen3")


@pytest.fixture(scope="module")
def result(folder, experts):
    return study_classification(folder, experts, SMALL)


def classes(number, seed=0):
    random = np.random.default_rng(seed)
    labels = random.choice(["a", "b", "c"][:number], 90)
    centres = {label: random.normal(size=5) for label in "abc"}
    return np.stack([centres[x] + random.normal(size=5) for x in labels]), labels.tolist()


@pytest.mark.parametrize("number", [2, 3])
def test_probe_is_sklearns(number):
    features, labels = classes(number)
    plain = LogisticRegression(max_iter=100, random_state=0).fit(features[:60], labels[:60])
    probe = fit_probe(features[:60], labels[:60], 0)
    probabilities = probe.probabilities(features[60:])
    np.testing.assert_allclose(probabilities, plain.predict_proba(features[60:]), rtol=1e-6)
    found = score_probe(probe, probabilities, labels[60:])
    predicted = plain.predict(features[60:])
    assert found.correct.mean() == pytest.approx(accuracy_score(labels[60:], predicted))
    assert found.f1 == pytest.approx(f1_score(labels[60:], predicted, average="macro"))
    truth = labels[60:] if number == 3 else np.array(labels[60:]) == "b"
    expected = roc_auc_score(
        truth, probabilities if number == 3 else probabilities[:, 1], multi_class="ovr", average="macro"
    )
    assert found.auroc == pytest.approx(expected)


def test_moderation_is_the_naive_loop_and_only_makes_unsure():
    features, labels = classes(3)
    probe = fit_probe(features, labels, 0)
    variance = np.random.default_rng(0).uniform(0, 2, features.shape)
    found = probe.probabilities(features, variance)
    for n in range(3):
        logits = []
        for c in range(3):
            logit = probe.intercepts[c] + sum(probe.weights[c, d] * features[n, d] for d in range(5))
            spread = sum(probe.weights[c, d] ** 2 * variance[n, d] for d in range(5))
            logits.append(logit / np.sqrt(1 + np.pi * spread / 8))
        np.testing.assert_allclose(found[n], softmax(logits))
    np.testing.assert_allclose(probe.probabilities(features, 0 * variance), probe.probabilities(features))
    assert (probe.probabilities(features, 1e6 * variance + 1e6).max(axis=1) < 0.5).all()


def test_samples_are_mtebs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("mteb.abstasks.classification")
        datasets = pytest.importorskip("datasets")
    labels = np.random.default_rng(0).choice(["a", "b", "c"], 60).tolist()

    class Task:
        seed, samples_per_label, label_column_name = 42, 4, "label"

    order, expected = None, []
    for number in range(3):
        _, order, chosen = module.AbsTaskClassification._undersample_data(
            Task(), datasets.Dataset.from_dict({"label": labels}), number, order
        )
        expected.append(chosen)
    assert undersample(labels, 4, 3, 42) == expected
    assert all(set(Counter(labels[i] for i in s).values()) == {4} for s in expected)


def test_divergence_is_scipys():
    random = np.random.default_rng(0)
    one, other = random.dirichlet(np.ones(4), 10), random.dirichlet(np.ones(4), 10)
    np.testing.assert_allclose(jensen_shannon([one, other]), jensenshannon(one, other, axis=1) ** 2)
    np.testing.assert_allclose(jensen_shannon([one, one]), 0, atol=1e-12)


def test_the_whole_study(result, experts):
    found, chosen = result
    methods = found["methods"]
    assert (found["train"], found["test"], found["classes"]) == (16, 40, 4)
    assert {*(e.label for e in experts), "uniform", "weighted", "UEC diag", "UEC kron"} <= set(methods)
    for method in methods.values():
        cell = method["accuracy"]
        assert 0 <= cell["low"] <= cell["mean"] <= cell["high"] <= 1
        assert cell["n"] == 40
        assert 0 <= method["macro F1"] <= 1
        assert 0 <= method["AUROC"] <= 1
    assert methods["uniform"]["accuracy"]["mean"] > 0.5  # a text repeats the word of its label
    for structure in ("diag", "kron"):
        assert methods[f"UEC {structure}, neither"] == {**methods["uniform"], "kind": "ablation"}
    assert "coefficients" not in methods[experts[0].label]
    assert sum(methods["UEC kron"]["coefficients"].values()) == pytest.approx(1)
    assert chosen["calibration pairs from"] == "train texts of one label"
    json.dumps(result, allow_nan=False)


def test_every_signal_has_its_interval(result, experts):
    found = result[0]["out_of_scope"]
    for part in ("variance: bert0, kron", "variance: qwen31, diag", "distance to train: uniform",
                 "unsure probe: UEC kron", "unsure probe: UEC kron, no similarity",
                 "disagreement of the experts' probes", "nearer to everyday questions than to train"):  # fmt: skip
        assert part in found
    assert all(0 <= cell["low"] <= cell["AUROC"] <= cell["high"] <= 1 for cell in found.values())
    assert found["distance to train: uniform"]["AUROC"] > 0.8  # they share no word
    assert result[0]["out_of_scope_texts"] == 12


def test_one_expert_and_no_strange_texts(tmp_path, experts):
    folder = write_intents(tmp_path / "plain", strange=0)
    options = ClassificationOptions(limit=7, labels=2, per_label=3, rounds=1, calibration_pairs=20)
    found, _ = study_classification(folder, experts[:1], options)
    assert (found["test"], found["classes"], found["train"]) == (7, 2, 6)
    assert "out_of_scope" not in found
    assert found["methods"]["uniform"]["accuracy"] == found["methods"][experts[0].label]["accuracy"]
