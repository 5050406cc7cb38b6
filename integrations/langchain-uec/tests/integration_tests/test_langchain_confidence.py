"""The confidence of a calibrated index reaches the documents."""

from langchain_small import telling

from langchain_uec import UECRetriever


async def test_documents_carry_the_confidence_of_the_search(tmp_path, models):
    texts = telling(200)
    retriever = UECRetriever.from_texts(texts, models[0], tmp_path, include=["confidence"])
    assert retriever.invoke(texts[0])[0].metadata == {"uec_confidence": None}
    retriever.engine.calibrate_confidence(k=5, limit=100)
    for query in (texts[0], "cat dog bird"):
        expected = retriever.engine.search(query, 4).confidence
        assert 0 <= expected <= 1
        found = [*retriever.invoke(query), *await retriever.ainvoke(query)]
        assert [document.metadata["uec_confidence"] for document in found] == [expected] * 8
    again = UECRetriever(index=tmp_path, include=["confidence"])
    assert again.invoke("cat dog bird")[0].metadata == {"uec_confidence": expected}


def test_where_it_is_not_calibrated_there_is_a_reason_instead(tmp_path, models):
    texts = telling(200)
    retriever = UECRetriever.from_texts(
        texts,
        models[0],
        tmp_path,
        metadatas=[{"n": n} for n in range(len(texts))],
        include=["confidence", "confidence_reason"],
    )
    retriever.engine.calibrate_confidence(k=5, limit=100)
    for options, reason in [
        ({}, None),
        ({"filter": {"n": {"$gte": 0}}}, "filter"),
        ({"fetch_k": 9}, "9"),
        ({"temperature": 0.3}, "temperature"),
    ]:
        metadata = retriever.invoke("cat dog bird", **options)[0].metadata
        assert (metadata["uec_confidence"] is None) == (reason is not None)
        assert (reason or "None") in str(metadata["uec_confidence_reason"])
