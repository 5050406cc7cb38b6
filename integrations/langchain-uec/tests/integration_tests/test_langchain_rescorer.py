"""UECRescorer: rescoring what another retriever found."""

import chromadb
import pytest
from langchain_chroma import Chroma
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.runnables import RunnablePassthrough
from langchain_small import documents, sentences, shown

from langchain_uec import UAEEmbedding, UECRescorer, UECRetriever
from uec_retriever.errors import InvalidInputError

QUERY = "what flow has the large wing"


def best_ids(engine, given):
    scores = engine.rescore(QUERY, [d.page_content for d in given]).scores
    return [d.id for _, d in sorted(zip(scores, given, strict=True), key=lambda pair: -pair[0])]


async def test_best_first_and_unchanged_otherwise(engine, index):
    given = documents()
    rescorer = UECRescorer(index=index, device="cpu", top_n=7)
    found = rescorer.compress_documents(given, QUERY)
    assert [d.id for d in found] == best_ids(engine, given)[:7]
    by_id = {d.id: d for d in given}
    assert found == [by_id[d.id] for d in found]
    assert given == documents()
    assert await rescorer.acompress_documents(given, QUERY) == found
    assert rescorer.compress_documents([], QUERY) == []
    assert len(UECRescorer(engine=engine).compress_documents(given, QUERY)) == len(given)


def test_scores_and_threshold(engine):
    rescorer = UECRescorer(engine=engine, include=["score", "deviation", "coefficients"])
    found = rescorer.compress_documents(documents(), QUERY)
    scores = [d.metadata["uec_score"] for d in found]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= scores[0] <= 1
    assert sum(found[0].metadata["uec_coefficients"].values()) == pytest.approx(1)
    assert found[0].metadata["uec_deviation"] > 0
    kept = UECRescorer(engine=engine, score_threshold=scores[4]).compress_documents(documents(), QUERY)
    assert shown(kept) == shown(found[:5])
    assert "uec_score" not in kept[0].metadata


def test_in_the_compression_retriever_over_another_store(engine, models):
    store = Chroma("other", UAEEmbedding(model=models[1], device="cpu"), client=chromadb.EphemeralClient())
    store.add_documents(documents())
    base = store.as_retriever(search_kwargs={"k": 20})
    retriever = ContextualCompressionRetriever(
        base_compressor=UECRescorer(engine=engine, top_n=5), base_retriever=base
    )
    assert [d.id for d in retriever.invoke(QUERY)] == best_ids(engine, base.invoke(QUERY))[:5]
    store.delete_collection()


async def test_in_a_chain(engine):
    retriever = UECRetriever(engine=engine, k=20, include=["score"])
    rescorer = UECRescorer(engine=engine, top_n=3, include=["score"])
    chain = {"documents": retriever, "query": RunnablePassthrough()} | rescorer.as_runnable()
    found = chain.invoke(QUERY)
    assert shown(found) == shown(retriever.invoke(QUERY))[:3]
    assert await chain.ainvoke(QUERY) == found


def test_experts_without_an_index(models, tmp_path, engine):
    rescorer = UECRescorer.from_experts(models, tmp_path / "kept", texts=sentences(90), device="cpu", top_n=2)
    found = rescorer.compress_documents(documents(), QUERY)
    assert len(found) == 2
    assert rescorer.engine.count() == 0
    again = UECRescorer(index=tmp_path / "kept", device="cpu", top_n=2)
    assert again.compress_documents(documents(), QUERY) == found
    passing = UECRescorer.from_experts(models[0], texts=sentences(90))
    assert passing.compress_documents([Document(page_content="wing")], "wing")


def test_bad_input(engine, models):
    for options in ({"top_n": 0}, {"score_threshold": 2.0}):
        with pytest.raises(InvalidInputError):
            UECRescorer(engine=engine, **options)
    with pytest.raises(InvalidInputError, match="include"):
        UECRescorer(engine=engine, include=["confidence"])
    with pytest.raises(InvalidInputError, match="topn"):
        UECRescorer(engine=engine, topn=3)
    with pytest.raises(TypeError, match="topn"):
        UECRescorer.from_experts(models, topn=3)
    rescorer = UECRescorer(engine=engine)
    with pytest.raises(InvalidInputError, match="query 0"):
        rescorer.compress_documents(documents(), " ")
    with pytest.raises(InvalidInputError, match="text 1 is empty"):
        rescorer.compress_documents([Document(page_content="x"), Document(page_content="")], "wing")
