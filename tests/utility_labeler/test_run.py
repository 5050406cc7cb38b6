"""A run that is killed, torn, repeated, changed: no line lost, none twice."""

import json
import multiprocessing
import random
import time
from multiprocessing import forkserver

import pytest

from tests.utility_labeler.labelling_fakes import FakeJudge, label_slowly, pairs
from uec_retriever.errors import IndexBusyError, InvalidInputError, LabelError, StorageError
from uec_retriever.utility_labeler.files import LabelFile, manifest_path, read_manifest
from uec_retriever.utility_labeler.labels import read_labels
from uec_retriever.utility_labeler.prompts import Prompt
from uec_retriever.utility_labeler.run import label_utilities, make_chunks
from uec_retriever.utility_labeler.utility import LabelOptions


@pytest.fixture
def out(tmp_path):
    return tmp_path / "deep" / "labels.jsonl"


def whole(out, made=None):
    """What an undisturbed run writes, sorted."""
    other = out.parent / "undisturbed.jsonl"
    label_utilities(FakeJudge(), made or pairs(), other)
    return sorted(other.read_text().splitlines())


def test_labels_manifest_and_progress(out):
    seen = []
    report = label_utilities(
        FakeJudge(), pairs(), out, data={"split": "train"}, progress=seen.append, chunk=10
    )
    labels = list(read_labels(out))
    assert {label.key for label in labels} == {pair.key for pair in pairs()}
    assert (report.pairs, report.labelled, report.truncated, report.repaired) == (24, 24, 0, 0)
    assert sum(seen) == 24 and len(seen) > 2
    manifest = read_manifest(out)
    assert manifest["run"] == report.run == labels[0].run
    assert manifest["counts"] == {
        "labels": 24,
        "questions": 6,
        "truncated": 0,
        "sources": {"given": 18, "gold": 6},
    }
    assert manifest["complete"] and manifest["data"] == {"split": "train"}
    assert manifest["judge"] == {"name": "fake", "fingerprint": "fake"}
    assert {"uec-retriever", "torch", "transformers", "python"} <= set(manifest["versions"])
    assert manifest["prompts"][0]["with_passage"] and manifest["options"]["normalise"] == "mean"


def test_repeating_changes_nothing_and_asks_nothing(out):
    label_utilities(FakeJudge(), pairs(), out)
    before, judge = out.read_bytes(), FakeJudge()
    report = label_utilities(judge, pairs(), out)
    assert (out.read_bytes(), report.labelled, judge.asked) == (before, 0, 0)


def test_a_torn_last_line_is_repaired_wherever_it_was_cut(out):
    label_utilities(FakeJudge(), pairs(2), out)
    data = out.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    expected = sorted(data.decode().splitlines())
    for cut in (last, last + 1, last + 50, (last + len(data)) // 2, len(data) - 2, len(data) - 1):
        out.write_bytes(data[:cut])
        report = label_utilities(FakeJudge(), pairs(2), out)
        assert report.repaired == cut - last and report.labelled == 1
        assert sorted(out.read_text().splitlines()) == expected


def test_damage_inside_the_file_is_refused_with_its_line(out):
    label_utilities(FakeJudge(), pairs(), out)
    lines = out.read_text().splitlines()
    out.write_text("\n".join([*lines[:3], lines[3][:40], *lines[4:]]) + "\n")
    with pytest.raises(LabelError, match="line 4"):
        label_utilities(FakeJudge(), pairs(), out)


def test_ctrl_c_leaves_a_file_to_go_on_with(out):
    expected = whole(out)

    def stop(number):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_utilities(FakeJudge(), pairs(), out, chunk=10, progress=stop)
    manifest = read_manifest(out)
    assert not manifest["complete"] and 0 < manifest["counts"]["labels"] < 24
    label_utilities(FakeJudge(), pairs(), out)
    assert sorted(out.read_text().splitlines()) == expected
    assert read_manifest(out)["complete"]


def test_more_of_the_same_goes_on(out):
    label_utilities(FakeJudge(), pairs(3), out)
    assert label_utilities(FakeJudge(), pairs(6), out).labelled == 12


@pytest.mark.parametrize(
    "change",
    [
        {"judge": FakeJudge("another")},
        {"prompts": [Prompt("{passage} {question}", "{question}")]},
        {"options": LabelOptions(normalise="sum")},
    ],
)
def test_another_model_prompt_or_option_is_refused_and_nothing_changes(out, change):
    label_utilities(FakeJudge(), pairs(), out)
    before = out.read_bytes(), manifest_path(out).read_bytes()
    with pytest.raises(LabelError, match="another model, prompt or option.*another --out"):
        label_utilities(**{"judge": FakeJudge(), "pairs": pairs(), "out": out, **change})
    assert (out.read_bytes(), manifest_path(out).read_bytes()) == before


def test_other_pairs_are_refused(out):
    label_utilities(FakeJudge(), pairs(6), out)
    with pytest.raises(LabelError, match="does not ask for"):
        label_utilities(FakeJudge(), pairs(3), out)


def test_two_writers(out):
    with LabelFile(out).lock(), pytest.raises(IndexBusyError, match="another process"):
        label_utilities(FakeJudge(), pairs(), out)


def test_nothing_to_do_and_pairs_twice(out):
    with pytest.raises(InvalidInputError, match="nothing to label"):
        label_utilities(FakeJudge(), [], out)
    with pytest.raises(InvalidInputError, match="twice"):
        label_utilities(FakeJudge(), pairs() + pairs(1), out)
    with pytest.raises(InvalidInputError, match="chunk"):
        label_utilities(FakeJudge(), pairs(), out, chunk=0)
    assert not out.exists()


def test_a_full_disk_leaves_whole_lines(out, monkeypatch):
    label_utilities(FakeJudge(), pairs(2), out)
    before = out.read_bytes()
    labels = list(read_labels(out))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("uec_retriever.utility_labeler.files.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        LabelFile(out).append(label.to_json() for label in labels)
    assert out.read_bytes() == before


def test_pairs_of_a_passage_stay_together():
    chunks = list(make_chunks(pairs(6, passages=4), 10))
    assert [len(c) for c in chunks] == [6, 6, 6, 6]
    assert all(len({p.candidate.passage_id for p in c}) == 1 for c in chunks)
    assert [len(c) for c in make_chunks(pairs(6, passages=4), 12)] == [12, 12]
    assert [len(c) for c in make_chunks(pairs(3, passages=4), 1)] == [3, 3, 3, 3]


def test_sigkill_at_any_moment_loses_nothing_and_repeats_nothing(out):
    made = pairs(4, passages=14)
    expected = whole(out, made)
    context = multiprocessing.get_context("forkserver")  # processes that start fast
    multiprocessing.set_forkserver_preload(["uec_retriever.utility_labeler.run"])
    forkserver.ensure_running()
    draw, kills = random.Random(0), 0
    for _ in range(60):
        process = context.Process(target=label_slowly, args=(out, 0.02))
        process.start()
        before, deadline = out.stat().st_size if out.exists() else 0, time.monotonic() + 60
        while process.is_alive() and time.monotonic() < deadline:  # let every attempt get somewhere
            if (out.stat().st_size if out.exists() else 0) > before:
                break
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.2))
        process.kill()
        process.join()
        if process.exitcode == 0:
            break
        kills += 1
        for line in out.read_text().splitlines()[:-1]:
            json.loads(line)
    assert kills >= 3
    assert process.exitcode == 0 or label_utilities(FakeJudge(), made, out).pairs == 56
    assert sorted(out.read_text().splitlines()) == expected
    assert read_manifest(out)["complete"]
