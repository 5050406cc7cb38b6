import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import ir_measures
import pytest

from uec_retriever.engine.engine import Engine

WORDS = "flow heat wing layer pressure model small large red green".split()


def test_help_teaches(uec):
    outcome = uec("--help")
    assert outcome.code == 0
    for command in (
        "index", "search", "fit", "info", "words", "delete", "recalibrate", "calibrate-confidence", "reindex",
    ):  # fmt: skip
        assert command in outcome.out
        explained = uec(command, "--help")
        assert explained.code == 0
        assert ("--index" in explained.out) == (command != "fit")
    assert "Exit codes" in outcome.out


def test_index_then_a_longer_corpus_adds_only_what_is_new(uec, index, corpus):
    more = uec("index", "--index", index, "--corpus", corpus(70), "--json")
    assert more.code == 0, more.err
    told = json.loads(more.out)
    info = json.loads(uec("info", "--index", index, "--json").out)
    assert (told.pop("notes"), told.pop("calibrated_on")) == (info["notes"], info["reference"])
    assert told.pop("seconds") >= 0
    assert told == {
        "added": 10, "updated": 0, "unchanged": 60, "skipped": 0, "deleted": 0, "absent": 0, "before": 60, "count": 70,
        "updated_ids": [], "deleted_ids": [], "absent_ids": [], "kept": 0, "kept_ids": [], "truncated": {}, "truncated_ids": [], "skipped_empty": [],
        "fitting_seconds": None, "stale": [], "documents": 70, "split": 0, "pieces": 0,
    }  # fmt: skip
    assert "0 added, 0 updated, 70 unchanged" in uec("index", "--index", index, "--corpus", corpus(70)).out


def test_search_for_machines(uec, index):
    outcome = uec("search", "--index", index, "-k", "3", "--json", "wing heat")
    answer = json.loads(outcome.out)
    assert set(answer) == {
        "query", "coefficients", "confidence", "confidence_k", "confidence_reason", "verdict", "abstained", "promise", "truncated", "hits",
    }  # fmt: skip
    assert answer["confidence"] is None and "uec calibrate-confidence" in answer["confidence_reason"]
    assert answer["truncated"] == []
    assert answer["query"] == "wing heat"
    assert set(answer["coefficients"]) == {"one", "two", "words"}
    assert sum(answer["coefficients"].values()) == pytest.approx(1)
    assert len(answer["hits"]) == 3
    assert {"id", "score", "text", "metadata", "matched", "raw_score", "deviation", "relevance"} == set(
        answer["hits"][0]
    )
    assert set(answer["hits"][0]["metadata"]) == {"parity", "title"}
    engine = Engine.open(index)
    assert [h["id"] for h in answer["hits"]] == [h.id for h in engine.search("wing heat", 3)]


def test_search_for_people(uec, index):
    outcome = uec("search", "--index", index, "-k", "2", "wing heat")
    assert "trust in the experts: one" in outcome.out and "%" in outcome.out
    lines = [line for line in outcome.out.splitlines() if line.strip().startswith(("1 ", "2 "))]
    assert len(lines) == 2 and all("0." in line for line in lines)


def test_filter(uec, index):
    answer = json.loads(uec("search", "--index", index, "--json", "--where", '{"parity": 1}', "wing").out)
    assert len(answer["hits"]) == 10 and all(h["metadata"]["parity"] == 1 for h in answer["hits"])
    assert "takes JSON" in uec("search", "--index", index, "--where", "{parity}", "wing").err


def test_trec_run_of_a_query_file(uec, index, tmp_path):
    queries = tmp_path / "queries.jsonl"
    queries.write_text(
        "".join(json.dumps({"_id": f"q{i}", "text": f"wing heat {i}"}) + "\n" for i in range(70))
    )
    run = tmp_path / "out.trec"
    outcome = uec("search", "--index", index, "-k", "20", "--queries", queries, "--run", run)
    assert outcome.code == 0, outcome.err
    scored = list(ir_measures.read_trec_run(str(run)))
    assert len(scored) == 70 * 20
    engine = Engine.open(index)
    expected = engine.search("wing heat 5", 20)
    found = [line.split() for line in run.read_text().splitlines() if line.startswith("q5 ")]
    assert [line[2] for line in found] == [h.id for h in expected]
    assert [int(line[3]) for line in found] == list(range(1, 21))


def test_info_loads_no_model(uec, index, models, monkeypatch):
    from uec_retriever.experts.expert import Expert

    monkeypatch.setattr(Expert, "load", None)
    told = json.loads(uec("info", "--index", index, "--json").out)
    assert told["count"] == 60 and told["layout"] == "block" and told["bytes"] > 0
    assert [e["model"] for e in told["experts"]] == [models["bert"], models["qwen"]]
    shown = uec("info", "--index", index).out
    assert "60 texts" in shown and "kron" in shown
    assert f"model of one: {models['bert']}" in shown.splitlines()  # whole, however long


def test_delete(uec, index, tmp_path):
    assert (
        "2 deleted; 58 texts" in uec("delete", "--index", index, "--id", "d1", "--id", "d2", "--id", "x").out
    )
    again = uec("delete", "--index", index, "--id", "d1", "--id", "x").out
    assert "0 deleted; 58 texts in the index; 2 of the ids were not there" in " ".join(again.split())
    listed = tmp_path / "ids.txt"
    listed.write_text("d3\n\nd5\n")
    assert json.loads(uec("delete", "--index", index, "--ids-from", listed, "--json").out) == {
        "deleted": 2, "count": 56,
    }  # fmt: skip
    assert "29 deleted" in uec("delete", "--index", index, "--where", '{"parity": 0}', "--yes").out
    assert json.loads(uec("info", "--index", index, "--json").out)["count"] == 27
    assert uec("delete", "--index", index).code == 2


def test_fitted_posteriors_find_their_experts(uec, models, corpus, tmp_path):
    files = []
    for label in ("bert", "qwen"):
        files.append(tmp_path / f"{label}.safetensors")
        outcome = uec(
            "fit",
            "--expert",
            models[label],
            "--corpus",
            corpus(60),
            "--out",
            files[-1],
            "--structure",
            "diag",
        )
        assert outcome.code == 0 and "diag posterior of" in outcome.out, outcome.err
    arguments = [
        "--corpus", corpus(60), "--expert", models["bert"], "--expert", models["qwen"],
        "--posterior", files[1], "--posterior", files[0],
    ]  # fmt: skip
    assert uec("index", "--index", tmp_path / "given", *arguments).code == 0
    entries = json.loads(uec("info", "--index", tmp_path / "given", "--json").out)["experts"]
    assert [e["structure"] for e in entries] == ["diag", "diag"]
    stranger = uec(
        "index",
        "--index",
        tmp_path / "no",
        "--corpus",
        corpus(60),
        "--expert",
        models["other"],
        "--posterior",
        files[0],
    )
    assert stranger.code == 1 and "was fitted for" in stranger.err
    assert not (tmp_path / "no").exists()


def test_reindex_with_another_structure(uec, index, tmp_path):
    outcome = uec("reindex", "--index", index, "--to", tmp_path / "new", "--structure", "diag")
    assert outcome.code == 0 and "60 added" in outcome.out, outcome.err
    assert "60 unchanged" in uec("reindex", "--index", index, "--to", tmp_path / "new").out
    told = json.loads(uec("info", "--index", tmp_path / "new", "--json").out)
    assert {e["structure"] for e in told["experts"]} == {"diag"}


def test_recalibrate_keeps_the_texts(uec, index):
    told = json.loads(uec("recalibrate", "--index", index, "--temperature", "0.7", "--json").out)
    assert told["temperature"] == 0.7 and told["reference"].endswith("(recalibrated)")
    assert "prior trust: one" in uec("recalibrate", "--index", index).out
    assert json.loads(uec("info", "--index", index, "--json").out)["count"] == 60


def test_pairs_of_the_user_and_options(uec, models, corpus, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        "".join(
            json.dumps({"query": f"{a} {b}", "positive": f"the {a} of the {b} is {a}"}) + "\n"
            for a, b in itertools.islice(itertools.permutations(WORDS, 2), 40)
        )
    )
    outcome = uec(
        "index", "--index", tmp_path / "sum", "--corpus", corpus(20), "--pairs", pairs, "--layout", "sum",
        "--temperature", "0.3", "--structure", "diag",
        "--expert", f"a={models['bert']}", "--expert", f"b={models['other']}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    told = json.loads(uec("info", "--index", tmp_path / "sum", "--json").out)
    assert (told["layout"], told["temperature"], told["reference"]) == ("sum", 0.3, "16 pairs: user")


def test_uec_as_a_program_is_quick_to_help_and_gives_exit_codes(tmp_path):
    program = Path(sys.executable).parent / "uec"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    helped = subprocess.run([program, "--help"], capture_output=True, text=True, env=environment)
    assert helped.returncode == 0 and "Usage" in helped.stdout
    refused = subprocess.run(
        [program, "info", "--index", tmp_path / "none"], capture_output=True, text=True, env=environment
    )
    assert (
        refused.returncode == 1
        and "there is no index" in refused.stderr
        and "Traceback" not in refused.stderr
    )
    assert (
        subprocess.run([program, "search", "--nonsense"], capture_output=True, env=environment).returncode
        == 2
    )


def test_a_few_documents_can_be_added_to_an_existing_index(uec, index, corpus):
    few = corpus(63).read_text().splitlines(keepends=True)[60:]
    path = index.parent / "few.jsonl"
    path.write_text("".join(few))
    outcome = uec("index", "--index", index, "--corpus", path)
    assert outcome.code == 0 and "3 added" in outcome.out, outcome.err


def test_a_moved_model_can_be_pointed_to(uec, index, models, tmp_path):
    moved = tmp_path / "moved"
    Path(models["bert"]).rename(moved)
    try:
        lost = uec("search", "--index", index, "wing")
        assert lost.code == 1 and "--expert one=" in " ".join(lost.err.split())
        assert uec("search", "--index", index, "--expert", f"one={moved}", "wing").code == 0
        assert "LABEL=MODEL" in uec("search", "--index", index, "--expert", "one", "wing").err
    finally:
        moved.rename(models["bert"])


def test_deleting_by_filter_for_machines_needs_yes(uec, index):
    outcome = uec("delete", "--index", index, "--where", '{"parity": 0}', "--json")
    assert outcome.code == 2 and "--yes" in outcome.err


def test_ids_and_labels_are_no_markup(uec, models, corpus, tmp_path):
    path = corpus(60)
    path.write_text(path.read_text() + json.dumps({"_id": "[/x]", "text": ""}) + "\n")
    outcome = uec(
        "index", "--index", tmp_path / "i", "--corpus", path, "--expert", f"[/bold]={models['bert']}"
    )
    assert outcome.code == 0 and "[/x]" in outcome.err, outcome.err
    assert "[/bold]" in uec("info", "--index", tmp_path / "i").out
    assert "[/bold]" in uec("search", "--index", tmp_path / "i", "wing").out
