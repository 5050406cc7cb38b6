"""`benchmarks.uae` runs whole on tiny models: labels, training, re-ranking, answers, transfer; twice at no cost."""

import json
import sys

import pytest

from devtools.tiny import tiny_model
from devtools.tiny_llm import tiny_llm
from tests.training.made_up import make_questions


def write_set(folder, seed):
    (folder / "qrels").mkdir(parents=True)
    questions = make_questions(24, candidates=2, seed=seed)
    corpus = [
        {"_id": c.id, "text": c.text, "metadata": {"group": q.group}} for q in questions for c in q.candidates
    ]
    queries = [
        {
            "_id": q.id,
            "text": q.text,
            "metadata": {"answer": q.candidates[0].text.split()[-1], "group": q.group},
        }
        for q in questions
    ]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for split, part in (("train", questions[:16]), ("test", questions[16:])):
        lines = "".join(f"{q.id}\t{q.candidates[0].id}\t1\n" for q in part)
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines)


@pytest.fixture
def run(tmp_path, monkeypatch):
    for seed, name in enumerate(("one", "two")):
        write_set(tmp_path / "data" / name, seed)
    tiny_model(tmp_path / "made").save(str(tmp_path / "base"))
    tiny_llm(tmp_path / "llm")
    monkeypatch.setenv("UEC_DATA", str(tmp_path / "data"))
    from benchmarks import uae

    monkeypatch.setattr(uae, "real_model", lambda name: tmp_path / "base")
    monkeypatch.setattr(uae, "real_llm", lambda name: tmp_path / "llm")

    def go(*options):
        arguments = [
            "--work",
            tmp_path / "work",
            "--out",
            tmp_path / "out",
            "--max-tokens",
            120,
            "--minimum-utility",
            "-9",
            *options,
        ]
        monkeypatch.setattr(sys, "argv", ["uae", *map(str, arguments)])
        uae.main()
        return json.loads((tmp_path / "out" / "uae.json").read_text())

    return go


def test_the_whole_table(run, tmp_path, capsys):
    pytest.importorskip("bm25s")
    size = (
        "--questions 12 --candidates 4 --group-candidates 0 --epochs 1 --rerank --rerank-depth 2 --answers 2"
    )
    small = f"{size} --losses uae --scopes group".split()
    result = run("--sets", "one", "two", "--transfer", *small)
    assert {"command", "commit", "versions", "seed", "split", "options"} <= set(result)
    rows = result["results"]["two, judge SmolLM2-135M-Instruct"]["scopes"]["group"]
    assert list(rows) == [
        "base", "UAE of one", "UAE", "base + LLM", "UAE + LLM",
        "UAE + LLM, blended",
    ]  # fmt: skip
    assert all("Token F1" in row for row in rows.values())
    training = result["training"]["one, judge SmolLM2-135M-Instruct, uae"]
    assert training["options"]["loss"] == "uae"
    assert training["candidates"] <= 4 * training["questions"]
    assert str(tmp_path) not in json.dumps({k: v for k, v in result.items() if k != "command"})
    labels = next(tmp_path.glob("work/one-*/labels.jsonl"))
    before = (labels.stat().st_mtime_ns, labels.read_bytes())
    again = run("--sets", "one", "two", "--transfer", *small)
    assert (labels.stat().st_mtime_ns, labels.read_bytes()) == before
    assert again["training"] == result["training"]


def test_choosing_on_train_and_testing_elsewhere(run):
    pytest.importorskip("bm25s")
    size = (
        "--questions 12 --candidates 3 --group-candidates 1 --epochs 1 --losses uae --scopes corpus".split()
    )
    [train, other] = run("--sets", "one", "--tests", "two", "--split", "train", *size)["results"].values()
    assert train["queries"] == 4  # 16 of the split, 12 of them labelled
    assert other["queries"] == 16
    assert list(other["scopes"]["corpus"]) == ["base", "UAE of one"]
    low, high = (run("--sets", "one", "--lr", lr, *size)["training"] for lr in ("1e-6", "1e-3"))
    assert low != high  # not the model that was there
