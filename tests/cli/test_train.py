"""`uec train` from the command line."""

import json

import pytest
from sentence_transformers import SentenceTransformer

from tests.cli.conftest import refused
from tests.training.made_up import label_line, make_questions, write_labels

FAST = ("--epochs", 1, "--lr", 1e-3, "--batch-size", 8)


@pytest.fixture
def labels(tmp_path):
    return write_labels(tmp_path / "labels.jsonl", make_questions(30))


def test_train_says_before_and_after_and_leaves_an_expert(uec, models, labels, corpus, tmp_path):
    out = tmp_path / "model"
    outcome = uec(
        "train", "--labels", labels, "--base", models["bert"], "--out", out, *FAST, "--fit-posterior"
    )
    assert outcome.code == 0, outcome.err
    assert "held out (4 questions), before: nDCG@10" in outcome.out
    assert "held out (4 questions), after:  nDCG@10" in outcome.out
    assert "step 2: nDCG@10" in outcome.err
    assert len(SentenceTransformer(str(out), device="cpu").encode("a wing")) == 32
    indexed = uec(
        "index", "--index", tmp_path / "i", "--corpus", corpus(60), "--expert", out,
        "--posterior", out / "posterior.safetensors",
    )  # fmt: skip
    assert indexed.code == 0, indexed.err


def test_json_is_one_object(uec, models, labels, tmp_path):
    outcome = uec(
        "train", "--labels", labels, "--base", models["bert"], "--out", tmp_path / "m", *FAST,
        "--loss", "infonce", "--margin", "-1", "--json",
    )  # fmt: skip
    report = json.loads(outcome.out)
    assert report["options"]["loss"] == "infonce"
    assert report["options"]["margin"] is None
    assert report["after"]["ndcg@10"] > 0


def test_qrels_can_be_trained_on(uec, models, tmp_path):
    questions = make_questions(20, candidates=1)
    (tmp_path / "qrels").mkdir()
    for name, rows in (
        ("corpus", [{"_id": c.id, "text": c.text} for q in questions for c in q.candidates]),
        ("queries", [{"_id": q.id, "text": q.text} for q in questions]),
    ):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    lines = "".join(f"{q.id}\t{q.candidates[0].id}\t1\n" for q in questions)
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines)
    outcome = uec("train", "--data", tmp_path, "--base", models["bert"], "--out", tmp_path / "m", *FAST)
    assert outcome.code == 0, outcome.err


def test_what_is_wrong_is_said_before_work_begins(uec, models, labels, tmp_path):
    common = ("--base", models["bert"], "--out", tmp_path / "m")
    refused(uec("train", *common), "--labels or --data", code=2)
    refused(uec("train", *common, "--labels", tmp_path / "none.jsonl"), "--labels: there is no", code=2)
    refused(uec("train", *common, "--labels", labels, "--tau", 0), "tau must be a positive number")
    refused(uec("train", *common, "--labels", labels, "--heldout", 1), "heldout must be in [0, 1)")
    labels.write_text(labels.read_text() + json.dumps(label_line() | {"utility": "high"}) + "\n")
    refused(uec("train", *common, "--labels", labels), "line 91", "'utility'")
    assert not (tmp_path / "m").exists()


def test_a_second_run_needs_to_be_told(uec, models, labels, tmp_path):
    common = ("train", "--labels", labels, "--base", models["bert"], "--out", tmp_path / "m", *FAST)
    assert uec(*common).code == 0
    refused(uec(*common), "finished model")
    assert uec(*common, "--overwrite").code == 0


def test_a_missing_extra_names_the_command(uec, models, labels, tmp_path, monkeypatch):
    from uec_retriever.training import extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    outcome = uec("train", "--labels", labels, "--base", models["bert"], "--out", tmp_path / "m")
    refused(outcome, 'pip install "uec-retriever[train]"')
