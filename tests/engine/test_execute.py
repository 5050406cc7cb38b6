"""Encoding elsewhere (`execute`), by whoever reads chunks ahead of what is stored."""

import pytest

from tests.engine.small import contents, equal, numbered
from uec_retriever.data.records import Record
from uec_retriever.engine.results import AddReport
from uec_retriever.errors import IdConflictError, InvalidInputError

SIZE = 16


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("uec_retriever.engine.add.CHUNK", SIZE)


def ahead(ensemble, chunks, batch_size, progress):
    """Encodes nothing before it has all chunks, or one of them raises."""
    read, failure = [], None
    try:
        read.extend(chunks)
    except Exception as error:
        failure = error
    for texts in read:
        yield ensemble.encode_documents(texts, batch_size=batch_size) if texts else None
        progress(len(texts))
    if failure:
        raise failure


FIRST = numbered(2 * SIZE)
TOLD = [Record(r.id, r.text, {"m": 1}) for r in FIRST[:SIZE]]
OTHER = [Record(r.id, "a red bird", {}) for r in FIRST[:SIZE]]
PAID = [Record(r.id, r.text, {"m": 1}, payload="kept", source="document") for r in FIRST[:SIZE]]
LATER = [Record(r.id, r.text, {"m": 2}) for r in FIRST[:SIZE]]


@pytest.mark.parametrize("there", [[], FIRST, OTHER, PAID], ids=["none", "same", "other", "paid"])
@pytest.mark.parametrize(
    "records", [[*FIRST, *FIRST], [*TOLD, *FIRST[SIZE:], *TOLD], [*LATER, *numbered(SIZE, 100), *LATER[5:]]]
)
def test_whoever_reads_ahead_changes_nothing(make, there, records):
    engine, plain = make("static"), make("static", folder="plain")
    told = {True: [], False: []}
    for each in (engine, plain):
        each.add_records(there)
    report = engine.add_records(records, execute=ahead, progress=told[True].append)
    assert report == plain.add_records(records, progress=told[False].append)
    assert report.added + report.updated + report.unchanged == len({r.id for r in records})
    assert sum(told[True]) == pytest.approx(sum(told[False])) == len(records)
    equal(engine, plain)


def test_what_is_refused_leaves_what_came_before(make):
    engine = make("static")
    with pytest.raises(IdConflictError, match="'000000'"):
        engine.add_records([*FIRST, *OTHER, *numbered(SIZE, 100)], execute=ahead)
    assert set(contents(engine)) == {r.id for r in FIRST}

    def torn():
        yield from numbered(3 * SIZE)
        raise InvalidInputError("line 49 is no JSON")

    with pytest.raises(InvalidInputError, match="line 49"):
        engine.add_records(torn(), execute=ahead)
    assert set(contents(engine)) == {r.id for r in numbered(3 * SIZE)}


def test_nothing_new_is_nothing_to_encode(make):
    engine = make("static")
    engine.add_records(FIRST)

    def none(ensemble, chunks, batch_size, progress):
        assert list(chunks) == []
        yield from ()

    assert engine.add_records(FIRST, execute=none) == AddReport(unchanged=2 * SIZE)


@pytest.mark.parametrize("drop", [0, 1, 2])
def test_whoever_gives_too_little_or_too_much_is_refused(make, drop):
    def uneven(ensemble, chunks, batch_size, progress):
        for number, encoded in enumerate(ahead(ensemble, chunks, batch_size, progress)):
            if drop == 0 and number == 1:
                return
            if drop != 1 or number != 1:
                yield encoded
        if drop == 2:
            yield encoded

    engine = make("static")
    with pytest.raises(InvalidInputError, match="what each chunk of texts is"):
        engine.add_records(FIRST, execute=uneven)
    assert engine.add_records(FIRST).added == (SIZE if drop < 2 else 0)


def test_chunks_that_nobody_reads_are_missed(make):
    def lazy(ensemble, chunks, batch_size, progress):
        yield ensemble.encode_documents(next(iter(chunks)), batch_size=batch_size)

    with pytest.raises(InvalidInputError, match="not all texts are stored"):
        make("static").add_records(FIRST, execute=lazy)
