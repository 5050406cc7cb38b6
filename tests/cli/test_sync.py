"""`uec index` on an index that is there: what is replaced, kept, deleted, and what is said of it."""

import json

import pytest

from tests.cli.conftest import WORDS, refused
from uec_retriever.cli.indexed import tell_fitting
from uec_retriever.data.pairs import CalibrationPairs
from uec_retriever.engine.engine import Engine


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, documents):
    path.write_text("".join(json.dumps(row) + "\n" for row in documents))
    return path


@pytest.fixture
def changed(corpus):
    """The corpus without its first two documents, the third with another text, and a new one."""
    path = corpus(60)
    documents = rows(path)[2:]
    documents[0]["text"] = "another text altogether"
    return write(path, [*documents, {"_id": "new", "text": "a new text"}])


def texts(index):
    with Engine.open(index) as engine:
        return {r.id: r.text for r in engine.get()}


def flat(output):
    return " ".join(output.split())


def test_sync_makes_the_index_equal_to_the_corpus(uec, index, changed):
    arguments = ("index", "--index", index, "--corpus", changed, "--sync")
    before = texts(index)
    would = flat(uec(*arguments, "--dry-run").out)
    assert "2 texts to embed, 1 of them changed, which would replace others, 57 unchanged" in would
    assert "2 texts in the index are not in this corpus and would be deleted: d0, d1" in would
    assert "60 texts in the index now, 59 then" in would
    assert texts(index) == before
    told = flat(uec(*arguments).out)
    assert "1 added, 1 updated, 57 unchanged, 2 deleted; 59 texts in the index, 60 before" in told
    assert "as their ids were there with other content: d2" in told
    assert "as the corpus no longer holds them: d0, d1" in told
    now = texts(index)
    assert set(now) == {row["_id"] for row in rows(changed)} and now["d2"].endswith("another text altogether")
    again = json.loads(uec(*arguments, "--json").out)
    assert (again["unchanged"], again["deleted"], again["before"], again["count"]) == (59, 0, 59, 59)


def test_without_sync_what_the_corpus_lacks_is_told_and_stays(uec, index, changed):
    would = flat(uec("index", "--index", index, "--corpus", changed, "--dry-run").out)
    assert "2 texts in the index are not in this corpus and would stay" in would
    outcome = uec("index", "--index", index, "--corpus", changed)
    assert "note: 2 texts in the index are not in this corpus: d0, d1; --sync deletes" in flat(outcome.err)
    assert len(texts(index)) == 61
    told = json.loads(uec("index", "--index", index, "--corpus", changed, "--json").out)
    assert (told["absent"], told["absent_ids"], told["deleted"]) == (2, ["d0", "d1"], 0)


@pytest.mark.parametrize(
    "broken", ["{", '{"_id": "d2", "text": "twice"}', '{"_id": "bad", "text": "t", "m": [[1]]}']
)
def test_a_corpus_that_cannot_be_read_to_its_end_deletes_nothing(uec, index, changed, broken):
    changed.write_text(changed.read_text() + broken + "\n")
    refused(uec("index", "--index", index, "--corpus", changed, "--sync"))
    assert {f"d{i}" for i in range(60)} <= set(texts(index))


def test_an_empty_corpus_deletes_nothing(uec, index, changed):
    changed.write_text("")
    refused(uec("index", "--index", index, "--corpus", changed, "--sync"), "is empty: it holds no text")
    assert len(texts(index)) == 60


@pytest.mark.parametrize(("rule", "says"), [("replace", "0 skipped"), ("skip", "60 skipped"), ("refuse", "")])
def test_one_rule_for_ids_that_are_there(uec, index, corpus, rule, says):
    before, other = texts(index), corpus(60, word="document")
    options = [] if rule == "replace" else ["--existing", rule]
    outcome = uec("index", "--index", index, "--corpus", other, *options)
    if rule == "refuse":
        refused(outcome, "60 ids are in the index", "'d0', 'd1', 'd2'", "--existing replace")
    else:
        assert ("60 skipped" in outcome.out) == (rule == "skip") and says in outcome.out + "0 skipped"
        assert ("60 updated" in outcome.out) == (rule == "replace")
    assert (texts(index) == before) == (rule != "replace")


def test_the_former_option_is_taken_and_contradictions_are_not(uec, index, corpus):
    other = corpus(60, word="document")
    wrong = uec("index", "--index", index, "--corpus", other, "--sync", "--existing", "skip")
    refused(wrong, "--existing", code=2)
    outcome = uec("index", "--index", index, "--corpus", other, "--update")
    assert "60 updated" in outcome.out and "--update is deprecated" in outcome.err


def test_bad_metadata_are_refused_with_the_id_and_the_key(uec, index, corpus):
    path = write(
        corpus(60), [{"_id": "d1", "text": "t", "metadata": {"when": [{"year": 2020}], "none": None}}]
    )
    outcome = uec("index", "--index", index, "--corpus", path)
    refused(outcome, "corpus.jsonl, line 1", "the metadata of 'd1', key 'when': dict", "json.dumps")


def test_a_title_is_not_put_before_a_text_that_begins_with_it(uec, index, tmp_path):
    documents = [
        {"_id": "a", "title": "Boundary Layers", "text": "# Boundary layers\nThey are thin."},
        {"_id": "b", "title": "Boundary", "text": "Boundaryless flow."},
    ]
    assert uec("index", "--index", index, "--corpus", write(tmp_path / "t.jsonl", documents)).code == 0
    found = texts(index)
    assert (found["a"], found["b"]) == ("# Boundary layers\nThey are thin.", "Boundary Boundaryless flow.")


@pytest.fixture
def outgrown(uec, models, corpus, tmp_path):
    """An index that was calibrated on 100 texts and has 200 now, with what was said when it grew."""
    arguments = ("index", "--index", tmp_path / "i", "--expert", f"one={models['bert']}")
    made = uec(*arguments, "--corpus", corpus(100))
    assert made.code == 0 and "stale" not in made.err
    assert (
        "a new index: first fit 1 expert on 100 pairs (title), 20 of them held out for calibration"
        in flat(made.err)
    )
    assert "calibrated on 20 pairs: title; fitting took" in flat(made.out)
    return tmp_path / "i", flat(uec(*arguments, "--corpus", corpus(200)).err)


def test_an_index_that_has_outgrown_its_calibration_says_so(uec, outgrown):
    index, told = outgrown
    said = "the calibration is stale: it was made when there were 100 texts, and the index has 200 now: 'uec recalibrate'"
    assert said in told
    assert said in flat(uec("info", "--index", index).out)
    assert "calibrated on 20 pairs: title, when there were 100 texts" in flat(
        uec("info", "--index", index).out
    )
    assert json.loads(uec("info", "--index", index, "--json").out)["stale"] is True


def test_recalibrating_tells_what_changed_and_is_fresh(uec, outgrown):
    index, _ = outgrown
    before = json.loads(uec("info", "--index", index, "--json").out)
    outcome = uec("recalibrate", "--index", index)
    out = flat(outcome.out)
    assert "before: on 20 pairs: title, of 100 texts now: on 200 pairs: first sentence + title" in out
    assert "(recalibrated), of 200 texts what changed before now temperature" in out
    assert "trust in one" in out and "variances of one, times 1 " in out
    now = json.loads(uec("info", "--index", index, "--json").out)
    assert (now["stale"], now["records"]) == (False, 200)
    told = json.loads(uec("recalibrate", "--index", index, "--json").out)
    assert told["before"]["experts"] == now["experts"] and told["before"]["reference"] == now["reference"]
    assert now["experts"] != before["experts"]


@pytest.mark.parametrize("number", [1, 11])
def test_any_corpus_of_one_text_and_more_is_indexed_and_says_what_it_is_calibrated_on(
    uec, models, tmp_path, number
):
    folder = tmp_path / "files"
    folder.mkdir()
    for i in range(number):
        (folder / f"{i}.txt").write_text(f"The {WORDS[i]} of the {WORDS[i + 1]}. What is {WORDS[i + 2]}?")
    made = uec("index", "--index", tmp_path / "i", "--corpus", folder, "--expert", models["bert"])
    assert made.code == 0, made.err
    assert f"{number} added" in made.out and "documentation of the Python standard library" in flat(made.out)
    found = json.loads(uec("search", "--index", tmp_path / "i", "--json", f"The {WORDS[0]}").out)
    assert len(found["hits"]) == min(number, 10)


@pytest.fixture
def pieces(index, tmp_path, uec):
    """Arguments that index a folder of one file, of three pieces at least; the index has them."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "m.md").write_text(" ".join(f"The wing of bird {i} is large." for i in range(40)))
    arguments = ("index", "--index", index, "--corpus", folder, "--split-tokens", 64)
    assert uec(*arguments).code == 0
    assert sum(i.startswith("m.md#") for i in texts(index)) > 2
    return arguments


def test_a_document_that_changed_leaves_none_of_its_old_pieces(uec, index, pieces, tmp_path):
    before = {i for i in texts(index) if i.startswith("m.md")}
    (tmp_path / "docs" / "m.md").write_text("It fits now.")
    for rule in ("skip", "refuse"):
        uec(*pieces, "--existing", rule)
        assert {i for i in texts(index) if i.startswith("m.md")} == before
    would = flat(uec(*pieces, "--dry-run").out)
    assert "1 texts to embed, 0 unchanged" in would
    assert (
        f"{len(before)} texts in the index would be deleted, as parts of documents that have other" in would
    )
    told = uec(*pieces)
    assert f"1 added, 0 updated, 0 unchanged, {len(before)} deleted; 61 texts" in flat(told.out)
    assert "deleted, as the corpus no longer holds them: m.md#0000, m.md#0001" in flat(told.out)
    assert "note: 60 texts in the index are not in this corpus" in flat(told.err)
    assert {i for i in texts(index) if i.startswith("m.md")} == {"m.md"}
    (tmp_path / "docs" / "m.md").write_text(" ".join(f"The bird {i} flies." for i in range(60)))
    assert json.loads(uec(*pieces, "--json").out)["deleted"] == 1
    assert "m.md" not in texts(index) and "m.md#0002" in texts(index)


@pytest.mark.parametrize("rule", ["replace", "skip", "refuse"])
def test_a_dry_run_says_what_the_real_one_does(uec, index, changed, rule):
    arguments = ("index", "--index", index, "--corpus", changed, "--existing", rule)
    would = json.loads(uec(*arguments, "--dry-run", "--json").out)
    said = flat(uec(*arguments, "--dry-run").out)
    if rule == "refuse":
        assert would["skipped"] == 1
        assert "1 texts are there with other content, so that it would be refused" in said
        refused(uec(*arguments), "1 ids are in the index")
        return
    told = json.loads(uec(*arguments, "--json").out)
    assert would["texts"] == told["added"] + told["updated"]
    for name in ("unchanged", "skipped", "deleted", "absent", "absent_ids"):
        assert would[name] == told[name]
    assert ("1 texts are there with other content, and would be skipped" in said) == (rule == "skip")


def test_deleting_a_document_takes_all_its_pieces(uec, index, pieces):
    number = sum(i.startswith("m.md#") for i in texts(index))
    told = uec("delete", "--index", index, "--id", "m.md", "--id", "d1", "--id", "m.md#0001").out
    assert f"{number + 1} deleted; 59 texts" in told
    assert "not there" not in told
    assert not any(i.startswith("m.md") for i in texts(index))
    assert uec(*pieces).code == 0
    assert f"{number} deleted" in uec("delete", "--index", index, "--where", '{"path": "m.md"}', "--yes").out


@pytest.mark.parametrize(
    "corpus_size, said", [(3_000, "about 240 texts, 8% of the corpus"), (240, "240 texts"), (4, "240 texts")]
)
def test_what_fitting_costs_is_a_share_of_the_corpus_where_it_is_less(capsys, corpus_size, said):
    texts = [f"wing {i}" for i in range(160)]
    tell_fitting([None], CalibrationPairs(texts, texts, "title", corpus_size), 0)
    assert flat(capsys.readouterr().err).endswith(f"{said}")
