"""Real questions set how far words are trusted."""

import json
import shutil

from tests.cli.conftest import refused
from uec_retriever.data.qrels import read_relevant
from uec_retriever.engine.engine import Engine
from uec_retriever.store.lexical_options import LexicalOptions

SHARE = LexicalOptions().share


def share(uec, index):
    return json.loads(uec("info", "--index", index, "--json").out)["lexical"]["share"]


def test_judged_queries_set_the_share_alone(uec, index, judged):
    before = json.loads(uec("info", "--index", index, "--json").out)
    outcome = uec("recalibrate", "--index", index, "--data", judged, "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    report = told["share"]
    assert report["before"] == SHARE and report["share"] == told["lexical"]["share"] == share(uec, index)
    assert report["best"] < report["share"] < SHARE and report["queries"] == 40
    assert set(report["quality"]) == {"share", "constant", "without words"}
    assert all(before[name] == told[name] for name in ("experts", "temperature", "reference"))


def test_people_are_told_what_changed(uec, index, judged):
    assert uec("calibrate-confidence", "--index", index, "-k", "25").code == 0
    outcome = uec("recalibrate", "--index", index, "--data", judged)
    out, now = " ".join(outcome.out.split()), share(uec, index)
    assert f"trust in words: {SHARE:.1%} before, {now:.1%} now; 40 queries with a right answer" in out
    assert f"words {now:.0%}" in out and "nDCG@10 on these queries, which chose it: " in out
    assert (
        "the calibrated confidence and coverage are dropped" in outcome.err
        and "do not report" not in outcome.err
    )


def test_few_queries_move_it_less(uec, index, judged):
    command = ("recalibrate", "--index", index, "--data", judged)
    assert json.loads(uec(*command, "--max-queries", "5", "--json").out)["share"]["queries"] == 5
    few = share(uec, index)
    assert uec(*command).code == 0
    assert SHARE > few > share(uec, index)


def test_a_split_to_report_on_is_told(uec, index, judged):
    outcome = uec("recalibrate", "--index", index, "--data", judged, "--split", "test")
    assert outcome.code == 0 and "do not report results on it" in " ".join(outcome.err.split())


def test_pairs_set_it_too_and_made_ones_do_not(uec, index, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"query": f"number {i}", "positive": f"what was lost has {i} on it"} for i in range(64)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = json.loads(uec("recalibrate", "--index", index, "--json").out)
    assert made["share"] is None and made["lexical"]["share"] == SHARE
    told = json.loads(uec("recalibrate", "--index", index, "--pairs", pairs, "--json").out)
    assert told["reference"] == "64 pairs: user (recalibrated)"
    assert told["share"]["queries"] == 64 and told["lexical"]["share"] == told["share"]["share"]


def test_without_words(uec, index, judged, tmp_path):
    assert uec("words", "--index", index, "--off").code == 0
    refused(uec("recalibrate", "--index", index, "--data", judged), "no words to trust", "'uec words'")
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"query": f"number {i}", "positive": f"what was lost has {i} on it"} for i in range(64)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = uec("recalibrate", "--index", index, "--pairs", pairs)
    assert outcome.code == 0 and "trust in words" not in outcome.out


def test_recorded_judgements_set_it_too(uec, index, judged):
    command = ("recalibrate", "--index", index, "--judgements", "--json")
    refused(uec(*command), "no judgement is recorded", "Engine.record_judgement")
    relevant = read_relevant(judged, judged / "qrels" / "train.tsv")
    with Engine.open(index) as engine:
        for query, ids in relevant.items():
            for identifier in ids:
                engine.record_judgement(query, identifier)
    told = json.loads(uec(*command).out)
    assert told["share"]["queries"] == 40 and told["lexical"]["share"] < SHARE
    assert json.loads(uec(*command, "--max-queries", "5").out)["share"]["queries"] == 5
    outcome = uec("calibrate-confidence", "--index", index, "-k", "1", "--judgements", "--json")
    assert json.loads(outcome.out)["queries"] == 40 and "judgements of right texts" not in outcome.err
    gone = min(min(ids) for ids in relevant.values())
    number = sum(gone in ids for ids in relevant.values())
    with Engine.open(index) as engine:
        engine.delete([gone])
    for again in (command, ("calibrate-confidence", "--index", index, "-k", "1", "--judgements", "--json")):
        outcome = uec(*again)
        assert f"passing over {number} of 40 judgements of right texts" in " ".join(outcome.err.split())
        report = json.loads(outcome.out)
        assert report.get("share", report)["queries"] == 40 - number


def test_wrong_usage(uec, tmp_path, placeholders):
    placeholders("d", "p")
    command = ("recalibrate", "--index", tmp_path / "i")
    refused(uec(*command, "--split", "train"), "--split goes with --data", code=2)
    refused(uec(*command, "--max-queries", "3"), "--max-queries goes with --data or --judgements", code=2)
    refused(uec(*command, "--data", "d", "--judgements"), "--data or --judgements, one of them", code=2)
    refused(
        uec(*command, "--judgements", "--pairs", "p"),
        "--pairs would change nothing with --judgements",
        code=2,
    )
    for unused in (("--pairs", "p"), ("--max-pairs", "40"), ("--temperature", "1")):
        refused(
            uec(*command, "--data", "d", *unused), f"{unused[0]} would change nothing with --data", code=2
        )


def test_data_that_does_not_fit(uec, index, judged, tmp_path):
    judged = shutil.copytree(judged, tmp_path / "data")
    command = ("recalibrate", "--index", index, "--data", judged)
    refused(uec(*command, "--split", "dev"), "no split 'dev'", "['test', 'train']")
    refused(uec("recalibrate", "--index", index, "--data", judged / "qrels"), "no split 'train'")
    (judged / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tstranger\t1\n")
    refused(uec(*command), "'stranger', is in the index")
    (judged / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nnobody\td1\t1\n")
    refused(uec(*command), "do their ids agree?")
    (judged / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t0\n")
    refused(uec(*command), "no query has a right answer")
    assert share(uec, index) == SHARE
