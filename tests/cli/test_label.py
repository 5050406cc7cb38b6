"""`uec label` and `uec label inspect`, as typed."""

import json

import pytest

from devtools.tiny_llm import tiny_llm
from tests.cli.conftest import refused
from uec_retriever.utility_labeler.labels import read_labels

WORDS = "flow heat wing layer pressure model small large red green blue cat dog bird".split()


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return tiny_llm(tmp_path_factory.mktemp("llms") / "llama", chat=True)


@pytest.fixture
def data(tmp_path):
    """A BEIR folder with answers, groups and a train split."""
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    corpus = [
        {
            "_id": f"d{i}",
            "title": f"{WORDS[i % 14]} {WORDS[(i // 14) % 14]} text",
            "text": f"the {WORDS[i % 14]} of {WORDS[(3 * i) % 14]}. what is {WORDS[(i * i) % 14]} in the text {i}",
            "metadata": {"group": f"g{i % 2}"},
        }
        for i in range(60)
    ]
    queries = [
        {
            "_id": f"q{i}",
            "text": f"what is the {WORDS[i]}",
            "metadata": {"answer": f"the {WORDS[-i]}", "group": f"g{i % 2}"},
        }
        for i in range(8)
    ]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    qrels = "query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\td{i}\t1\n" for i in range(6))
    (folder / "qrels" / "train.tsv").write_text(qrels)
    return folder


def test_label_resume_and_inspect(uec, llm, data, tmp_path):
    out = tmp_path / "labels.jsonl"
    command = ("label", "--data", data, "--llm", llm, "--split", "train", "--candidates", 5, "--out", out)
    outcome = uec(*command)
    assert outcome.code == 0, outcome.err
    assert "30 labels, 30 of them new" in outcome.out
    labels = list(read_labels(out))
    assert {label.source for label in labels} == {"gold", "bm25", "random"}
    assert (
        labels[0].passage.startswith(f"{WORDS[int(labels[0].passage_id[1:]) % 14]} ")
        and " text the " in labels[0].passage
    )
    manifest = json.loads((tmp_path / "labels.jsonl.manifest.json").read_text())
    assert manifest["data"]["split"] == "train" and manifest["complete"] and manifest["prompts"][0]["chat"]

    whole = out.read_text()
    out.write_text(whole[:-40])
    assert "30 labels, 1 of them new" in uec(*command).out
    assert out.read_text().splitlines()[:-1] == whole.splitlines()[:-1]
    assert [label.key for label in read_labels(out)] == [label.key for label in labels]

    shown = uec("label", "inspect", out).out
    for words in (
        "30 labels of 6 questions",
        "gold first:",
        "of 6 questions (chance 20.0%)",
        "answer: the",
        "█",
    ):
        assert words in shown, shown
    found = json.loads(uec("label", "inspect", out, "--json").out)
    assert found["gold"]["questions"] == 6 and sum(found["histogram"]) == 30


def test_options_reach_the_labels(uec, llm, data, tmp_path):
    out = tmp_path / "labels.jsonl"
    outcome = uec(
        "label", "--data", data, "--llm", llm, "--split", "train", "--candidates", 4, "--out", out, "--within-group",
        "--limit", 3, "--random-share", 0, "--prompt-style", "plain", "--paraphrases", 2, "--baseline", "neutral",
        "--normalise", "sum", "--answers", "mean", "--max-tokens", 60, "--seed", 3, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["pairs"] == 12
    assert len({label.question_id for label in read_labels(out)}) == 3
    manifest = json.loads((tmp_path / "labels.jsonl.manifest.json").read_text())
    assert len(manifest["prompts"]) == 2 and not manifest["prompts"][0]["chat"]
    assert manifest["options"]["baseline"] == "neutral" and manifest["options"]["max_tokens"] == 60
    assert manifest["data"]["within_group"] and manifest["data"]["seed"] == 3


def test_a_prompt_of_ones_own_and_given_candidates(uec, llm, tmp_path):
    questions = tmp_path / "q.jsonl"
    questions.write_text(
        json.dumps({"_id": "a", "text": "what", "answer": "wing", "candidates": ["the wing", "a cat"]}) + "\n"
    )
    prompt = tmp_path / "prompt.json"
    prompt.write_text(json.dumps({"with_passage": "{passage} {question}", "without_passage": "{question}"}))
    out = tmp_path / "labels.jsonl"
    outcome = uec("label", "--questions", questions, "--llm", llm, "--prompt", prompt, "--out", out)
    assert outcome.code == 0, outcome.err
    assert {label.source for label in read_labels(out)} == {"given"}
    assert "nothing to say of gold first" in uec("label", "inspect", out).out


def test_candidates_of_an_index(uec, llm, data, models, tmp_path):
    assert uec("index", "--index", tmp_path / "i", "--corpus", data, "--expert", models["bert"]).code == 0
    out = tmp_path / "labels.jsonl"
    outcome = uec(
        "label", "--data", data, "--llm", llm, "--split", "train", "--candidates", 4, "--out", out,
        "--miner", "index", "--index", tmp_path / "i", "--within-group",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert {label.source for label in read_labels(out)} >= {"gold", "index"}


def test_only_a_corpus(uec, llm, data, tmp_path):
    out = tmp_path / "labels.jsonl"
    outcome = uec(
        "label",
        "--data",
        data,
        "--llm",
        llm,
        "--generate",
        10,
        "--min-gain",
        -9,
        "--candidates",
        3,
        "--out",
        out,
    )
    assert outcome.code == 0, outcome.err
    assert "generated questions passed the round trip" in outcome.err
    assert any(label.source == "gold" for label in read_labels(out))


def test_ctrl_c_says_that_it_goes_on(uec, llm, data, tmp_path, monkeypatch):
    from uec_retriever.utility_labeler.labeler import Labeler

    real, calls = Labeler.label, []

    def label(self, pairs):
        calls.append(pairs)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, pairs)

    out = tmp_path / "labels.jsonl"
    command = ("label", "--data", data, "--llm", llm, "--split", "train", "--out", out, "--chunk", 8)
    monkeypatch.setattr(Labeler, "label", label)
    outcome = uec(*command)
    assert outcome.code == 130
    assert "label go on where they stopped" in " ".join(outcome.err.split())
    assert 0 < len(list(read_labels(out))) < 48
    monkeypatch.setattr(Labeler, "label", real)
    assert "48 labels" in uec(*command).out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--llm", "nobody/nothing"], "cannot load the language model 'nobody/nothing'"),
        (["--split", "dev"], "no split 'dev'"),
        (["--miner", "index"], "--index goes with --miner index"),
        (["--tokenizer", "x"], "--tokenizer goes with --server"),
        (["--generate", "3"], "no --questions, --split, --limit"),
        (["--max-tokens", "10000"], "reads 160 at most"),
        (["--max-tokens", "12"], "but the context holds 12"),
        (["--gguf-file", "a.gguf"], "there is no file a.gguf"),
    ],
)
def test_refusals(uec, llm, data, tmp_path, change, words):
    base = {"--data": data, "--llm": llm, "--split": "train", "--out": tmp_path / "labels.jsonl"}
    base[change[0]] = change[1]
    outcome = uec("label", *(x for pair in base.items() for x in pair))
    refused(outcome, words, code=2 if change[0] in ("--miner", "--tokenizer", "--generate") else 1)
    assert not (tmp_path / "labels.jsonl").exists()


def test_missing_options_and_bad_files(uec, data, tmp_path):
    assert "say what to label" in uec("label", "--data", data).err
    path = tmp_path / "labels.jsonl"
    path.write_text('{"a": 1}\n')
    assert "line 1: lacks" in " ".join(uec("label", "inspect", path).err.split())
    path.write_text("")
    assert "no labels" in uec("label", "inspect", path).err
    assert "inspect" in uec("label", "--help").out
