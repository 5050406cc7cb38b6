"""The benchmarks run whole at a small size, and their results say where they come from."""

import importlib
import json
import sys

import pytest

DOMAINS = (
    "--questions 16 --epochs 1 --max-length 32 --documents 30 --queries 6 --train-queries 4 --pairs 20 "
    "--references 8"
)
SMALL = {
    "retrieval": "--sets metatool --queries 20 --documents 60 --framework-fusion",
    "words": "--sets metatool qasper_dev_evidence --queries 20 --documents 60 --coarse --max-pairs 64",
    "efficiency": "--set metatool --texts 32 --queries 6 --repeats 1 --records 300",
    "words_cost": "--texts 200 --queries 6 --repeats 1",
    "fitting": "--set metatool --pairs 32 --loop-pairs 4",
    "confidence": "--sets metatool --queries 60 --train 60 --pseudo 64",
    "confidence_prior": "--sets metatool qasper_dev_evidence --queries 30 --documents 60 --pseudo 64 --pairs 48",
    "sts": "--sets stsb_en --limit 30 --train 20 --pairs 32",
    "classification": "--sets clinc150 --labels 4 --limit 20 --per-label 4 --rounds 1 --pairs 32",
    "calibration": "--sets metatool --limit 30 --documents 80 --pairs 64",
    "scaling": "--experts 1 2 --dimensions 16 32 64 --candidates 200 2000 --base 2 32 200 --repeats 3 --queries 3 "
    "--ensembles WordLlama",
    "domain_experts": "--merging uniform " + DOMAINS,
    "heads": "--tasks classification retrieval --sets metatool --queries 20 --documents 60 --limit 20 --labels 4",
    "onnx": "--sets metatool --limit 20 --documents 40 --repeats 1",
    "codec": "--set metatool --texts 32 --queries 4 --max-pairs 48",
}


@pytest.fixture
def run(monkeypatch, tmp_path, collections, minilm, wordllama):
    """`run("sts")`: its result; further arguments come after the small ones."""

    def go(name, *further):
        arguments = [*SMALL[name].split(), *map(str, further), "--out", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        importlib.import_module(f"benchmarks.{name}").main()
        result = json.loads((tmp_path / f"{name}.json").read_text())
        assert {"command", "commit", "versions", "seed"} <= set(result)
        return result

    return go
