"""`uec eval retrieval` from the command line."""

import json

import pytest

from tests.cli.conftest import refused
from tests.evaluation.retrieval_small import write_set


@pytest.fixture
def data(tmp_path):
    return [write_set(tmp_path / name, seed) for seed, name in enumerate(("left", "right"))]


def test_a_table_and_a_file_that_says_where_it_comes_from(uec, models, data, tmp_path):
    outcome = uec(
        "eval", "retrieval", "--data", data[0], "--data", data[1], "--expert", f"a={models['bert']}",
        "--expert", f"b={models['qwen']}", "--merged", f"merged uniform={models['other']}", "--pairs", 40, "--merge",
        "--temperature", "inf", "--cache", tmp_path / "cache", "--out", tmp_path / "out",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "UEC kron, no similarity" in " ".join(outcome.out.split())
    saved = json.loads((tmp_path / "out" / "retrieval.json").read_text())
    assert {"command", "commit", "versions", "seed", "split", "models", "settings", "chosen"} <= set(saved)
    assert list(saved["sets"]) == ["left", "right", "left in merged", "right in merged"]
    assert saved["sets"]["right in merged"]["documents"] == 96
    assert saved["sets"]["right in merged"]["domain"] == "right"
    assert saved["chosen"]["left"]["UEC kron"]["temperature"] == "Infinity"
    assert (
        saved["chosen"]["left in merged"]["weighted"]["on"]
        == "train queries of left in merged, right in merged"
    )
    assert list((tmp_path / "cache").rglob("*.safetensors"))


def test_given_posteriors_and_json(uec, models, data, tmp_path):
    for structure in ("kron", "diag"):
        outcome = uec(
            "fit", "--expert", models["bert"], "--corpus", data[0], "--structure", structure,
            "--out", tmp_path / f"{structure}.safetensors",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
    outcome = uec(
        "eval", "retrieval", "--data", data[0], "--expert", f"a={models['bert']}", "--json", "--methods", "single,kron",
        "--posterior", f"a={tmp_path / 'kron.safetensors'}", "--queries", 3, "--documents", 20, "--pairs", 16,
        "--scope", "left=group",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert list(found["mean"]) == ["a", "uniform", "UEC kron"]
    assert found["sets"]["left"]["scope"] == "group"
    assert (found["sets"]["left"]["queries"], found["sets"]["left"]["documents"]) == (3, 20)


def test_what_is_wrong_is_said(uec, models, data):
    start = ("eval", "retrieval", "--data", data[0], "--expert", f"a={models['bert']}")
    refused(uec(*start, "--methods", "magic"), "unknown methods magic", "oracle")
    refused(uec(*start, "--temperature", "warm"), "references, train")
    refused(uec(*start, "--posterior", "kron.safetensors"), "LABEL=PATH", code=2)
    refused(uec(*start, "--posterior", "b=kron.safetensors"), "each expert its own")
    refused(uec(*start, "--split", "dev"), "no split 'dev'")
    refused(uec(*start, "--expert", f"a={models['other']}"), "labels of their own")
