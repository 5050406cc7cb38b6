"""Sentence pairs: Spearman against scipy, and single experts, all alike and UEC on tiny ones."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.evaluation.made_up import tiny_experts, write_pairs
from uec_retriever.errors import CorpusError, InvalidInputError
from uec_retriever.evaluation.bootstrap import compare, resample
from uec_retriever.evaluation.sts import StsOptions, run_sts, similar_pairs, spearman
from uec_retriever.evaluation.tab_separated import read_labelled, read_pairs, sample

SMALL = StsOptions(limit=30, calibration_pairs=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("sts") / "toy")


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    return tiny_experts(tmp_path_factory.mktemp("models"), "bert", "qwen3")


@pytest.fixture(scope="module")
def result(folder, experts):
    told = []
    found = run_sts([folder], experts, SMALL, lambda *what: told.append(what))
    assert told[0] == ("toy: bert0", 0, 5)
    return found


def unit(expert, texts):
    vectors = expert.linearise(texts, "text").embeddings.numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_experts_and_the_uniform_ensemble_are_those_of_plain_cosines(result, folder, experts):
    gold, one, other = zip(*sample(read_pairs(folder / "pairs.tsv"), 30, 0), strict=True)
    cosines = [(unit(e, list(one)) * unit(e, list(other))).sum(axis=1) for e in experts]
    methods = result["sets"]["toy"]["methods"]
    expected = {e.label: c for e, c in zip(experts, cosines, strict=True)} | {
        "uniform": np.mean(cosines, axis=0)
    }
    for label, similarity in expected.items():
        assert methods[label]["Spearman"]["mean"] == pytest.approx(
            spearmanr(similarity, gold).statistic, abs=2e-3
        )
    assert len({methods[label]["Spearman"]["mean"] for label in expected}) == 3


def test_the_whole_result(result):
    methods = result["sets"]["toy"]["methods"]
    assert {m: v["kind"] for m, v in methods.items()} == {
        "bert0": "single", "qwen31": "single", "uniform": "ensemble", "UEC diag": "uec", "UEC kron": "uec",
    }  # fmt: skip
    for method in methods.values():
        cell = method["Spearman"]
        assert -1 <= cell["low"] <= cell["mean"] <= cell["high"] <= 1
        assert cell["n"] == 30
    assert methods["uniform"]["Spearman"]["difference"] == {"mean": 0, "low": 0, "high": 0}
    assert result["mean"]["UEC diag"]["Spearman"]["mean"] == methods["UEC diag"]["Spearman"]["mean"]
    assert result["chosen"]["toy"]["calibration pairs from"].startswith("train pairs")
    assert 0 < result["chosen"]["toy"]["UEC"]["kron"]["temperature"] <= 5
    json.dumps(result, allow_nan=False)


def test_calibration_pairs_without_a_train_split(folder):
    test, train = (read_pairs(folder / f"{name}.tsv") for name in ("pairs", "train"))
    assert similar_pairs(test, train, 40, 0).source == "train pairs, gold above 80% of the scale"
    assert similar_pairs(test, [], 40, 0).source == "halves"
    assert similar_pairs(test, train[:2], 40, 0).source == "halves"
    assert similar_pairs(test[:1], [], 40, 0).source not in ("halves", "")


def test_spearman_is_scipys_and_resampling_is_paired():
    random = np.random.default_rng(0)
    truth = random.integers(0, 6, 60).astype(float)
    scores = np.stack([truth + random.normal(0, s, 60) for s in (0.5, 3)], axis=1)
    np.testing.assert_allclose(
        spearman(scores, truth), [spearmanr(scores[:, k], truth).statistic for k in range(2)]
    )
    draws = resample(lambda rows: spearman(scores[rows], truth[rows]), 60, 0, 500)
    values = spearman(scores, truth)
    poor = compare(values[1], draws[:, 1], values[0], draws[:, 0])
    assert poor["difference"]["high"] < 0
    good = compare(values[0], draws[:, 0], values[0], draws[:, 0])
    assert good["low"] < good["mean"] < good["high"]
    assert good["difference"] == {"mean": 0, "low": 0, "high": 0}
    error = (1 - good["mean"] ** 2) / np.sqrt(60)
    assert good["high"] - good["low"] == pytest.approx(4 * error, rel=0.6)


def test_what_cannot_be_read_is_said(tmp_path, experts):
    with pytest.raises(CorpusError, match="cannot read"):
        read_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "pairs.tsv").write_text("1.0\ta\tb\n\nhigh\ta\tb\n")
    with pytest.raises(CorpusError, match="line 3: 'high'"):
        read_pairs(tmp_path / "pairs.tsv")
    (tmp_path / "train.tsv").write_text("label only\n")
    with pytest.raises(CorpusError, match="line 1: expected 2 columns"):
        read_labelled(tmp_path / "train.tsv")
    (tmp_path / "train.tsv").write_text("\n")
    with pytest.raises(CorpusError, match="empty"):
        read_labelled(tmp_path / "train.tsv")
    with pytest.raises(InvalidInputError, match="at least one expert"):
        run_sts([tmp_path], [])
