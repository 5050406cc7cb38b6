"""Benchmarks of quality, at a small size."""

import json

import pytest

from benchmarks.common import RESULTS
from benchmarks.confidence import prior_without
from devtools.models import MINILM, WORDLLAMA
from uec_retriever.checks.rows import read_row
from uec_retriever.confidence.prior import WITH_WORDS, Prior


@pytest.mark.data
@pytest.mark.models
def test_retrieval_puts_every_method_beside_the_others(run):
    pytest.importorskip("langchain_classic")
    pytest.importorskip("llama_index.core")
    result = run("retrieval")
    methods = result["sets"]["metatool"]["methods"]
    assert {MINILM, WORDLLAMA, "uniform", "weighted", "RRF", "UEC diag", "UEC kron", "oracle query"} <= set(
        methods
    )
    hybrids = {f"{way} words + {dense}" for way in ("RRF", "min-max", "TMM") for dense in (MINILM, "all")}
    frameworks = {"LangChain EnsembleRetriever: BM25 + all", f"LlamaIndex relative_score: BM25 + {MINILM}"}
    assert {"words", "UEC kron + words", *hybrids, *frameworks} <= set(methods)
    assert result["settings"]["hybrid_weights"].keys() >= {"TMM words + all"}
    [table] = result["tables"]
    assert {row[0] for row in table["rows"]} >= {"UEC kron", *hybrids, *frameworks}
    ndcg = {label: method["metrics"]["nDCG@10"] for label, method in methods.items()}
    assert all(0 < m["low"] <= m["mean"] <= m["high"] <= 1 for m in ndcg.values())
    assert ndcg["oracle query"]["mean"] >= max(ndcg[MINILM]["mean"], ndcg[WORDLLAMA]["mean"])
    assert ndcg["UEC kron, neither"]["mean"] == pytest.approx(ndcg["uniform"]["mean"], abs=0.01)
    assert result["split"] == "test"
    fusion = result["framework fusion"]["metatool"]
    assert fusion["LangChain EnsembleRetriever"] == pytest.approx(fusion["RRF"], abs=0.01)
    assert fusion["LlamaIndex QueryFusionRetriever"] == pytest.approx(fusion["RRF"], abs=0.03)


@pytest.mark.data
@pytest.mark.models
def test_confidence_is_measured_with_and_without_answers(run):
    scores = run("confidence")["sets"]["metatool"]["scores"]
    assert {"signal: top", "signal: margin_10", "signal: lexical"} <= set(scores)
    calibrated = [name for name in scores if name.startswith(("pseudo", "train labels"))]
    assert len(calibrated) > 3
    assert scores["pseudo, 50% unanswerable"] != scores["pseudo, 50% unanswerable, no prior"]
    for name in calibrated:
        assert 0 < scores[name]["ece_mixed"] < 0.5
        assert 0 < scores[name]["brier_mixed"] < 0.5
        assert scores[name]["auroc_mixed"] > 0.5
    assert all(s["nauc_interval"][0] <= s["nauc"] <= s["nauc_interval"][1] for s in scores.values())


@pytest.mark.data
@pytest.mark.models
def test_a_prior_is_fitted_on_other_collections(run):
    result = run("confidence_prior")
    priors = {name: read_row(Prior, prior) for name, prior in result["priors"].items()}
    assert set(priors) == {"metatool", "qasper_dev_evidence"}
    assert priors["metatool"] != priors["qasper_dev_evidence"] != read_row(Prior, result["prior"])
    [table] = result["tables"]
    assert len(table["rows"]) == 2 * 3 * 3  # ensembles, metrics, confidences
    for label, *cells in table["rows"]:
        assert all(-1 <= float(cell) <= 1 for cell in cells)
        assert "AUROC" not in label or float(cells[-1]) > 0.6


def test_the_prior_that_is_used_is_the_one_that_was_measured():
    measured = json.loads((RESULTS / "confidence_prior.json").read_text())
    assert read_row(Prior, measured["prior"]) == WITH_WORDS
    for name, prior in measured["priors"].items():
        assert prior_without(name) == read_row(Prior, prior) != WITH_WORDS
    assert prior_without("cranfield") == WITH_WORDS


@pytest.mark.data
@pytest.mark.models
def test_sentence_pairs_are_scored_by_every_method(run):
    result = run("sts")
    methods = result["sets"]["stsb_en"]["methods"]
    assert {MINILM, WORDLLAMA, "uniform", "weighted", "UEC diag", "UEC kron, neither"} <= set(methods)
    assert all(m["Spearman"]["mean"] > 0.5 for m in methods.values())
    assert result["chosen"]["stsb_en"]["weights from"] == "Spearman on 20 train pairs"


@pytest.mark.data
@pytest.mark.models
def test_classification_and_its_out_of_scope_texts(run):
    found = run("classification")["sets"]["clinc150"]
    assert all(m["accuracy"]["mean"] > 0.5 for m in found["methods"].values())
    assert found["out_of_scope"]["distance to train: uniform"]["AUROC"] > 0.7


@pytest.mark.data
@pytest.mark.models
def test_calibration_of_similarity_and_variance(run):
    found = run("calibration")["sets"]["metatool"]
    assert {"uniform, stated", "UEC diag, fitted", "UEC kron, fitted with variance"} <= set(
        found["reliability"]
    )
    assert found["reliability"]["uniform, fitted"]["ECE"] < found["reliability"]["uniform, stated"]["ECE"]
    assert len(found["pairs"]) == 4  # two experts, two structures
    for pairs in found["pairs"].values():
        assert pairs["Var-ECE"] < pairs["Var-ECE before"]
    assert set(found["queries predict"]) == set(found["pairs"])
