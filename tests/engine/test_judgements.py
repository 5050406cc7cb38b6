"""Judgements of an application: kept by a kill, and never spoilt by another line."""

import json
import logging
import math
import os

import chromadb
import numpy as np
import pytest

from tests.engine.recording import record_endlessly, record_many
from tests.engine.small import numbered, pairs, sentences
from uec_retriever.data.records import Record
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.judgements import Judgement, Judgements
from uec_retriever.engine.location import Location
from uec_retriever.engine.results import NO_EVIDENCE_ID
from uec_retriever.errors import InvalidInputError, StorageError
from uec_retriever.store.lexical_options import LexicalOptions


@pytest.fixture
def kept(tmp_path):
    return Judgements(tmp_path / "judgements" / "kept.jsonl")


@pytest.fixture
def file(kept, tmp_path):
    """Of `kept`, with one judgement in it."""
    kept.record([Judgement("what flies?", "d1")])
    return tmp_path / "judgements" / "kept.jsonl"


def test_what_is_recorded_is_read(kept):
    assert kept.read() == {}
    odd = 'zeilen\n"ümbruch"\u2028\r\\'
    kept.record([Judgement("one", "d1"), Judgement("one", "d2", 3), Judgement(odd, odd, 0.5)])
    assert kept.read() == {"one": {"d1", "d2"}, odd: {odd}}


def test_the_last_judgement_counts(kept):
    for value in (1, 0):
        kept.record([Judgement("one", "d1", value), Judgement("two", "d1", 1 - value)])
    assert kept.read() == {"two": {"d1"}}
    kept.record([Judgement("one", "d1", 2)])
    assert kept.values() == {("one", "d1"): 2.0, ("two", "d1"): 1.0}


def test_a_query_of_wrong_answers_alone_is_left_out(kept):
    """An empty set would say that the index has no answer."""
    kept.record([Judgement("one", "d1", 0), Judgement("two", "d1", 0), Judgement("two", "d2")])
    assert kept.read() == {"two": {"d2"}}


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_torn_line_spoils_only_itself(kept, file, cut, caplog):
    with file.open("rb+") as opened:
        opened.truncate(len(file.read_bytes()) - cut)
    kept.record([Judgement("after", "d2")])
    with caplog.at_level(logging.WARNING):
        assert kept.read() == ({"what flies?": {"d1"}} if cut == 1 else {}) | {"after": {"d2"}}
    assert len(caplog.records) == (0 if cut == 1 else 1)


SPOILT = [
    b"nonsense", b"\xff\xfe", b"[1]", b"{}", b'{"query": "q"}', b'{"query": "q", "id": 3}', b'{"query": " ", "id": "d"}',
    b'{"query": "\\ud800", "id": "d"}', b'{"query": "q", "id": "d", "value": -1}', b'{"query": "q", "id": "d", "value": NaN}',
    b'{"query": "q", "id": "d", "value": true}', b'{"query": "q", "id": "d", "value": 1e999}', b"[" * 9999,
]  # fmt: skip


def test_lines_that_are_no_judgements_are_passed_over_with_one_warning(kept, file, caplog):
    file.write_bytes(
        file.read_bytes() + b"\n".join(SPOILT) + b'\n{"query": "q", "id": "d", "when": "later"}\r\n'
    )
    with caplog.at_level(logging.WARNING):
        assert kept.read() == {"what flies?": {"d1"}, "q": {"d"}}
    [record] = caplog.records
    assert f"{len(SPOILT)} lines" in record.message and "line 3: " in record.message


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("", "d"), "query of a judgement is empty"),
        ((3, "d"), "query of a judgement is int"),
        (("\ud800", "d"), "query of a judgement has a lone surrogate"),
        (("q", 7), "id of a judgement is int"),
        (("q", ""), "id of a judgement is empty"),
        (("q", "d", -0.1), "value of a judgement must be a finite number >= 0"),
        (("q", "d", math.nan), "finite number"),
        (("q", "d", math.inf), "finite number"),
        (("q", "d", True), "finite number"),
        (("q", "d", "1"), "finite number"),
    ],
)
def test_what_is_no_judgement_is_refused(given, told):
    with pytest.raises(InvalidInputError, match=told):
        Judgement(*given)


def test_values_of_numpy_are_kept_as_numbers(kept):
    kept.record([Judgement(np.str_("q"), np.str_("d"), np.int64(2))])
    assert kept.values() == {("q", "d"): 2.0}


def test_a_folder_that_cannot_be_written_says_what_to_do(kept, file, monkeypatch):
    content = file.read_bytes()
    for path in (
        file / "below" / "kept.jsonl",
        file.parent / "gone" / "judgements" / "kept.jsonl",
        file.parent,
    ):
        with pytest.raises(StorageError, match="cannot record judgements.*labelled="):
            Judgements(path).record([Judgement("q", "d")])
    with pytest.raises(StorageError, match="cannot read judgements"):
        Judgements(file.parent).read()
    monkeypatch.setattr(os, "write", lambda descriptor, data: len(data) - 1)
    with pytest.raises(StorageError, match="make room"):
        kept.record([Judgement("q", "d")])
    assert file.read_bytes() == content


def test_others_get_what_they_do_not_judge(kept, file, tmp_path):
    other = Judgements(tmp_path / "other.jsonl")
    other.record([Judgement("what flies?", "d2"), Judgement("q", "d", 0)])
    kept.record([Judgement("q", "d", 1)])
    for _ in range(2):
        kept.copy_to(other)
        assert (tmp_path / "other.jsonl").read_text().count('"query"') == 3
        assert other.values() == {("what flies?", "d1"): 1, ("what flies?", "d2"): 1, ("q", "d"): 0}


def test_a_kill_keeps_what_was_acknowledged(kept, file, processes):
    receiver, sender = processes.Pipe(duplex=False)
    child = processes.Process(target=record_endlessly, args=(file, sender))
    child.start()
    sender.close()
    acknowledged = [receiver.recv() for _ in range(300)]
    child.kill()
    child.join()
    with pytest.raises(EOFError):
        while True:
            acknowledged.append(receiver.recv())
    found = kept.read()
    assert {f"query {n}": {f"id{n}"} for n in acknowledged}.items() <= found.items()
    assert 0 <= len(found) - 1 - len(acknowledged) <= 1  # one may be recorded and not acknowledged


def test_processes_record_at_once(kept, file, processes, caplog):
    children = [processes.Process(target=record_many, args=(file, process, 200)) for process in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    with caplog.at_level(logging.WARNING):
        found = kept.read()
    assert not caplog.records and [c.exitcode for c in children] == [0] * 4
    del found["what flies?"]
    assert len(found) == 200 and all(ids == {"id0", "id1", "id2", "id3"} for ids in found.values())


def test_an_engine_records_and_gives_back_what_it_holds(make, reopen, tmp_path, caplog):
    engine = make("static")
    engine.add_records(numbered(20))
    assert engine.judgements() == {}
    engine.record_judgement("cat", "000003")
    engine.record_judgement("cat", "000004", 0)
    engine.record_judgement("wing", "000005", value=2)
    assert engine.judgements() == {"cat": {"000003"}, "wing": {"000005"}}
    engine.delete(["000005"])
    with caplog.at_level(logging.WARNING):
        assert engine.judgements() == {"cat": {"000003"}}
    [told] = [r.getMessage() for r in caplog.records if "judgements" in r.getMessage()]
    assert "passing over 1 of 2 judgements" in told and "e.g. '000005'" in told
    [file] = (tmp_path / "index" / "judgements").iterdir()
    assert file.stem == str(engine.store.collection.id)
    assert [json.loads(line)["id"] for line in file.read_text().split("\n") if line][-1] == "000005"
    with pytest.raises(InvalidInputError, match="finite number"):
        engine.record_judgement("cat", "000003", -1)
    engine.close()
    with reopen(tmp_path / "index") as again:
        assert again.judgements() == {"cat": {"000003"}}


@pytest.mark.parametrize("value", [0, 1])
def test_an_id_that_the_index_does_not_hold_is_refused_and_nothing_is_recorded(make, value):
    engine = make("static")
    engine.add_records(numbered(5))
    for unknown in ("00003", "000003 ", "000003#0000", NO_EVIDENCE_ID):
        with pytest.raises(InvalidInputError, match=f"neither a text nor a document of the id '{unknown}'"):
            engine.record_judgement("cat", unknown, value)
    engine.delete(["000003"])
    with pytest.raises(InvalidInputError, match="deleted"):
        engine.record_judgement("cat", "000003", value)
    assert engine._judgements.values() == {}


def pieces(document, number, seed=0):
    texts = sentences(number, seed)
    return [Record(f"{document}#{i:04}", text, source=document) for i, text in enumerate(texts)]


def test_a_document_is_judged_by_its_pieces(make):
    engine = make("static")
    engine.add_records([*pieces("one", 3), *pieces("two", 2, 1), Record("whole", "cat dog")])
    for query, judged in (("a", "one"), ("b", "two#0001"), ("c", "two"), ("c", "whole")):
        engine.record_judgement(query, judged)
    wanted = {"a": {"one#0000", "one#0001", "one#0002"}, "b": {"two#0001"}}
    assert engine.judgements() == {**wanted, "c": {"two#0000", "two#0001", "whole"}}
    engine.record_judgement("a", "one#0001", 0)
    wanted["a"].remove("one#0001")
    assert engine.judgements()["a"] == wanted["a"]
    engine.delete(["two#0001"])
    assert engine.judgements() == {"a": wanted["a"], "c": {"two#0000", "whole"}}
    engine.add_records(pieces("whole", 2))  # split by now: what was judged is one of its pieces
    assert engine.judgements()["c"] == {"two#0000", "whole#0000", "whole#0001"}


def test_labels_name_documents_as_well_as_pieces(make):
    """So that the ids of a corpus do for an index of it that is in pieces."""
    engine = make("static")
    documents = [pieces(f"d{i}", 3, i) for i in range(50)]
    engine.add_records(piece for document in documents for piece in document)
    queries = {" ".join(document[1].text.split()[:3]): document for document in documents}
    by_document = {query: {document[0].source} for query, document in queries.items()}
    by_piece = {query: {piece.id for piece in document} for query, document in queries.items()}
    by_either = {q: by_piece[q] if i % 2 else by_document[q] for i, q in enumerate(queries)}
    told = []
    for labelled in (by_document, by_piece, by_either):
        report = engine.calibrate_confidence(labelled=labelled, k=5)
        assert report.hit_rate > 0.5
        covered = engine.calibrate_coverage(labelled)
        assert covered.unanswered == 0
        share = engine.recalibrate_share(labelled)
        engine.use_words(LexicalOptions())
        told.append((report, covered, share))
    assert told[0] == told[1] == told[2]


def test_judgements_are_recorded_while_another_writes(make, tmp_path):
    engine = make("static")
    engine.add_records(numbered(5))
    with Engine.open(tmp_path / "index", device="cpu") as other, other._writing():
        engine.record_judgement("cat", "000003")
    assert engine._judgements.read() == {"cat": {"000003"}}


def test_judgements_go_along_to_another_index(make, experts):
    one, other = make("static"), make("bert", folder="other")
    one.add_records(numbered(5))
    one.record_judgement("cat", "000003")
    for _ in range(2):
        one.copy_to(other)
    assert other.judgements() == {"cat": {"000003"}}
    with Engine.create(Location(), experts("static"), pairs()) as passing:
        one.copy_to(passing)
        passing.copy_to(other)


def test_collections_of_a_folder_have_their_own(create):
    one, other = create("static"), create("static", collection="other")
    one.add_records(numbered(5))
    other.add_records(numbered(5))
    one.record_judgement("cat", "000003")
    assert (one.judgements(), other.judgements()) == ({"cat": {"000003"}}, {})


def test_an_index_that_does_not_last_refuses_them(experts, tmp_path):
    client = chromadb.EphemeralClient()
    for place in (
        Location(),
        Location(client=client, collection="fleeting"),
        Location(tmp_path, client=client, collection="also-fleeting"),
    ):
        with Engine.create(place, experts("static"), pairs()) as engine:
            with pytest.raises(InvalidInputError, match=r"path=.*labelled="):
                engine.record_judgement("cat", "000003")
            with pytest.raises(InvalidInputError, match="labelled="):
                engine.judgements()
