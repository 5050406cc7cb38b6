"""MTEB's probe on the embeddings of each method, against a probe of this test's own."""

import json
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from benchmarks.probe import undersample
from tests.evaluation.made_up import tiny_experts, write_intents
from uec_retriever.errors import CorpusError, InvalidInputError, MissingExtraError
from uec_retriever.evaluation.classification import ClassificationOptions, run_classification
from uec_retriever.evaluation.tab_separated import read_labelled

pytest.importorskip("mteb")
SMALL = ClassificationOptions(per_label=4, rounds=3, calibration_pairs=40, seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_intents(tmp_path_factory.mktemp("classification") / "toy")


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    return tiny_experts(tmp_path_factory.mktemp("models"), "bert", "qwen3")


@pytest.fixture(scope="module")
def result(folder, experts):
    told = []
    found = run_classification([folder], experts, SMALL, lambda *what: told.append(what))
    assert told[0] == ("toy: bert0", 0, 5)
    return found


def accuracies(folder, embed):
    """Of each round, by hand."""
    (labels, texts), (truth, asked) = (
        zip(*read_labelled(folder / f"{split}.tsv"), strict=True) for split in ("train", "test")
    )
    features, embedded = embed(list(texts)), embed(list(asked))
    found = []
    for rows in undersample(labels, SMALL.per_label, SMALL.rounds, SMALL.seed):
        probe = LogisticRegression(max_iter=100, random_state=SMALL.seed)
        probe.fit(features[rows], [labels[i] for i in rows])
        found.append(np.mean(probe.predict(embedded) == np.array(truth)))
    return found


def unit(expert):
    def embed(texts):
        vectors = expert.linearise(texts, "text").embeddings.numpy()
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return embed


def test_accuracy_is_that_of_a_probe_of_our_own(folder, experts, result):
    methods = result["sets"]["toy"]["methods"]
    alone = {e.label: accuracies(folder, unit(e)) for e in experts}
    alone["uniform"] = accuracies(
        folder, lambda texts: np.concatenate([unit(e)(texts) / np.sqrt(2) for e in experts], axis=1)
    )
    for label, rounds in alone.items():
        assert methods[label]["accuracy"]["mean"] == pytest.approx(np.mean(rounds))
        assert methods[label]["accuracy"]["n"] == 3
    assert alone["uniform"] != alone["bert0"]


def test_the_whole_result(result):
    found = result["sets"]["toy"]
    assert (found["train"], found["test"], found["classes"]) == (16, 40, 4)
    assert {m: v["kind"] for m, v in found["methods"].items()} == {
        "bert0": "single", "qwen31": "single", "uniform": "ensemble", "UEC diag": "uec", "UEC kron": "uec",
    }  # fmt: skip
    for method in found["methods"].values():
        for metric in ("accuracy", "macro F1"):
            assert 0 <= method[metric]["low"] <= method[metric]["mean"] <= method[metric]["high"] <= 1
    assert found["methods"]["uniform"]["accuracy"]["difference"] == {"mean": 0, "low": 0, "high": 0}
    assert result["chosen"]["toy"]["calibration pairs from"] == "train texts of one label"
    assert set(result["chosen"]["toy"]["UEC"]) == {"diag", "kron"}
    json.dumps(result, allow_nan=False)


def test_fewer_labels_and_texts(tmp_path, experts):
    folder = write_intents(tmp_path / "plain", strange=0)
    options = ClassificationOptions(limit=7, labels=2, per_label=3, rounds=1, calibration_pairs=20)
    found = run_classification([folder], experts[:1], options)["sets"]["plain"]
    assert (found["test"], found["classes"], found["train"]) == (7, 2, 6)
    assert found["methods"]["uniform"]["accuracy"] == found["methods"]["bert0"]["accuracy"]


def test_what_cannot_be_measured_is_said(tmp_path, experts, monkeypatch):
    with pytest.raises(InvalidInputError, match="at least one expert"):
        run_classification([tmp_path], [])
    with pytest.raises(CorpusError, match="cannot read"):
        run_classification([tmp_path], experts)
    folder = write_intents(tmp_path / "one", labels=1)
    with pytest.raises(InvalidInputError, match="two labels"):
        run_classification([folder], experts)
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingExtraError, match=r'pip install "uec-retriever\[mteb\]"'):
        run_classification([folder], experts)
