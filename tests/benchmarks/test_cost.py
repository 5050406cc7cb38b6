"""Benchmarks of time and memory, at a small size."""

import importlib
import json
import sys

import numpy as np
import pytest

from benchmarks.scaling import STAGES
from benchmarks.timing import Stopwatch, growth, peak_bytes
from devtools.models import SMOLLM2, real_llm


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
def test_labels_equal_those_of_the_plain_loop(monkeypatch, tmp_path, collections):
    pytest.importorskip("bm25s")
    try:
        real_llm(SMOLLM2)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    arguments = "--sets qasper_dev_evidence --parts speed --speed-chunks 1 --chunk 1 --candidates 1"
    monkeypatch.setattr(sys, "argv", ["labels", *arguments.split(), "--out", str(tmp_path)])
    importlib.import_module("benchmarks.labels").main()
    result = json.loads((tmp_path / "labels.json").read_text())
    ways = result["sets"]["qasper_dev_evidence"]["speed"]["ways"]
    assert ways["and shared beginnings"]["largest_difference"] < 1e-3
    assert all(way["ratio"] > 0.5 for way in ways.values())  # too few pairs to tell more
