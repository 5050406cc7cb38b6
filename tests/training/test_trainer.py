"""Whole training runs of tiny models: better, loadable, repeatable, resumable."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from tests.training.killed import Killed, embeddings, killer
from tests.training.made_up import make_questions, write_labels
from uec_retriever.errors import InvalidInputError, MissingExtraError, ModelNotFoundError, TrainingError
from uec_retriever.experts.expert import Expert
from uec_retriever.training import TrainingOptions, extras, train, train_on_labels, train_on_qrels
from uec_retriever.training.checkpoints import RunFolder

FAST = TrainingOptions(epochs=2, learning_rate=1e-3, batch_size=8, evaluations=2)
TEXTS = ["a wing of the aircraft", "cat", "what is heat flow to the boundary layer"]


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "model"
    return out, train(base, make_questions(), out, FAST)


def test_the_folder_is_a_plain_model_and_an_expert(trained, base):
    out, _ = trained
    assert not (out / "checkpoints").exists()
    assert not any("checkpoint" in p.name or p.suffix in (".bin", ".pt") for p in out.rglob("*"))
    linearised = Expert.load(str(out), device="cpu").linearise(TEXTS, "query").embeddings.numpy()
    ours = embeddings(out)
    np.testing.assert_allclose(
        linearised / np.linalg.norm(linearised, axis=1, keepdims=True), ours, rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(ours, embeddings(base), atol=1e-3)


def test_the_report_tells_what_was_done(trained, base):
    out, report = trained
    assert json.loads((out / "training.json").read_text()) == json.loads(json.dumps(report.__dict__))
    assert report.questions + report.heldout_questions == 24
    assert report.candidates == 3 * report.questions
    assert report.steps == 6
    assert [h["step"] for h in report.history] == [2, 4, 6]
    best = max(report.history, key=lambda h: h["ndcg@10"])
    assert report.after == {k: v for k, v in best.items() if k != "step"}
    assert report.best_step in {h["step"] for h in report.history if h["ndcg@10"] == best["ndcg@10"]}
    assert report.versions["torch"]


def test_the_saved_weights_are_the_best_checkpoint_s(base, tmp_path):
    """With a rate that ruins the model the last step is not the best one."""
    from uec_retriever.training.evaluator import GradedNDCGEvaluator

    questions = make_questions()
    options = TrainingOptions(
        epochs=4, learning_rate=0.03, batch_size=8, evaluations=3, patience=99, warmup=0
    )
    report = train(base, questions[:18], tmp_path / "m", options, heldout=questions[18:])
    scores = [h["ndcg@10"] for h in report.history]
    assert scores[-1] < max(scores)
    distractors = [(c.id, c.text) for q in questions for c in q.candidates]
    model = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    again = GradedNDCGEvaluator(questions[18:], distractors).measure(model)
    assert again == pytest.approx(report.after, abs=1e-6)


def test_the_card_states_data_judge_and_figures_but_no_path(base, tmp_path):
    labels = write_labels(tmp_path / "labels.jsonl", make_questions())
    (tmp_path / "labels.jsonl.manifest.json").write_text(json.dumps({"judge": {"name": "org/judge-135M"}}))
    report = train_on_labels(base, labels, tmp_path / "out", FAST)
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\n")
    assert "org/judge-135M" in card
    assert "labels.jsonl" in card
    assert "tiny" in card
    assert f"| {report.before['ndcg@10']:.4f} | {report.after['ndcg@10']:.4f} |" in card
    assert "UtilityModulatedInfoNCELoss" in card
    assert "2604.22722" in card
    assert str(tmp_path) not in card
    assert "widget:" not in card
    assert base not in card
    assert report.judge == {"judge": {"name": "org/judge-135M"}}


def test_the_same_seed_gives_the_same_model(trained, base, tmp_path):
    out, _ = trained
    train(base, make_questions(), tmp_path / "again", FAST)
    np.testing.assert_array_equal(embeddings(out), embeddings(tmp_path / "again"))


def test_a_killed_run_goes_on_to_the_same_model(trained, base, tmp_path):
    out, whole = trained
    target = tmp_path / "m"
    with pytest.raises(Killed):
        train(base, make_questions(), target, FAST, progress=killer(5))
    assert sorted(p.name for p in (target / "checkpoints").glob("checkpoint-*")) == [
        "checkpoint-2",
        "checkpoint-4",
    ]
    torn = target / "checkpoints" / "checkpoint-5"
    torn.mkdir()
    (torn / "trained.safetensors").write_bytes(b"half")
    with pytest.raises(TrainingError, match="resume it"):
        train(base, make_questions(), target, FAST)
    steps = []
    report = train(
        base, make_questions(), target, FAST, resume=True, progress=lambda s, t, m: steps.append((s, t))
    )
    assert (5, 6) in steps
    assert (4, 6) not in steps
    np.testing.assert_allclose(embeddings(target), embeddings(out), rtol=1e-5, atol=1e-6)
    assert report.history == whole.history
    assert not (target / "checkpoints").exists()


def test_a_run_killed_before_its_first_checkpoint_starts_anew(trained, base, tmp_path):
    with pytest.raises(Killed):
        train(base, make_questions(), tmp_path / "m", FAST, progress=killer(1))
    train(base, make_questions(), tmp_path / "m", FAST, resume=True)
    np.testing.assert_array_equal(embeddings(tmp_path / "m"), embeddings(trained[0]))


def test_runs_of_version_0_1_0_are_gone_on_with(base, tmp_path, monkeypatch):
    """The fingerprint of base, data and options is what it was."""
    monkeypatch.chdir(Path(base).parent)
    with pytest.raises(Killed):
        train("tiny", make_questions(4), tmp_path / "m", FAST, progress=killer(1))
    started = json.loads((tmp_path / "m" / "checkpoints" / "run.json").read_text())
    assert started == {"fingerprint": "34c193e2fd65fe54988d1b36eb6102b4c8f150e0f0e9f87c4aae2a76b8877dfc"}


def test_another_run_s_folder_is_not_touched(trained, base, tmp_path):
    out, _ = trained
    with pytest.raises(TrainingError, match="finished model"):
        train(base, make_questions(), out, FAST)
    with pytest.raises(Killed):
        train(base, make_questions(), tmp_path / "m", FAST, progress=killer(3))
    with pytest.raises(TrainingError, match="another base model, data or options"):
        train(base, make_questions(seed=1), tmp_path / "m", FAST, resume=True)
    train(base, make_questions(), tmp_path / "m", FAST, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(TrainingError, match="not empty"):
        train(base, make_questions(), tmp_path / "mine", FAST, overwrite=True)
    with pytest.raises(TrainingError, match="is a file"):
        RunFolder(tmp_path / "mine" / "thesis.tex", "f").prepare(resume=False, overwrite=True)


@pytest.mark.parametrize("loss", ["infonce", "distill"])
def test_baselines_go_the_same_way(base, tmp_path, loss):
    options = TrainingOptions(loss=loss, epochs=1, learning_rate=1e-3, batch_size=8, mini_batch_size=4)
    report = train(base, make_questions(), tmp_path / "m", options)
    assert report.options["loss"] == loss
    assert not np.allclose(embeddings(tmp_path / "m"), embeddings(base), atol=1e-4)


def test_a_shorter_length_holds_for_the_training_only(base, tmp_path):
    options = TrainingOptions(epochs=1, batch_size=8, max_length=6, heldout=0.0)
    report = train(base, make_questions(), tmp_path / "m", options)
    assert SentenceTransformer(str(tmp_path / "m"), device="cpu").max_seq_length == 48
    assert (report.before, report.after, report.best_step) == ({}, {}, None)


def test_training_stops_when_nothing_gets_better(base, tmp_path, caplog):
    options = TrainingOptions(epochs=20, learning_rate=1e-12, batch_size=8, evaluations=1, patience=2)
    report = train(base, make_questions(), tmp_path / "m", options)
    assert report.steps == 3 * 3
    assert "did not improve" in caplog.text


def test_qrels_train_the_same_way(base, tmp_path):
    data = tmp_path / "toy"
    (data / "qrels").mkdir(parents=True)
    questions = make_questions(12, candidates=2)
    rows = {
        "corpus": [{"_id": c.id, "text": c.text} for q in questions for c in q.candidates],
        "queries": [{"_id": q.id, "text": q.text} for q in questions],
    }
    for name, lines in rows.items():
        (data / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    qrels = "".join(f"{q.id}\t{c.id}\t1\n" for q in questions for c in q.candidates)
    (data / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    report = train_on_qrels(base, data, tmp_path / "m", FAST)
    assert report.data == "toy train qrels"
    assert "list_ndcg@10" not in report.before
    assert report.candidates == 2 * report.questions


def test_what_cannot_be_trained_is_refused_before_work_begins(base, tmp_path):
    with pytest.raises(InvalidInputError, match="0 questions are left"):
        train(base, make_questions(), tmp_path / "m", TrainingOptions(minimum_utility=5.0))
    with pytest.raises(InvalidInputError, match="0 questions are left"):
        train(base, make_questions(candidates=1), tmp_path / "m", TrainingOptions(loss="distill"))
    assert not (tmp_path / "m").exists()
    with pytest.raises(ModelNotFoundError, match="no-such"):
        train(str(tmp_path / "no-such"), make_questions(), tmp_path / "m", FAST)


def test_a_missing_extra_names_the_command(base, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "uec-retriever\[train\]"'):
        train(base, make_questions(), tmp_path / "m", FAST)
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "peft" else find_spec(name))
    with pytest.raises(MissingExtraError, match=r'pip install "uec-retriever\[lora\]"'):
        train(base, make_questions(), tmp_path / "m", replace(FAST, lora_rank=2))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "triplet"},
        {"epochs": 0},
        {"learning_rate": float("inf")},
        {"warmup": 1.0},
        {"heldout": -0.1},
        {"max_length": 0},
        {"margin": -1},
        {"batch_size": 1},
    ],
)
def test_options_out_of_range_are_named(options):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        TrainingOptions(**options)
