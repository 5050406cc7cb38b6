"""Documents found by their pieces."""

import pytest

from tests.engine.small import load, pairs, sentences
from uec_retriever.data.records import Record
from uec_retriever.engine.engine import Engine
from uec_retriever.engine.grouping import document_of
from uec_retriever.errors import InvalidInputError

TEXTS = sentences(80, 1)


@pytest.fixture(scope="module")
def engine(models, tmp_path_factory):
    made = Engine.create(
        tmp_path_factory.mktemp("grouped") / "idx", load({"static": models["static"]}), pairs()
    )
    pieces = [
        Record(f"d{i // 3}#{i % 3:04}", text, {"position": i % 3}, source=f"d{i // 3}")
        for i, text in enumerate(TEXTS[:60])
    ]
    made.add_records([*pieces, *(Record(f"alone{i}", text, {}) for i, text in enumerate(TEXTS[60:80]))])
    return made


@pytest.mark.parametrize("query", [TEXTS[4], TEXTS[65], "fluid"])
def test_each_document_once_by_its_best_piece(engine, query):
    count = engine.count()
    every = engine.search(query, count, candidates=count).hits
    best = {}
    for hit in every:
        best.setdefault(document_of(hit.record), hit)
    found = engine.search(query, 10, candidates=count, group_by="document").hits
    assert [hit.id for hit in found] == [hit.id for hit in list(best.values())[:10]]
    assert [hit.raw_score for hit in found] == [hit.raw_score for hit in list(best.values())[:10]]
    assert len({document_of(hit.record) for hit in found}) == 10


def test_as_many_documents_as_are_asked_for(engine):
    assert len(engine.search("fluid flow", 20, group_by="document")) == 20
    batch = engine.search_batch(["fluid flow", TEXTS[4]], 20, group_by="document")
    assert [len(result) for result in batch] == [20, 20]
    together = engine.search_together(["fluid", "flow"], 20, group_by="document")
    assert len({document_of(hit.record) for hit in together}) == 20


@pytest.mark.parametrize("bad", ["piece", 1, True, ["document"]])
def test_what_hits_cannot_be_grouped_by_is_refused(engine, bad):
    with pytest.raises(InvalidInputError, match="group_by must be one of"):
        engine.search("x", group_by=bad)


async def test_coverage_counts_texts(engine):
    with pytest.raises(InvalidInputError, match="leave out group_by"):
        await engine.asearch("x", coverage=0.9, group_by="document")
