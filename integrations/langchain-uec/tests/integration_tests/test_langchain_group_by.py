"""Documents that `uec index` has split, found by their pieces."""

import pytest
from langchain_small import pairs, telling

from langchain_uec import UECRetriever
from uec_retriever import Engine, Recipe
from uec_retriever.data.records import Record
from uec_retriever.errors import InvalidInputError

TEXTS = telling(30)


@pytest.fixture(scope="module")
def engine(tmp_path_factory, models):
    engine = Engine.from_texts(
        TEXTS[:3], models[:1], tmp_path_factory.mktemp("pieces") / "idx", Recipe(pairs()), device="cpu"
    )
    engine.add_records(
        Record(f"d{i // 6}#{i % 6:04}", text, {}, source=f"d{i // 6}") for i, text in enumerate(TEXTS)
    )
    return engine


async def test_each_document_once(engine):
    retriever = UECRetriever(engine=engine, k=5, group_by="document")
    found = retriever.invoke(TEXTS[7])
    assert found[0].id == "d1#0001" and len({d.id.split("#")[0] for d in found}) == 5
    assert await retriever.ainvoke(TEXTS[7]) == found
    plain = UECRetriever(engine=engine, k=5)
    assert plain.invoke(TEXTS[7], group_by="document") == found
    assert plain.batch([TEXTS[7], TEXTS[8]], group_by="document")[0] == found
    with pytest.raises(InvalidInputError, match="leave out group_by"):
        UECRetriever(engine=engine, group_by="document", coverage=0.9)


def test_what_was_found_is_judged_by_its_id_or_its_document(engine):
    retriever = UECRetriever(engine=engine, k=1, group_by="document")
    [found] = retriever.invoke(TEXTS[7])
    retriever.engine.record_judgement("seven", found.id)
    retriever.engine.record_judgement("document", "d1")
    assert engine.judgements() == {"seven": {"d1#0001"}, "document": {f"d1#{i:04}" for i in range(6)}}
    with pytest.raises(InvalidInputError, match="of the id 'd1#01'"):
        retriever.engine.record_judgement("seven", "d1#01")
