"""Benchmarks of time and memory, at a small size."""

import importlib
import json
import sys

import numpy as np
import pytest

from benchmarks.scaling import STAGES
from benchmarks.timing import Stopwatch, growth, peak_bytes
from devtools.models import SMOLLM2, real_model


@pytest.mark.data
@pytest.mark.models
def test_efficiency_measures_both_sides(run):
    result = run("efficiency")
    for ensemble in ("MiniLM", "MiniLM + WordLlama"):
        indexing, query = result[ensemble]["indexing"], result[ensemble]["query"]
        assert indexing["ratio"] == pytest.approx(indexing["ours_per_s"] / indexing["plain_per_s"])
        milliseconds = query["milliseconds"]
        parts = milliseconds["plain encode"] + milliseconds["plain Chroma, 10"]
        assert query["ratio_to_plain_10"] == pytest.approx(milliseconds["UEC, whole"] / parts)
        assert query["rescoring_share_of_100"] < 1
    assert all(row["ratio"] > 1 for row in result["disk"])
    assert all(row["uec_mb"] > 100 for row in result["memory"])


@pytest.mark.data
@pytest.mark.models
def test_words_cost_measures_queries_and_indexing_with_words_and_without(run):
    result = run("words_cost")
    for clock in ("CPU", "wall"):
        milliseconds = result["query"][clock]["milliseconds"]
        parts = milliseconds["plain encoding"] + milliseconds["plain Chroma, 30"]
        ratio = result["query"][clock]["ratio to plain parts"]["with words"]
        assert ratio == pytest.approx(milliseconds["with words"] / parts)
        assert result["indexing"]["rate with over rate without"][clock] > 0
    assert [table["name"] for table in result["tables"]] == ["query", "indexing"]


@pytest.mark.data
@pytest.mark.models
def test_closed_form_curvature_equals_the_loop(run):
    result = run("fitting")
    assert result["loop"]["relative_difference"] < 1e-4
    assert [row[:2] for row in result["growth"]["rows"]] == [
        [s, n] for s in ("diag", "kron") for n in (4, 8, 16, 32)
    ]


@pytest.mark.models
def test_scaling_measures_every_stage_against_every_size(run):
    result = run("scaling")
    assert set(result["sweeps"]) == {"K", "D", "N"}
    for sweep in result["sweeps"].values():
        times = sweep["milliseconds"]["values"]
        assert set(times) == {*STAGES}
        assert {len(v) for v in times.values()} == {len(sweep["sizes"])}
    kept = result["sweeps"]["N"]["bytes kept"]
    assert kept["growth"]["means"]["exponent"] == pytest.approx(1)
    assert kept["values"]["means"] == [200 * 64 * 4, 2000 * 64 * 4]
    assert kept["values"]["variances, coded"] == [200 * 2 * 2 * 4, 2000 * 2 * 2 * 4]
    found = result["share"]["WordLlama"]
    assert list(found["candidates"]) == ["30", "100", "200", "2000"]
    milliseconds = found["milliseconds"]
    similarity = milliseconds["similarity, coded, 2000"]
    share = found["candidates"]["2000"]["coded: similarity of the query"]
    assert share == pytest.approx(similarity / (milliseconds["encoding"] + similarity))
    assert [t["name"] for t in result["tables"]][:2] == ["growth", "share"]
    assert result["curves"][0]["panels"]["N, candidates"]["x"] == [200, 2000]


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
    assert [watch.time("one", lambda v: v, 7) for _ in range(3)] == [7, 7, 7]
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
def test_labels_equal_those_of_the_plain_loop(monkeypatch, tmp_path, collections):
    pytest.importorskip("bm25s")
    try:
        folder = real_model(SMOLLM2)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    benchmark = importlib.import_module("benchmarks.labels")
    # the same weights: reading its GGUF file takes half a minute
    monkeypatch.setattr(benchmark, "real_llm", lambda name: folder)
    arguments = "--sets qasper_dev_evidence --parts speed --speed-chunks 1 --chunk 1 --candidates 1"
    monkeypatch.setattr(sys, "argv", ["labels", *arguments.split(), "--out", str(tmp_path)])
    benchmark.main()
    result = json.loads((tmp_path / "labels.json").read_text())
    ways = result["sets"]["qasper_dev_evidence"]["speed"]["ways"]
    assert ways["and shared beginnings"]["largest_difference"] < 1e-3
    for way in ways.values():
        assert way["ratio"] == pytest.approx(ways["plain loop"]["seconds"] / way["seconds"])


@pytest.mark.data
@pytest.mark.models
def test_heads(run, tmp_path):
    result = run("heads", "--work", tmp_path / "work")
    scope, ranking = result["tables"]
    assert [row[0] for row in scope["rows"]] == ["clinc150"] * 6
    assert {row[1] for row in ranking["rows"]} == {"metatool", "mean"}


@pytest.mark.data
@pytest.mark.models
def test_onnx(run):
    pytest.importorskip("onnxscript")
    result = run("onnx")
    assert result["tables"]
