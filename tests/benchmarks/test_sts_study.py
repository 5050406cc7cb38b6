"""Sentence pairs: scores against naive loops, and the whole study on tiny experts."""

import json

import numpy as np
import pytest

from benchmarks.sts_data import StsOptions
from benchmarks.sts_study import cosines, score_pairs, summarise_sts, uec_scores
from benchmarks.tab_separated import read_pairs
from tests.evaluation.made_up import tiny_experts, write_pairs
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.engine.ensemble import fuse_queries
from uec_retriever.evaluation.collection_encoder import encode_texts
from uec_retriever.evaluation.expert_set import ExpertSet, fit_experts
from uec_retriever.evaluation.methods import UEC

SMALL = StsOptions(limit=30, calibration_pairs=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("sts") / "toy")


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    return tiny_experts(tmp_path_factory.mktemp("models"), "bert", "bert")


@pytest.fixture(scope="module")
def fitted(folder, experts):
    """Gaussians of the first sentences, and their calibration."""
    _, one, other = map(list, zip(*read_pairs(folder / "pairs.tsv"), strict=True))
    pairs = CalibrationPairs(one, other)
    known = ExpertSet(experts, fit_experts(experts, pairs, ["kron"]), pairs.split()[1])
    return encode_texts(known, one, "query", ["kron"]), known.calibrate("kron", 0.1)


def study(folder, experts):
    return summarise_sts([score_pairs(folder, experts, SMALL, 20)], [e.label for e in experts], SMALL)


@pytest.fixture(scope="module")
def result(folder, experts):
    return study(folder, experts)


def test_scores_of_a_pair_are_the_naive_loop(fitted):
    one, other = [0, 1, 2], [3, 4, 4]
    texts, manifest = fitted
    found = uec_scores(UEC(), manifest, texts, one, other)
    _, pi = fuse_queries(texts.gaussians["kron"], manifest)
    np.testing.assert_allclose(pi.sum(axis=1), 1)
    for n, (a, b) in enumerate(zip(one, other, strict=True)):
        expected, before = 0.0, 0.0
        for q, c in ((a, b), (b, a)):
            m = v = 0.0
            for k, g in enumerate(texts.gaussians["kron"]):
                m += pi[q, k] * float(g.mean[q] @ g.mean[c])
                v += float((pi[q, k] * g.mean[q]) ** 2 @ g.variance[c])
                v += float(pi[q, k] ** 2 * g.variance[q] @ (g.mean[c] ** 2 + g.variance[c]))
            expected += m / np.sqrt(1 + np.pi * v / 8) / 2
            before += m / 2
        assert found.score[n] == pytest.approx(expected, rel=1e-4)
        assert found.mean[n] == pytest.approx(before, rel=1e-4)
    swapped = uec_scores(UEC(), manifest, texts, other, one)
    np.testing.assert_allclose(found.score, swapped.score, rtol=1e-6)


def test_without_coefficients_and_similarity_it_is_the_uniform_ensemble(fitted):
    one, other = list(range(10)), list(range(10, 20))
    texts, manifest = fitted
    plain = uec_scores(UEC(similarity=False, coefficients=False), manifest, texts, one, other)
    np.testing.assert_allclose(plain.score, cosines(texts, one, other).mean(axis=1), rtol=1e-5)
    assert plain.kind == "ablation"
    assert uec_scores(UEC(), manifest, texts, one, other).kind == "uec"
    summed = uec_scores(UEC(layout="sum", similarity=False), manifest, texts, one, one)
    np.testing.assert_allclose(summed.score, 1, rtol=1e-5)


def test_the_whole_study(result, experts):
    labels = [e.label for e in experts]
    methods = result["sets"]["toy"]["methods"]
    assert {*labels, "uniform", "weighted", "UEC diag", "UEC kron", "UEC kron sum"} <= set(methods)
    assert {
        f"UEC {s}, {a}" for s in ("diag", "kron") for a in ("no similarity", "no coefficients", "neither")
    } <= set(methods)
    assert [methods[label]["kind"] for label in (*labels, "uniform", "UEC kron")] == [
        "single", "single", "ensemble", "uec",
    ]  # fmt: skip
    for method in methods.values():
        cell = method["Spearman"]
        assert cell["low"] <= cell["mean"] <= cell["high"]
        assert cell["n"] == 30
    assert methods["uniform"]["Spearman"]["difference"] == {"mean": 0, "low": 0, "high": 0}
    uniform = methods["uniform"]["Spearman"]["mean"]
    assert methods["UEC kron, neither"]["Spearman"]["mean"] == pytest.approx(
        uniform, abs=1e-3
    )  # ties of rounding
    assert sum(methods["UEC kron"]["coefficients"].values()) == pytest.approx(1)
    assert result["mean"]["UEC diag"]["Spearman"]["mean"] == methods["UEC diag"]["Spearman"]["mean"]
    json.dumps(result, allow_nan=False)


def test_what_was_chosen_is_said(result, folder, experts, tmp_path):
    chosen = result["chosen"]["toy"]
    assert chosen["weights from"] == "Spearman on 20 train pairs"
    assert chosen["calibration pairs from"].startswith("train pairs")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "pairs.tsv").write_text((folder / "pairs.tsv").read_text())
    alone = study(bare, experts[:1])
    assert alone["chosen"]["bare"]["weights from"] == "held-out calibration pairs"
    assert alone["chosen"]["bare"]["calibration pairs from"] == "halves"
    assert "UEC kron sum" not in alone["sets"]["bare"]["methods"]
