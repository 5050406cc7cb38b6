import json
import shutil
from typing import get_args, get_type_hints

import pytest

from tests.cli.conftest import WORDS, refused
from uec_retriever.cli.app import app
from uec_retriever.cli.usage import must_exist


def test_new_index_without_experts(uec, corpus, tmp_path):
    """Whatever is wrong with the corpus, which may take long to read."""
    path = corpus(60)
    path.write_text("no JSON")
    outcome = uec("index", "--index", tmp_path / "i", "--corpus", path)
    refused(outcome, "needs at least one --expert", "sentence-transformers/all-MiniLM-L6-v2", code=2)


def test_missing_model(uec, corpus, tmp_path):
    outcome = uec(
        "index", "--index", tmp_path / "i", "--corpus", corpus(60), "--expert", "nobody/no-such-model"
    )
    refused(outcome, "cannot load the embedding model 'nobody/no-such-model'")


def test_a_device_that_is_none_is_wrong_usage_in_every_command(uec, index, corpus, placeholders):
    placeholders("d")
    for arguments in (
        ("search", "--index", index, "wing"), ("index", "--index", index, "--corpus", corpus(60)),
        ("fit", "--expert", "e", "--corpus", "d", "--out", "o"), ("label", "--data", "d", "--llm", "m", "--out", "o"),
    ):  # fmt: skip
        refused(uec(*arguments, "--device", "gpu"), "--device: there is no device 'gpu': give cpu", code=2)


def test_bad_line_is_found_before_any_work(uec, corpus, models, tmp_path):
    path = corpus(60)
    path.write_text(path.read_text() + '{"_id": "torn", "te')
    outcome = uec("index", "--index", tmp_path / "i", "--corpus", path, "--expert", models["bert"])
    refused(outcome, "line 61", "not JSON")
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize("more", [(), ("--no-split",), ("--dry-run",)])
def test_an_id_that_is_given_twice_is_found_before_any_work(uec, corpus, models, tmp_path, more):
    path = corpus(60)
    path.write_text(path.read_text() + '{"_id": "d3", "text": "another"}\n')
    new = ("index", "--index", tmp_path / "i", "--corpus", path, "--expert", models["bert"], *more)
    refused(uec(*new), "id 'd3' is given twice")
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize("content", ["", "\n\n", '{"text": " "}\n'])
def test_a_blank_corpus_on_an_index_that_is_there(uec, index, tmp_path, content):
    blank = tmp_path / "blank.jsonl"
    blank.write_text(content)
    refused(uec("index", "--index", index, "--corpus", blank), "blank.jsonl is empty: it holds no text")


@pytest.mark.parametrize(
    "where",
    ["1" * 5000, '{"n": ' + "1" * 5000 + "}", "[" * 5000, "[]", "{", '{"a": {"$x": 1}}', '{"$or": 1}'],
)
def test_a_filter_that_is_none(uec, index, where):
    refused(uec("search", "--index", index, "--where", where, "wing"), "--where", code=2)
    refused(uec("delete", "--index", index, "--where", where, "--yes"), "--where", code=2)


def test_another_model_of_equal_dimension(uec, index, corpus, models):
    outcome = uec(
        "index", "--index", index, "--corpus", corpus(60),
        "--expert", f"one={models['other']}", "--expert", f"two={models['qwen']}",
    )  # fmt: skip
    refused(outcome, "was made with", "uec reindex")


@pytest.mark.parametrize(
    ("option", "value"), [("--structure", "diag"), ("--layout", "sum"), ("--temperature", "0.123")]
)
def test_options_that_the_index_does_not_have(uec, index, corpus, option, value):
    said = f"{option.removeprefix('--')} {value}"
    refused(uec("index", "--index", index, "--corpus", corpus(60), option, value), said, "uec reindex")


def test_pairs_and_posteriors_that_the_index_does_not_have(uec, index, corpus, models, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"query": f"{word} {i}", "positive": f"the {word} of {i}"} for i, word in enumerate(WORDS * 3)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    add = ("index", "--index", index, "--corpus", corpus(60))
    refused(uec(*add, "--pairs", pairs), "calibrated on other pairs", "uec recalibrate --pairs")
    posterior = tmp_path / "other.safetensors"
    assert uec("fit", "--expert", models["other"], "--pairs", pairs, "--out", posterior).code == 0
    refused(uec(*add, "--posterior", posterior), "made otherwise than posterior")
    made = ("index", "--index", tmp_path / "new", "--corpus", corpus(60), "--pairs", pairs)
    assert uec(*made, "--expert", models["bert"]).code == 0
    assert "60 unchanged" in uec(*made).out  # as after an interruption


def test_unequal_dimensions_in_the_sum_layout(uec, corpus, models, minilm, tmp_path):
    outcome = uec(
        "index", "--index", tmp_path / "i", "--corpus", corpus(60), "--layout", "sum",
        "--expert", models["bert"], "--expert", minilm,
    )  # fmt: skip
    refused(outcome, "sum layout", "[32, 384]", "block")


def test_a_corpus_too_small_to_calibrate_on_is_indexed_and_said(uec, corpus, models, tmp_path):
    arguments = ("--index", tmp_path / "i", "--corpus", corpus(5), "--expert", models["bert"], "--json")
    outcome = uec("index", *arguments)
    assert outcome.code == 0, outcome.err
    assert "note: too few texts to calibrate on" in outcome.err
    notes = json.loads(outcome.out)["notes"]
    assert json.loads(uec("info", "--index", tmp_path / "i", "--json").out)["notes"] == notes
    [note] = [note for note in notes if "too few" in note]
    assert f"note: {note}" in " ".join(uec("info", "--index", tmp_path / "i").out.split())
    refused(uec("recalibrate", "--index", tmp_path / "i"), "only 5 calibration pairs", "pairs of your own")


def test_documents_without_text_are_skipped_and_told(uec, index, corpus):
    path = corpus(60)
    path.write_text(path.read_text() + json.dumps({"_id": "471", "title": "", "text": " "}) + "\n")
    outcome = uec("index", "--index", index, "--corpus", path)
    assert outcome.code == 0 and "skipped 1 documents without text: 471" in outcome.err


def test_long_documents_are_cut_and_told(uec, index, corpus):
    path = corpus(60)
    path.write_text(path.read_text() + json.dumps({"_id": "long", "text": "wing " * 200_000}) + "\n")
    outcome = uec("index", "--index", index, "--corpus", path, "--no-split")
    assert outcome.code == 0 and "one cut 1 text, two cut 1 text to its maximal length" in outcome.err
    assert "(e.g. 'long')" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["  "], ["the query is empty: give a question, "]),
        (["wifi", "channel", "-k", "3", "width"], ['put the question in quotes: "wifi channel width"']),
        ([], ["give a query"]),
        (["--queries", "q.jsonl", "wing"], ["one of them"]),
        (["--queries", "absent.jsonl"], ["--queries: there is no absent.jsonl"]),
        (["--run", "out.trec", "wing"], ["--run goes with --queries"]),
        (["--queries", "q.jsonl", "--run", "o", "--full"], ["--full would change nothing with --run"]),
        (["--json", "--snippet", "3", "wing"], ["--snippet would change nothing with --json"]),
        (["--full", "--snippet", "3", "wing"], ["--snippet would change nothing with --full"]),
        (["--coverage", "1", "wing"], ["--coverage must be in (0, 1)"]),
        (["--candidates", "2", "wing"], ["--candidates must be at least k"]),
        (["--where", "[1]", "wing"], ["--where takes JSON"]),
        (["--expert", "one", "wing"], ["LABEL=MODEL"]),
    ],
)
def test_searches_that_are_wrong_whatever_the_index(uec, tmp_path, placeholders, arguments, words):
    placeholders("q.jsonl")
    refused(uec("search", "--index", tmp_path / "none", *arguments), *words, code=2)


@pytest.mark.parametrize(
    ("arguments", "unused", "because"),
    [
        (["index", "--index", "i", "--corpus", "c", "--pairs", "p"], ["--max-pairs", "40"], "--pairs"),
        (["reindex", "--index", "i", "--to", "j", "--pairs", "p"], ["--max-pairs", "40"], "--pairs"),
        (["recalibrate", "--index", "i", "--pairs", "p"], ["--max-pairs", "40"], "--pairs"),
        (["fit", "--expert", "e", "--out", "o", "--pairs", "p"], ["--text-column", "t"], "--pairs"),
        (
            ["calibrate-confidence", "--index", "i", "--queries", "q", "--qrels", "r"],
            ["--max-queries", "50"],
            "--queries",
        ),
        (["label", "--data", "d", "--llm", "m", "--server", "http://h/v1"], ["--dtype", "auto"], "--server"),
        (["label", "--data", "d", "--llm", "m"], ["--workers", "3"], "--engine local"),
        (["train", "--base", "b", "--out", "o", "--labels", "l"], ["--split", "dev"], "--labels"),
    ],
)
def test_options_that_would_be_passed_over(uec, placeholders, arguments, unused, because):
    placeholders(*"cdlpqr")
    refused(uec(*arguments, *unused), f"{unused[0]} would change nothing with {because}", code=2)


def test_deleting_by_a_filter_that_says_nothing(uec, index):
    refused(uec("delete", "--index", index, "--where", "{}", "--yes"), "--where {} says nothing", code=2)


@pytest.mark.parametrize(
    ("command", "option"), [("index", "--existing"), ("search", "--abstain"), ("index", "--engine")]
)
def test_a_choice_that_there_is_none_of(uec, command, option):
    outcome = uec(command, "--index", "i", option, "foo")
    assert outcome.code == 2 and f"Invalid value for '{option}': 'foo' is not one of" in outcome.err


def test_plain_lines_on_standard_input(uec, tmp_path, monkeypatch):
    import io
    import sys
    from types import SimpleNamespace

    from uec_retriever.data import sources

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a wing\na bird\n")))
    sources._keep.cache_clear()
    outcome = uec("index", "--index", tmp_path / "i", "--corpus", "-", "--expert", "none")
    sources._keep.cache_clear()
    refused(outcome, "standard input, line 1", "needs --format, such as --format csv")


@pytest.mark.parametrize("option", ["--min-confidence", "--min-relevance"])
def test_a_confidence_that_is_not_calibrated(uec, index, option):
    outcome = uec("search", "--index", index, "wing", option, ".5")
    refused(outcome, f"{option} needs a confidence: run 'uec calibrate-confidence --index {index}' once")


def test_where_an_index_is_not(uec, index, tmp_path):
    """Servers are mentioned where the folder is that of an index whose texts are on one."""
    for name in ("nothere", "plain"):
        if name == "plain":
            (tmp_path / name).mkdir()
        outcome = uec("search", "--index", tmp_path / name, "wing")
        refused(outcome, "there is no index in", "make one with 'uec index'")
        assert "server" not in outcome.err and ("nor such a folder" in outcome.err) == (name == "nothere")
    shutil.rmtree(index / "chroma")
    refused(uec("search", "--index", index, "wing"), "on a Chroma server: give its address", "--server")


def test_deleting_nothing_asks_nothing(uec, index):
    outcome = uec("delete", "--index", index, "--where", '{"parity": 7}')
    assert outcome.code == 0 and "0 deleted; 60 texts" in outcome.out and "?" not in outcome.out


def test_a_note_is_told_once(uec, corpus, models, tmp_path):
    outcome = uec("index", "--index", tmp_path / "i", "--corpus", corpus(5), "--expert", models["bert"])
    assert " ".join(outcome.err.split()).count("too few texts to calibrate on") == 1


def test_one_query_is_no_queries(uec, index, tmp_path):
    (tmp_path / "q.jsonl").write_text('{"_id": "q", "text": "wing"}\n')
    outcome = uec("search", "--index", index, "--queries", tmp_path / "q.jsonl", "--run", tmp_path / "run")
    assert "1 query," in " ".join(outcome.out.split())


def test_k_above_the_count_gives_all(uec, index):
    assert len(json.loads(uec("search", "--index", index, "-k", "500", "--json", "wing").out)["hits"]) == 60


def test_folder_without_an_index(uec, tmp_path):
    (tmp_path / "plain").mkdir()
    refused(uec("search", "--index", tmp_path / "plain", "wing"), "there is no index", "uec index")
    assert list((tmp_path / "plain").iterdir()) == []


def test_ctrl_c_says_how_to_go_on(uec, index, corpus, monkeypatch):
    from uec_retriever.engine.engine import Engine

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "add_records", interrupted)
    outcome = uec("index", "--index", index, "--corpus", corpus(60))
    assert outcome.code == 130 and "run the same command again" in outcome.err


def test_reindexing_into_the_index_itself(uec, index, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(index)
    monkeypatch.chdir(index)
    monkeypatch.setenv("HOME", str(tmp_path))
    others = (
        index / ".." / index.name,
        f"{index}/",
        tmp_path / "link",
        f"{tmp_path}//link/",
        ".",
        f"~/{index.name}",
    )
    for name in others:
        refused(uec("reindex", "--index", index, "--to", name), "is the index itself", code=2)


def test_numbers_out_of_range_are_wrong_usage(uec, index):
    for arguments in (
        ("search", "-k", "0", "wing"), ("search", "--snippet", "-1", "wing"), ("calibrate-confidence", "-k", "0"),
        ("search", "--min-confidence", "2", "wing"), ("recalibrate", "--temperature", "-1"),
        ("calibrate-confidence", "--unanswerable", "1"),
    ):  # fmt: skip
        assert uec(arguments[0], "--index", index, *arguments[1:]).code == 2, arguments


WRITTEN = {"index", "to", "out", "run", "cache"}


def file_options():
    """Every command with each of its options and arguments that is a file to be read."""

    def walk(part, path):
        for command in part.registered_commands:
            yield (*path, command.name), command.callback
        for group in part.registered_groups:
            name = group.name or group.typer_instance.info.name
            if group.typer_instance.registered_callback:
                yield (*path, name), group.typer_instance.registered_callback.callback
            yield from walk(group.typer_instance, (*path, name))

    for path, function in walk(app, ()):
        for name, hint in get_type_hints(function, include_extras=True).items():
            if "Path" in str(get_args(hint)[:1]) and name not in WRITTEN:
                yield path, name, hint.__metadata__[0]


@pytest.mark.parametrize(("path", "name", "option"), list(file_options()))
def test_files_that_are_not_there_are_wrong_usage(path, name, option):
    assert option.callback is must_exist


def test_they_are_named_before_any_work(uec, tmp_path):
    for arguments in (
        ("index", "--index", "i", "--corpus", "absent", "--expert", "nobody"),
        ("index", "--index", "i", "--corpus", tmp_path, "--expert", "nobody", "--posterior", "absent"),
        ("delete", "--index", "i", "--ids-from", "absent"), ("label", "inspect", "absent"),
        ("eval", "report", tmp_path, "absent", "--out", "o"),
    ):  # fmt: skip
        refused(uec(*arguments), "there is no absent", code=2)
