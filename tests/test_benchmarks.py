"""The benchmarks run whole at a small size, and their results say where they come from."""

import importlib
import json
import sys

import numpy as np
import pytest

from benchmarks.scaling import STAGES
from benchmarks.timing import Stopwatch, growth, peak_bytes
from devtools.models import MINILM, SMOLLM2, WORDLLAMA, real_llm

SMALL = {
    "retrieval": "--sets metatool --queries 20 --documents 60 --framework-fusion",
    "efficiency": "--set metatool --texts 32 --queries 6 --repeats 1 --records 300",
    "fitting": "--set metatool --pairs 32 --loop-pairs 4",
    "confidence": "--sets metatool --queries 60 --train 60 --pseudo 64",
    "sts": "--sets stsb_en --limit 30 --train 20 --pairs 32",
    "classification": "--sets clinc150 --labels 4 --limit 20 --per-label 4 --rounds 1 --pairs 32",
    "calibration": "--sets metatool --limit 30 --documents 80 --pairs 64",
    "scaling": "--experts 1 2 --dimensions 16 32 64 --candidates 200 2000 --base 2 32 200 --repeats 3 --queries 3 "
    "--ensembles WordLlama",
    "codec": "--set metatool --texts 32 --queries 4 --max-pairs 48",
}


@pytest.fixture
def run(monkeypatch, tmp_path, collections, minilm, wordllama):
    def go(name):
        monkeypatch.setattr(sys, "argv", [name, *SMALL[name].split(), "--out", str(tmp_path)])
        importlib.import_module(f"benchmarks.{name}").main()
        result = json.loads((tmp_path / f"{name}.json").read_text())
        assert {"command", "commit", "versions", "seed"} <= set(result)
        return result

    return go


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
def test_efficiency_measures_both_sides(run):
    result = run("efficiency")
    for ensemble in ("MiniLM", "MiniLM + WordLlama"):
        assert 0.2 < result[ensemble]["indexing"]["ratio"] < 5
        assert 0 < result[ensemble]["query"]["rescoring_share_of_100"] < 1
    assert all(row["ratio"] > 1 for row in result["disk"])
    assert all(row["uec_mb"] > 100 for row in result["memory"])


@pytest.mark.data
@pytest.mark.models
def test_closed_form_curvature_equals_the_loop_and_is_faster(run):
    result = run("fitting")
    assert result["loop"]["relative_difference"] < 1e-4
    assert result["loop"]["ratio"] > 1


@pytest.mark.models
def test_scaling_measures_every_stage_against_every_size(run):
    result = run("scaling")
    assert set(result["sweeps"]) == {"K", "D", "N"}
    for sweep in result["sweeps"].values():
        times = sweep["milliseconds"]["values"]
        assert set(times) == {*STAGES}
        assert all(len(v) == len(sweep["sizes"]) and min(v) > 0 for v in times.values())
    kept = result["sweeps"]["N"]["bytes kept"]
    assert kept["growth"]["means"]["exponent"] == pytest.approx(1)
    assert kept["values"]["means"] == [200 * 64 * 4, 2000 * 64 * 4]
    assert kept["values"]["variances, coded"] == [200 * 2 * 2 * 4, 2000 * 2 * 2 * 4]
    shares = result["share"]["WordLlama"]["candidates"]
    assert list(shares) == ["30", "100", "200", "2000"]
    assert all(0 <= share < 1 for found in shares.values() for share in found.values())


def test_growth_exponent_and_its_interval_against_the_formulas():
    sizes = np.array([1, 2, 4, 8, 16])
    exact = growth(sizes, 3 * sizes**1.5)
    assert exact == {k: pytest.approx(1.5) for k in ("exponent", "low", "high")}
    values = 3 * sizes**1.5 * np.exp([0.1, -0.2, 0.1, 0.2, -0.1])
    x, y = np.log(sizes), np.log(values)
    slope = np.cov(x, y)[0, 1] / np.var(x, ddof=1)
    residuals = y - y.mean() - slope * (x - x.mean())
    error = np.sqrt((residuals**2).sum() / 3 / ((x - x.mean()) ** 2).sum())
    half = 3.182446 * error  # 97.5 % quantile of Student's t with 3 degrees of freedom
    assert growth(sizes, values) == {
        "exponent": pytest.approx(slope),
        "low": pytest.approx(slope - half),
        "high": pytest.approx(slope + half),
    }
    assert growth([1, 2], [3, 12]) == {k: pytest.approx(2) for k in ("exponent", "low", "high")}


def test_stopwatch_and_peak():
    watch = Stopwatch(iter(range(100)).__next__)
    assert [watch.timed("one", lambda v: v, 7) for _ in range(3)] == [7, 7, 7]
    watch.add("one", 5.0)
    watch.add("two", 0.001)
    assert watch.medians() == {"one": 1000, "two": 1}
    assert Stopwatch(milliseconds={"a": [9, 1, 2, 3]}).medians(skip=1) == {"a": 2}
    assert peak_bytes(lambda: np.zeros(10**6)) == pytest.approx(8e6, rel=0.01)


@pytest.mark.data
@pytest.mark.models
def test_codecs_are_compared_at_equal_data(run):
    rows = {(r["structure"], r["codec"].split(",")[0]): r for r in run("codec")["rows"]}
    assert rows["kron", "low rank"]["bytes"] < 100 < rows["kron", "float32"]["bytes"]
    assert rows["kron", "low rank"]["score_error"] < 1e-4


@pytest.mark.data
@pytest.mark.models
def test_confidence_is_measured_with_and_without_answers(run):
    scores = run("confidence")["sets"]["metatool"]["scores"]
    assert {"signal: top", "signal: lexical", "signal: query trace"} <= set(scores)
    calibrated = [name for name in scores if name.startswith(("pseudo", "train labels"))]
    assert len(calibrated) > 3
    for name in calibrated:
        assert 0 <= scores[name]["ece_mixed"] <= 1
        assert 0 < scores[name]["brier_mixed"] < 0.5
        assert scores[name]["auroc_mixed"] > 0.5
    assert all(s["nauc_interval"][0] <= s["nauc"] <= s["nauc_interval"][1] for s in scores.values())


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
    for pairs in found["pairs"].values():
        assert pairs["Var-ECE"] < pairs["Var-ECE before"]
        assert 0.2 < pairs["mean variance"] / pairs["mean squared distance"] < 5
    assert set(found["queries predict"]) == set(found["pairs"])


@pytest.mark.data
@pytest.mark.models
def test_labels_equal_those_of_the_plain_loop(monkeypatch, tmp_path, collections):
    pytest.importorskip("bm25s")
    try:
        real_llm(SMOLLM2)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    arguments = "--sets covidqa --parts speed --speed-chunks 1 --chunk 1 --candidates 1"
    monkeypatch.setattr(sys, "argv", ["labels", *arguments.split(), "--out", str(tmp_path)])
    importlib.import_module("benchmarks.labels").main()
    result = json.loads((tmp_path / "labels.json").read_text())
    ways = result["sets"]["covidqa"]["speed"]["ways"]
    assert ways["and shared beginnings"]["largest_difference"] < 1e-3
    assert all(way["ratio"] > 0.5 for way in ways.values())  # too few pairs to tell more
