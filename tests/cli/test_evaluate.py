"""`uec eval uae` from the command line."""

import json

import pytest

from tests.cli.conftest import refused
from tests.evaluation.fakes import EchoJudge, write_collection


@pytest.fixture
def data(tmp_path):
    return write_collection(tmp_path / "toy")


@pytest.fixture
def judge(monkeypatch):
    from uec_retriever.utility_labeler.local import LocalJudge

    monkeypatch.setattr(LocalJudge, "load", lambda *_, **__: EchoJudge())


def test_a_table_and_a_file_that_says_where_it_comes_from(uec, models, data, judge, tmp_path):
    outcome = uec(
        "eval", "uae", "--data", data, "--model", f"base={models['bert']}", "--model", f"uae={models['other']}",
        "--llm", "echo", "--answers", 2, "--rerank-depth", 2, "--compose", "uae", "--out", tmp_path / "out",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "inside each question's group" in outcome.out
    assert "uae + LLM, blended" in " ".join(outcome.out.split())
    saved = json.loads((tmp_path / "out" / "uae.json").read_text())
    assert {"command", "commit", "versions", "seed", "split", "models"} <= set(saved)
    assert saved["llm"] == {"name": "echo"}
    assert saved["scopes"]["corpus"]["uae"]["Recall@1"]["n"] == 3


def test_json_is_one_object(uec, models, data):
    outcome = uec(
        "eval", "uae", "--data", data, "--model", f"a={models['bert']}", "--scope", "corpus", "--json"
    )
    assert list(json.loads(outcome.out)["scopes"]) == ["corpus"]


def test_what_is_wrong_is_said(uec, models, data, tmp_path):
    model = f"a={models['bert']}"
    refused(uec("eval", "uae", "--data", data, "--model", models["bert"]), "LABEL=PATH", code=2)
    refused(uec("eval", "uae", "--data", data, "--model", model, "--model", model), "same label", code=2)
    refused(uec("eval", "uae", "--data", data, "--model", model, "--answers", 2), "give --llm", code=2)
    refused(uec("eval", "uae", "--data", data, "--model", model, "--split", "dev"), "no split 'dev'")
    refused(uec("eval", "uae", "--data", tmp_path / "none", "--model", model), "--data: there is no", code=2)
    refused(uec("eval", "uae", "--data", data, "--model", "a=nobody/none"), "cannot load the embedding model")
