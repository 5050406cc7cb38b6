"""`uec eval sts` and `uec eval classification` from the command line."""

import json

import pytest

from tests.evaluation.made_up import write_intents, write_pairs


def test_sts_shows_a_table_and_writes_where_it_comes_from(uec, models, tmp_path):
    folder = write_pairs(tmp_path / "toy")
    outcome = uec(
        "eval", "sts", "--data", folder, "--expert", f"one={models['bert']}", "--expert", f"two={models['other']}",
        "--limit", 20, "--calibration-pairs", 32, "--temperature", 0.2, "--out", tmp_path / "out",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "UEC kron" in outcome.out
    assert "difference to uniform" in outcome.out
    saved = json.loads((tmp_path / "out" / "sts.json").read_text())
    assert {"kind", "command", "commit", "versions", "seed", "split", "experts", "models", "settings"} <= set(
        saved
    )
    assert saved["sets"]["toy"]["pairs"] == 20
    assert saved["chosen"]["toy"]["UEC"]["kron"]["temperature"] == 0.2


def test_classification_shows_a_table_and_json_is_one_object(uec, models, tmp_path):
    pytest.importorskip("mteb")
    folder = write_intents(tmp_path / "toy")
    small = ("--expert", f"one={models['bert']}", "--limit", 10, "--labels", 3, "--per-label", 3, "--rounds", 1,
             "--calibration-pairs", 20)  # fmt: skip
    outcome = uec("eval", "classification", "--data", folder, *small)
    assert outcome.code == 0, outcome.err
    shown = " ".join(outcome.out.split())
    assert "accuracy by method and set, test split" in shown
    assert "UEC kron" in shown
    machine = uec("eval", "classification", "--data", folder, *small, "--json")
    found = json.loads(machine.out)["sets"]["toy"]
    assert (found["classes"], found["train"], found["test"]) == (3, 9, 10)


def test_what_is_wrong_is_said(uec, models, tmp_path):
    one = f"one={models['bert']}"
    folder = write_pairs(tmp_path / "toy")
    for arguments, words in (
        (("sts", "--data", tmp_path / "none", "--expert", one), "cannot read"),
        (("classification", "--data", folder, "--expert", one), "expected 2 columns"),
        (("sts", "--data", folder, "--expert", one, "--expert", one), "labels of their own"),
        (("sts", "--data", folder, "--expert", "a=nobody/none"), "cannot load"),
    ):
        outcome = uec("eval", *arguments)
        assert outcome.code == 1, outcome
        assert words in " ".join(outcome.err.split())
        assert "Traceback" not in outcome.err
