"""Making an index equal to a corpus; oracle: an index made of that corpus alone."""

import pytest

from tests.engine.small import contents, numbered
from uec_retriever.data.records import Record
from uec_retriever.engine.add import CHUNK
from uec_retriever.engine.results import AddReport
from uec_retriever.engine.sync import SyncReport
from uec_retriever.errors import IdConflictError, InvalidInputError, NumericalError

OLD = [
    Record("a", "the wing"),
    Record("b", "flow heat", {"n": 1}),
    Record("c", "red bird"),
    Record("d", "cat"),
]
NEW = [
    Record("e", "dog"),
    Record("a", "the wing"),
    Record("b", "flow heat", {"n": 2}),
    Record("c", "blue bird"),
]


def test_an_index_becomes_equal_to_the_corpus_and_then_stays_so(make, encoded):
    engine = make("static")
    engine.add_records(OLD)
    texts = encoded(engine)
    report = engine.sync(iter(NEW))
    assert report == SyncReport(AddReport(added=1, updated=2, unchanged=1), deleted=1, before=4, after=4)
    assert report.deleted_ids == ("d",)
    assert contents(engine) == {r.id: r for r in NEW}
    assert texts == ["dog", "blue bird"]
    again = engine.sync(NEW)
    assert again == SyncReport(AddReport(unchanged=4), deleted=0, before=4, after=4)


def test_words_of_what_is_gone_find_nothing(make):
    engine = make("static")
    engine.add_records(OLD)
    assert engine.search("cat", 4).hits[0].id == "d"
    engine.sync(NEW)
    assert "d" not in {hit.id for hit in engine.search("cat", 9)}
    assert not engine.search("cat", 9).words.terms & {"red"}


def broken(error):
    yield from NEW[:2]
    raise error


@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyboardInterrupt()], ids=repr)
def test_a_corpus_that_breaks_off_deletes_nothing(make, error):
    engine = make("static")
    engine.add_records(OLD)
    with pytest.raises(type(error)):
        engine.sync(broken(error))
    assert {r.id for r in OLD} <= set(contents(engine))
    engine.sync(NEW)
    assert contents(engine) == {r.id: r for r in NEW}


def test_a_corpus_that_cannot_be_stored_whole_deletes_nothing(make, monkeypatch):
    engine = make("static")
    engine.add_records(OLD)
    twice = [*numbered(CHUNK + 1), Record("000003", "another text")]
    with pytest.raises(IdConflictError, match="'000003' is given twice"):
        engine.sync(twice)
    assert {r.id for r in OLD} <= set(contents(engine))

    def fail(*arguments, **options):
        raise NumericalError("no direction", None)

    monkeypatch.setattr("uec_retriever.engine.add.encode", fail)
    with pytest.raises(NumericalError):
        engine.sync([Record("new", "a new text")])
    assert {r.id for r in OLD} <= set(contents(engine))


def test_an_empty_corpus_is_refused_and_deletes_nothing(make):
    engine = make("static")
    engine.add_records(OLD)
    with pytest.raises(InvalidInputError, match="the corpus is empty: nothing was deleted"):
        engine.sync(iter([]))
    assert engine.count() == 4


def test_what_is_added_meanwhile_stays(make):
    engine = make("static")
    engine.add_records(OLD)

    def corpus():
        yield from NEW
        store = engine.store
        other = store.stored(["a"])["a"]
        store.put([Record("z", "of another process")], other.mean[None], [other.variance])

    assert engine.sync(corpus()).after == 5
    assert set(contents(engine)) == {"a", "b", "c", "e", "z"}
