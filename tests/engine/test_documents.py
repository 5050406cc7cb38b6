"""Documents in pieces: the new pieces take the place of all old ones; oracle: an index of the new documents alone."""

import pytest

from tests.engine.small import contents
from uec_retriever.data.records import Record
from uec_retriever.data.splitting import Splitter, Window
from uec_retriever.engine.add import CHUNK
from uec_retriever.engine.estimate import estimate
from uec_retriever.engine.location import Location
from uec_retriever.engine.results import AddReport
from uec_retriever.errors import IdConflictError, InvalidInputError
from uec_retriever.store.chroma import ChromaStore

RULES = ("replace", "refuse", "skip")


def splitter():
    return Splitter([Window(40, lambda text: len(text.split()))], 20)


def text(length, word="wing"):
    return " ".join(f"{word} {i}." for i in range(length))


def pieces(*documents):
    """Records of (id, text), in pieces of ten sentences."""
    split = splitter()
    return [piece for each in documents for piece in split.records(Record(*each))]


def whole(*documents):
    return [Record(*each) for each in documents]


OTHER = ("other", text(30, "bird"))
LONG, GROWN, SHORT = ("m.md", text(55)), ("m.md", text(99, "flow")), ("m.md", text(25, "heat"))
FITS = ("m.md", "the wing")
CHANGES = {
    "shortened": (pieces(LONG), pieces(SHORT)),
    "cut off": (pieces(LONG), pieces(("m.md", text(20)))),
    "grown": (pieces(LONG), pieces(GROWN)),
    "fits now": (pieces(LONG), pieces(FITS)),
    "fitted before": (pieces(FITS), pieces(LONG)),
    "no longer split": (pieces(LONG), whole(LONG)),
    "split now": (whole(LONG), pieces(LONG)),
}
changes = pytest.mark.parametrize("old, new", CHANGES.values(), ids=CHANGES)


@pytest.mark.parametrize("stream", [list, iter])
@changes
def test_a_changed_document_takes_the_place_of_the_old_one_whole(make, old, new, stream, caplog):
    engine = make("static")
    engine.add_records([*pieces(OTHER), *old])
    gone = {r.id for r in old} - {r.id for r in new}
    with caplog.at_level("INFO", "uec_retriever"):
        report = engine.add_records(stream([*new, *pieces(OTHER)]))
    assert contents(engine) == {r.id: r for r in [*pieces(OTHER), *new]}
    assert report.deleted == len(gone) and set(report.deleted_ids) <= gone
    assert report.added + report.updated + report.unchanged == len(new) + len(pieces(OTHER))
    assert ("parts of documents that have other content now were deleted" in caplog.text) == bool(gone)
    assert {h.id for h in engine.search("wing 9", 99)} == set(contents(engine))
    assert engine.add_records(stream(new)) == AddReport(unchanged=len(new))


@pytest.mark.parametrize("stream", [list, iter])
@changes
def test_a_changed_document_is_refused_or_skipped_whole_on_request(make, encoded, old, new, stream):
    engine = make("static")
    engine.add_records(old)
    texts = encoded(engine)
    with pytest.raises(IdConflictError, match="'m.md'.*existing='replace'"):
        engine.add_records(stream([*new, *pieces(OTHER)]), existing="refuse")
    assert contents(engine) == {r.id: r for r in old} and texts == []
    report = engine.add_records(stream([*new, *pieces(OTHER)]), existing="skip")
    assert (report.added, report.skipped, report.deleted) == (len(pieces(OTHER)), len(new), 0)
    assert contents(engine) == {r.id: r for r in [*old, *pieces(OTHER)]}


@pytest.mark.parametrize("existing", RULES)
def test_a_document_of_many_chunks_is_one_document(make, existing, monkeypatch):
    monkeypatch.setattr("uec_retriever.engine.add.CHUNK", 3)
    engine, old, new = make("static"), pieces(OTHER, LONG), pieces(SHORT, ("third", text(35, "cat")))
    engine.add_records(old)
    assert engine.add_records(iter(old), existing=existing) == AddReport(unchanged=len(old))
    if existing == "refuse":
        with pytest.raises(IdConflictError):
            engine.add_records(iter(new), existing=existing)
        return
    engine.add_records(iter(new), existing=existing)
    kept = [r for r in (new if existing == "replace" else [*new, *old]) if r.source == "m.md"]
    third = [r for r in new if r.source == "third"]
    expected = {r.id: r for r in [*pieces(OTHER), *third, *kept]}
    assert contents(engine) == expected


@pytest.mark.parametrize("existing", RULES)
def test_pieces_of_a_list_may_come_in_any_order(make, existing, monkeypatch):
    monkeypatch.setattr("uec_retriever.engine.add.CHUNK", 3)
    engine, records = make("static"), pieces(OTHER, LONG)
    mixed = records[::2] + records[1::2]
    engine.add_records(mixed, existing=existing)
    assert engine.add_records(mixed, existing=existing) == AddReport(unchanged=len(records))
    assert contents(engine) == {r.id: r for r in records}


def test_a_document_that_is_stored_in_part_is_completed_by_every_rule(make):
    for existing in RULES:
        engine, records = make("static", folder=existing), pieces(LONG)
        engine.add_records(records[:2])
        report = engine.add_records(iter(records), existing=existing)
        assert report == AddReport(added=len(records) - 2, unchanged=2)


@pytest.mark.parametrize("new", [pieces(SHORT), pieces(FITS)], ids=["pieces", "whole"])
def test_a_kill_before_the_old_pieces_are_deleted_loses_nothing_and_is_mended(make, monkeypatch, new):
    engine = make("static")
    engine.add_records(pieces(LONG))

    def killed(store, ids):
        monkeypatch.undo()
        store.delete(ids[2:])
        raise KeyboardInterrupt

    monkeypatch.setattr("uec_retriever.engine.add._DELETED", 4)
    monkeypatch.setattr(ChromaStore, "delete", killed)
    with pytest.raises(KeyboardInterrupt):
        engine.add_records(new)
    assert {r.id for r in new} < set(contents(engine))
    assert engine.add_records(new).deleted > 0
    assert contents(engine) == {r.id: r for r in new}


def test_a_stream_that_breaks_off_deletes_nothing(make):
    def broken():
        yield from pieces(SHORT)[:1]
        raise OSError("the disk is gone")

    engine = make("static")
    engine.add_records(pieces(LONG))
    with pytest.raises(OSError):
        engine.add_records(broken())
    assert contents(engine) == {r.id: r for r in pieces(LONG)}


def test_parts_of_a_document_one_call_after_the_other(make):
    engine = make("static")
    for piece in pieces(LONG):
        engine.add_records([piece], whole=False)
    assert contents(engine) == {r.id: r for r in pieces(LONG)}


def test_another_text_whose_id_looks_like_that_of_a_piece_stays(make):
    engine, records = make("static"), whole(("a", "the wing"), ("a#0000", "flow"), ("a#0001", "heat"))
    engine.add_records(records)
    engine.add_records(pieces(("a", text(40))) + whole(("b", "cat")), existing="replace")
    assert contents(engine)["a#0000"].source == "a" and "a" not in contents(engine)
    other = make("static", folder="other")
    other.add_records(records)
    assert other.add_records(whole(("a", "bird"))) == AddReport(updated=1)
    assert set(contents(other)) == {"a", "a#0000", "a#0001"}


def test_sync_and_copies_leave_what_they_should(make):
    engine, copy = make("static"), make("static", folder="copy")
    engine.add_records([*pieces(LONG), *pieces(OTHER)])
    assert engine.copy_to(copy) == AddReport(added=engine.count())
    gone = len(pieces(LONG)) - len(pieces(SHORT)) + len(pieces(OTHER))
    assert engine.sync(pieces(SHORT)).deleted == gone
    assert contents(engine) == {r.id: r for r in pieces(SHORT)}


def test_what_documents_cost(make, monkeypatch):
    """One more call to Chroma for each chunk with documents in pieces, none for texts without a source."""
    filters, real = [], ChromaStore.ids
    monkeypatch.setattr(
        ChromaStore, "ids", lambda store, where=None: filters.append(where) or real(store, where)
    )
    engine, many = make("static"), [pieces((f"{i}", text(25))) for i in range(CHUNK)]
    engine.add([f"wing {i}" for i in range(2 * CHUNK)])
    assert not any(filters)
    records = [piece for each in many for piece in each]
    engine.add_records(records)
    assert 1 <= sum(map(bool, filters)) <= -(-len(records) // CHUNK)


@pytest.mark.parametrize("existing", RULES)
@changes
def test_an_estimate_tells_what_becomes_of_it(make, tmp_path, old, new, existing):
    engine = make("static")
    engine.add_records([*old, *pieces(OTHER)])
    records = [*new, *whole(("new", "cat"))]
    told = estimate(iter(records), None, Location(tmp_path / "index"), existing=existing)
    if existing == "refuse":
        assert told.skipped == len(new)
        with pytest.raises(IdConflictError):
            engine.add_records(iter(records), existing=existing)
        return
    found = engine.add_records(iter(records), existing=existing)
    assert (told.texts, told.changed + told.retold) == (
        found.added + found.updated - told.retold,
        found.updated,
    )
    assert (told.unchanged, told.skipped, told.deleted) == (found.unchanged, found.skipped, found.deleted)
    assert told.before + found.added - found.deleted == engine.count()


def test_an_unknown_rule_is_refused(make):
    with pytest.raises(InvalidInputError, match="existing must be one of"):
        make("static").add_records(pieces(LONG), existing="update")
