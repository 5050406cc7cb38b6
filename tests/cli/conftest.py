import json
import shutil
import sys
from collections import namedtuple

import pytest

from devtools.tiny import tiny_model
from uec_retriever.cli import main

Outcome = namedtuple("Outcome", "code out err")
WORDS = "flow heat wing layer pressure model small large red green blue cat dog bird".split()


def refused(outcome, *words, code=1):
    """The exit code, a message with the words, no traceback."""
    flat = " ".join(outcome.err.split())
    assert outcome.code == code, outcome
    assert "error:" in flat and "Traceback" not in flat
    for word in words:
        assert word in flat, flat


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Label -> folder of a tiny expert; `other` has the dimension of `bert`."""
    folder = tmp_path_factory.mktemp("cli-models")
    for seed, (label, architecture) in enumerate([("bert", "bert"), ("other", "bert"), ("qwen", "qwen3")]):
        tiny_model(folder / "work", architecture, seed=seed).save(str(folder / label))
    return {label: str(folder / label) for label in ("bert", "other", "qwen")}


@pytest.fixture
def uec(monkeypatch, capsys):
    """Run the `uec` program in this process, as a person would type it."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["uec", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def write_corpus(path, number, *, word="text"):
    """A BEIR corpus of so many documents."""
    rows = [
        {
            "_id": f"d{i}",
            "title": f"{WORDS[i % 14]} {WORDS[(i // 14) % 14]} {word}",
            "text": f"the {WORDS[i % 14]} of {WORDS[(3 * i) % 14]}. what is {WORDS[(i * i) % 14]} in the {word} {i}",
            "metadata": {"parity": i % 2},
        }
        for i in range(number)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def placeholders(tmp_path, monkeypatch):
    """`placeholders("a", "b")` has files of those names where the program runs."""
    folder = tmp_path / "placeholders"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def make(*names):
        for name in names:
            (folder / name).touch()

    return make


@pytest.fixture
def corpus(tmp_path):
    """`corpus(n)` writes a BEIR corpus of n documents and gives its path."""
    return lambda number, name="corpus.jsonl", **options: write_corpus(tmp_path / name, number, **options)


def make_index(folder, *arguments):
    """Have the program make an index of 60 documents, for several tests; the corpus lies beside it."""
    corpus = write_corpus(folder / "corpus.jsonl", 60)
    with pytest.MonkeyPatch.context() as patch:
        given = ("uec", "index", "--index", folder / "idx", "--corpus", corpus, *arguments)
        patch.setattr(sys, "argv", [*map(str, given)])
        try:
            main()
        except SystemExit as stop:
            assert not stop.code
    return folder / "idx"


@pytest.fixture(scope="session")
def made_index(models, tmp_path_factory):
    """What `index` is copied from: nobody may change it."""
    experts = ("--expert", f"one={models['bert']}", "--expert", f"two={models['qwen']}")
    return make_index(tmp_path_factory.mktemp("cli-index"), *experts)


@pytest.fixture
def index(made_index, corpus, tmp_path):
    """A small index with two experts, and its corpus beside it."""
    corpus(60)
    return shutil.copytree(made_index, tmp_path / "idx")


@pytest.fixture(scope="session")
def judged(made_index, tmp_path_factory):
    """A BEIR folder for the corpus of `index`; its judges like what the dense experts find."""
    from uec_retriever.engine.engine import Engine

    folder = tmp_path_factory.mktemp("judged") / "data"
    (folder / "qrels").mkdir(parents=True)
    texts = [f"the {WORDS[i % 14]} of {WORDS[(5 * i) % 14]} {i}" for i in range(50)]
    with Engine.open(made_index) as engine:
        right = [engine.search_embedding(vector, 1).hits[0].id for vector in engine.embed_queries(texts)]
    rows = [{"_id": f"q{i}", "text": text} for i, text in enumerate(texts)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, part in (("train", range(40)), ("test", range(40, 50))):
        lines = "".join(f"q{i}\t{right[i]}\t1\n" for i in part)
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    return folder
