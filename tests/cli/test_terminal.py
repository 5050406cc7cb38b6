"""Texts, ids and labels of others never steer the terminal, and are valid in every output."""

import io
import json
import logging
import re

import pytest
from rich.table import Table
from rich.text import Text

from tests.cli.conftest import refused
from uec_retriever.cli.safe import SafeConsole

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\x85\u202egnp\u2066x"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def nasty_corpus(corpus):
    """60 documents whose ids, titles, texts and metadata would all steer a terminal."""
    path = corpus(60)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["_id"] += NASTY
        row["text"] += NASTY
        row["title"] += NASTY
        row["metadata"]["m"] = NASTY
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def nasty(uec, nasty_corpus, models, tmp_path):
    label = f"label{NASTY}={models['bert']}"
    outcome = uec("index", "--index", tmp_path / "idx", "--corpus", nasty_corpus, "--expert", label)
    assert outcome.code == 0, outcome.err
    clean(outcome)
    return tmp_path / "idx"


def clean(outcome):
    assert not STEERING.search(outcome.out), outcome.out
    assert not STEERING.search(outcome.err), outcome.err


def test_every_command_that_shows_what_others_wrote(uec, nasty, nasty_corpus, tmp_path):
    searched = uec("search", "--index", nasty, "wing")
    assert searched.code == 0 and "␛" in searched.out and "d1" in searched.out
    clean(searched)
    clean(uec("info", "--index", nasty))
    machines = uec("search", "--index", nasty, "--json", "wing")
    assert machines.out.isascii()
    hit = json.loads(machines.out)["hits"][0]
    assert hit["id"].endswith(NASTY) and hit["text"].endswith(NASTY) and hit["metadata"]["m"] == NASTY
    told = uec("info", "--index", nasty, "--json")
    assert told.out.isascii() and json.loads(told.out)["experts"][0]["label"].endswith(NASTY)
    rows = nasty_corpus.read_text().replace("the wing", "a wing")
    nasty_corpus.write_text(rows + json.dumps({"_id": f"empty{NASTY}", "text": " "}) + "\n")
    conflict = uec("index", "--index", nasty, "--corpus", nasty_corpus, "--existing", "refuse")
    refused(conflict, "--existing replace")
    clean(conflict)
    for options in (["--dry-run"], [], ["--sync"]):
        updated = uec("index", "--index", nasty, "--corpus", nasty_corpus, *options)
        assert updated.code == 0 and "--dry-run" in options or "empty␛" in updated.err
        clean(updated)
    nasty_corpus.write_text(json.dumps({"_id": "x", "text": "t", NASTY: [[1]]}))
    wrong = uec("index", "--index", nasty, "--corpus", nasty_corpus)
    refused(wrong)
    clean(wrong)
    refused(uec("search", "--index", nasty, f"\udcff{NASTY}"), "lone surrogate", code=2)
    (tmp_path / "q.jsonl").write_text('{"_id": "q1", "text": "wing"}\n')
    run = tmp_path / "run.trec"
    asked = uec("search", "--index", nasty, "--queries", tmp_path / "q.jsonl", "--run", run)
    refused(asked, "which a TREC run cannot hold: index it under another id")
    clean(asked)
    (tmp_path / "q.jsonl").write_text(json.dumps({"_id": "q\x1b[2J", "text": "wing"}))
    refused(uec("search", "--index", nasty, "--queries", tmp_path / "q.jsonl", "--run", run), "control")
    assert not run.exists()


def test_logs_and_faults_of_our_own_too(uec, index, monkeypatch):
    from uec_retriever.engine.engine import Engine

    def broken(*arguments, **options):
        logging.getLogger("somebody").warning("look %s", NASTY)
        raise RuntimeError(NASTY)

    monkeypatch.setattr(Engine, "search", broken)
    outcome = uec("search", "--index", index, "wing")
    assert outcome.code == 1 and "note: look ␛]0;owned" in outcome.err and "RuntimeError: ␛" in outcome.err
    clean(outcome)


def test_styles_of_our_own_stay():
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=True, color_system="standard", width=40)
    console.print(Text("red", style="red"))
    assert "\x1b[31mred" in file.getvalue()


def test_a_table_keeps_its_columns():
    file = io.StringIO()
    console = SafeConsole(file=file, width=40)
    table = Table(box=None)
    table.add_column("id", no_wrap=True)
    table.add_column("text", no_wrap=True)
    table.add_row(f"a{NASTY}", "x" * 100)
    console.print(table)
    assert all(len(line) <= 40 for line in file.getvalue().splitlines())
    assert not STEERING.search(file.getvalue())


def test_metadata_comes_by_key_and_alike_in_every_process(uec, corpus, models, tmp_path):
    path = tmp_path / "c.jsonl"
    rows = [json.loads(line) for line in corpus(60).read_text().splitlines()]
    for row in rows:
        row["metadata"] = {key: row["_id"] for key in "zebra yak ant cow bee dog emu fox".split()}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert uec("index", "--index", tmp_path / "i", "--corpus", path, "--expert", models["bert"]).code == 0
    hits = json.loads(uec("search", "--index", tmp_path / "i", "--json", "wing").out)["hits"]
    assert all(list(hit["metadata"]) == sorted(hit["metadata"]) for hit in hits)
