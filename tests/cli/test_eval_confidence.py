"""`uec eval confidence` from the command line."""

import json
import shutil

import pytest

from tests.cli.conftest import refused


@pytest.fixture(scope="module")
def calibrated(made_index, judged, tmp_path_factory):
    """An index with confidence and coverage, calibrated on the train split: nobody may change it."""
    from uec_retriever.cli.labelled import read_labelled
    from uec_retriever.engine.engine import Engine

    folder = shutil.copytree(made_index, tmp_path_factory.mktemp("calibrated") / "idx")
    labelled = read_labelled(judged, "train", None)
    with Engine.open(folder) as engine:
        engine.calibrate_confidence(labelled=labelled, k=1)
        engine.calibrate_coverage(labelled)
    return folder


def test_a_person_reads_words_and_numbers(uec, calibrated, judged, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outcome = uec("eval", "confidence", "--index", calibrated, "--data", judged, "--failures", 2)
    assert outcome.code == 0, outcome.err
    flat = " ".join(outcome.out.split())
    for words in ("Confidence is", "Right among the first 1", "nAUC", "probably not in these documents"):
        assert words in flat
    assert "test split" in flat and "Beware" not in flat
    assert "its answer was taken away" in flat and "came first d" in flat
    assert "Some questions lost their answer first, so that 50% have none here" in flat
    asked = ("eval", "confidence", "--index", calibrated, "--data", judged, "--unanswerable", "0")
    assert "lost their answer" not in uec(*asked).out


def test_json_and_a_page(uec, calibrated, judged, tmp_path):
    pytest.importorskip("jinja2")
    command = ("eval", "confidence", "--index", calibrated, "--data", judged, "--unanswerable", ".3")
    outcome = uec(*command, "--out", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found == json.loads((tmp_path / "out" / "confidence.json").read_text())
    assert (found["split"], found["k"], found["confidence"]["searches"]) == ("test", 1, 10)
    assert found["confidence"]["without_answer"] == 3
    assert "expects 50% of queries without an answer" in outcome.err
    page = (tmp_path / "out" / "report.html").read_text()
    assert found["failures"][0]["query"] in page
    report = uec("eval", "report", tmp_path / "out" / "confidence.json", "--out", tmp_path / "again")
    assert report.code == 0, report.err
    assert (tmp_path / "again" / "report.html").read_text() == page


def test_queries_that_calibrated_it_are_told(uec, calibrated, judged):
    command = ("eval", "confidence", "--index", calibrated, "--data", judged, "--split", "train")
    flat = " ".join(uec(*command).out.split())
    assert "Beware: about 100% of the queries that calibrated the confidence are among these" in flat
    assert "about 100% of the queries that calibrated the confidence" in uec(*command, "--json").err


def test_from_judgements_and_files(uec, calibrated, judged, tmp_path):
    from uec_retriever.engine.engine import Engine

    index = shutil.copytree(calibrated, tmp_path / "idx")
    command = ("eval", "confidence", "--index", index)
    refused(uec(*command, "--judgements"), "no judgement is recorded")
    with Engine.open(index) as engine:
        for i in range(5):
            engine.record_judgement(f"the wing of heat {i}", f"d{i}")
    told = json.loads(uec(*command, "--judgements", "--json").out)
    assert (told["split"], told["confidence"]["searches"]) == (None, 5)
    file = ("--queries", judged / "queries.jsonl", "--qrels", judged / "qrels" / "test.tsv")
    assert json.loads(uec(*command, *file, "--json").out)["confidence"]["searches"] == 10


def test_what_is_wrong_is_said(uec, index, calibrated, judged):
    refused(uec("eval", "confidence", "--index", index, "--data", judged), "uec calibrate-confidence")
    command = ("eval", "confidence", "--index", calibrated)
    refused(uec(*command), "one of them", code=2)
    refused(uec(*command, "--data", judged, "--judgements"), "one of them", code=2)
    refused(uec(*command, "--split", "test", "--judgements"), "--split goes with --data", code=2)
    refused(uec(*command, "--data", judged, "--split", "dev"), "no split 'dev'")


@pytest.mark.parametrize("share", ["1", "1.5", "-0.1", "nan"])
@pytest.mark.parametrize("command", [("eval", "confidence"), ("calibrate-confidence",)])
def test_a_share_that_is_none_is_refused_before_anything_is_loaded(uec, judged, tmp_path, command, share):
    outcome = uec(*command, "--index", tmp_path / "none", "--data", judged, "--unanswerable", share)
    refused(outcome, "--unanswerable must be in [0, 1)", code=2)
