import json
import math
import shutil

import pytest

from tests.cli.conftest import refused
from uec_retriever.engine.engine import Engine

WORDS = "flow heat wing layer pressure model small large red green".split()


@pytest.fixture
def labels(tmp_path):
    """BEIR queries and qrels for the corpus of the fixture `index`."""
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "test.tsv"
    queries.write_text(
        "".join(
            json.dumps({"_id": f"q{i}", "text": f"what is {WORDS[i % 10]} in {i}"}) + "\n" for i in range(50)
        )
    )
    rows = [f"q{i}\td{i}\t{1 if i % 2 else 0}\n" for i in range(48)]
    qrels.write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return ["--queries", queries, "--qrels", qrels]


def test_from_the_index_alone(uec, index):
    outcome = uec("calibrate-confidence", "--index", index, "-k", "25")
    assert outcome.code == 0, outcome.err
    assert "of the answerable ones with a right answer among the first 25" in outcome.out
    assert "AUROC" in outcome.out and "ECE" in outcome.out
    engine = Engine.open(index)
    answer = json.loads(uec("search", "--index", index, "--json", "wing heat").out)
    assert answer["confidence"] == pytest.approx(engine.search("wing heat").confidence, abs=1e-5)
    shown = uec("search", "--index", index, "wing heat").out
    assert (
        f"confidence that the first 25 hold a right answer (of which 10 are shown): {answer['confidence']:.0%}"
        in shown
    )


def test_info_says_whether_it_is_calibrated(uec, index):
    assert "confidence not calibrated" in uec("info", "--index", index).out
    assert json.loads(uec("info", "--index", index, "--json").out)["confidence"] is None
    assert uec("calibrate-confidence", "--index", index, "-k", "25", "--unanswerable", "0.25").code == 0
    told = json.loads(uec("info", "--index", index, "--json").out)["confidence"]
    assert (told["k"], told["records"], told["unanswerable"]) == (25, 60, 0.25)
    shown = " ".join(uec("info", "--index", index).out.split())
    assert "confidence (first 25) calibrated on" in shown and "25% of queries assumed unanswerable" in shown
    assert uec("recalibrate", "--index", index).code == 0
    assert "confidence not calibrated" in uec("info", "--index", index).out


def test_from_labels(uec, index, labels):
    outcome = uec("calibrate-confidence", "--index", index, *labels, "-k", "9", "--json")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert set(report) == {
        "queries", "hit_rate", "positives", "auroc", "auroc_answerable", "ece", "brier", "brier_constant",
        "relevance_auroc", "relevance_ece", "coverage",
    }  # fmt: skip
    assert report["queries"] == 48
    told = json.loads(uec("info", "--index", index, "--json").out)["confidence"]
    assert told["source"] == "labelled queries"


def test_from_a_split_of_a_folder(uec, index, judged):
    command = ("calibrate-confidence", "--index", index, "-k", "1", "--data", judged)
    outcome = uec(*command, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["queries"] == 40 and "do not report" not in outcome.err
    told = json.loads(uec("info", "--index", index, "--json").out)["confidence"]
    assert told["source"] == "labelled queries"
    few = json.loads(uec(*command, "--split", "train", "--max-queries", "35", "--json").out)
    assert few["queries"] == 35
    refused(uec(*command, "--split", "dev"), "no split 'dev'", "['test', 'train']")
    refused(uec(*command, "--split", "test"), "10 queries are too few")


def test_a_stale_confidence_is_told(uec, index, corpus, caplog):
    assert uec("calibrate-confidence", "--index", index, "-k", "25").code == 0
    assert uec("index", "--index", index, "--corpus", corpus(75)).code == 0
    assert json.loads(uec("info", "--index", index, "--json").out)["confidence"]["stale"] is False
    assert "stale" not in uec("info", "--index", index).out
    assert uec("index", "--index", index, "--corpus", corpus(76)).code == 0
    assert json.loads(uec("info", "--index", index, "--json").out)["confidence"]["stale"] is True
    shown = " ".join(uec("info", "--index", index).out.split())
    assert "calibrated on 60 texts, and the index has 76 now: calibrate it anew with" in shown
    caplog.clear()
    with Engine.open(index) as engine:
        engine.search("wing")
        engine.search("heat")
    assert [r.levelname for r in caplog.records if "stale" in r.message] == ["WARNING"]


def test_a_split_to_report_on_is_told(uec, index, judged, tmp_path):
    data = shutil.copytree(judged, tmp_path / "data")
    (data / "qrels" / "train.tsv").replace(data / "qrels" / "test.tsv")
    command = ("calibrate-confidence", "--index", index, "-k", "1", "--data", data, "--split", "test")
    for outcome in (uec(*command), uec(*command, "--json")):
        assert outcome.code == 0, outcome.err
        assert "on the test split: do not report results on it" in " ".join(outcome.err.split())


def test_questions_come_from_one_place(uec, tmp_path, placeholders):
    placeholders("d", "q", "r")
    command = ("calibrate-confidence", "--index", tmp_path / "i")
    file = ("--queries", "q", "--qrels", "r")
    refused(uec(*command, "--split", "train"), "--split goes with --data", code=2)
    refused(uec(*command, *file, "--split", "train"), "--split goes with --data", code=2)
    refused(uec(*command, *file, "--data", "d"), "--qrels: one of them", code=2)
    refused(uec(*command, "--judgements", "--data", "d"), "--qrels: one of them", code=2)
    refused(uec(*command, *file, "--max-queries", "40"), "--max-queries would change nothing", code=2)


def test_refusals(uec, index, labels, tmp_path):
    command = ("calibrate-confidence", "--index", index)
    refused(uec(*command, *labels[:2]), "--queries and --qrels, or neither", code=2)
    refused(uec(*command, "-k", "60"), "smaller k")
    refused(uec(*command, "--unanswerable", "1"), "--unanswerable must be in [0, 1)", code=2)
    strangers = tmp_path / "strangers.tsv"
    strangers.write_text("query-id\tcorpus-id\tscore\nnobody\td1\t1\n")
    refused(uec(*command, *labels[:3], strangers), "do their ids agree?")
    strangers.write_text("query-id\tcorpus-id\tscore\nq1\td1\tgood\n")
    refused(uec(*command, *labels[:3], strangers), "strangers.tsv, line 2")
    refused(uec(*command, *labels[:3], tmp_path / "absent.tsv"), "--qrels: there is no", "absent.tsv", code=2)
    assert "confidence not calibrated" in uec("info", "--index", index).out


def test_abstaining(uec, index):
    assert uec("calibrate-confidence", "--index", index, "-k", "25").code == 0
    command = ("search", "--index", index, "wing heat")
    answer = json.loads(uec(*command, "--json").out)
    told = f"{answer['confidence']:.0%}, {answer['verdict']}"
    assert told in " ".join(uec(*command).out.split())
    low = uec(*command, "--min-confidence", "1")
    assert (
        low.code == 3
        and "abstained: the confidence that the first 25 hold a right answer is too low" in low.out
    )
    asked = uec(*command, "--min-confidence", "1", "--json")
    answer = json.loads(asked.out)
    assert (asked.code, answer["abstained"], answer["hits"]) == (3, True, [])
    flagged = json.loads(uec(*command, "--min-confidence", "1", "--abstain", "flag", "--json").out)
    assert flagged["abstained"] and len(flagged["hits"]) == 10
    shown = uec(*command, "--min-confidence", "1", "--abstain", "flag")
    assert shown.code == 3 and "abstained" in shown.out and flagged["hits"][0]["id"] in shown.out
    relevances = [hit["relevance"] for hit in json.loads(uec(*command, "--json").out)["hits"]]
    limit = sorted(relevances)[-2]
    likely = json.loads(uec(*command, "--min-relevance", limit, "--json").out)["hits"]
    assert [hit["relevance"] for hit in likely] == [r for r in relevances if r >= limit]
    refused(uec(*command, "--abstain", "flag"), "--min-confidence", code=2)
    assert uec(*command, "--min-confidence", "0").code == 0
    refused(uec(*command, "--min-confidence", ".5", "--where", '{"parity": 1}'), "without a filter")


def test_coverage(uec, index, labels):
    refused(
        uec("search", "--index", index, "wing heat", "--coverage", ".5"), "coverage needs labelled queries"
    )
    made = uec("calibrate-confidence", "--index", index, "-k", "25")
    assert "promise no coverage" in made.out
    assert json.loads(uec("info", "--index", index, "--json").out)["coverage"] is None
    told = json.loads(uec("calibrate-confidence", "--index", index, *labels, "-k", "9", "--json").out)[
        "coverage"
    ]
    shown = uec("calibrate-confidence", "--index", index, *labels, "-k", "9")
    highest = f"{math.floor(1000 * told['highest']) / 1000:g}"
    said = f"coverage up to {highest} can be promised to queries whose answer is here, on {told['queries']} of them"
    assert said in " ".join(shown.out.split())
    known = json.loads(uec("info", "--index", index, "--json").out)["coverage"]
    assert (known["queries"], known["highest"]) == (told["queries"], told["highest"])
    assert f"coverage up to {highest} calibrated on" in uec("info", "--index", index).out
    command = ("search", "--index", index, "what is wing in 3", "--coverage", ".5")
    answer = json.loads(uec(*command, "--json").out)
    assert answer["promise"]["holds"] and len(answer["hits"]) == answer["promise"]["needed"]
    assert "50% of queries like the" in " ".join(uec(*command).out.split())
    silent = json.loads(uec(*command, "--min-confidence", "1", "--json").out)
    assert (silent["hits"], silent["promise"]["reason"]) == ([], "the search abstained")
    few = uec(*command, "--max-k", "1", "--where", '{"parity": 1}')
    assert "not promised: calibrated for searches without a filter" in " ".join(few.out.split())
    refused(uec(*command, "-k", "3"), "-k", code=2)
    refused(uec(*command[:-2], "--max-k", "3"), "--coverage", code=2)
    dropped = uec("recalibrate", "--index", index)
    assert "confidence and coverage are dropped" in " ".join(dropped.err.split())
