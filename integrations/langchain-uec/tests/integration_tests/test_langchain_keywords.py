"""A keyword that does not exist is refused with the names of those that do, in the user's own words."""

import pytest

from langchain_uec import UAEEmbedding, UECRescorer, UECRetriever, UECVectorStore
from uec_retriever.errors import InvalidInputError

CALLS = {
    "UECRetriever": lambda e, m, o: UECRetriever(engine=e, **o),
    "from_texts": lambda e, m, o: UECRetriever.from_texts(["a"], m, **o),
    "from_documents": lambda e, m, o: UECRetriever.from_documents([], m, **o),
    "from_tools": lambda e, m, o: UECRetriever.from_tools([], m, **o),
    "invoke": lambda e, m, o: UECRetriever(engine=e).invoke("flow", **o),
    "batch": lambda e, m, o: UECRetriever(engine=e).batch(["flow", "heat"], **o),
    "UECVectorStore": lambda e, m, o: UECVectorStore(engine=e, **o),
    "store.from_texts": lambda e, m, o: UECVectorStore.from_texts(["a"], m, **o),
    "add_texts": lambda e, m, o: UECVectorStore(engine=e).add_texts(["a"], **o),
    "similarity_search": lambda e, m, o: UECVectorStore(engine=e).similarity_search("flow", **o),
    "scored": lambda e, m, o: UECVectorStore(engine=e).similarity_search_with_score("flow", **o),
    "relevance": lambda e, m, o: UECVectorStore(engine=e).similarity_search_with_relevance_scores(
        "flow", **o
    ),
    "mmr": lambda e, m, o: UECVectorStore(engine=e).max_marginal_relevance_search("flow", **o),
    "search": lambda e, m, o: UECVectorStore(engine=e).search("flow", "mmr", **o),
    "as_retriever": lambda e, m, o: UECVectorStore(engine=e).as_retriever(**o),
    "search_kwargs": lambda e, m, o: UECVectorStore(engine=e).as_retriever(search_kwargs=o),
    "UECRescorer": lambda e, m, o: UECRescorer(engine=e, **o),
    "from_experts": lambda e, m, o: UECRescorer.from_experts(m, **o),
    "UAEEmbedding": lambda e, m, o: UAEEmbedding(model_name=m[0], **o),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_valid_ones_are_named(name, engine, models):
    with pytest.raises((TypeError, InvalidInputError)) as refusal:
        CALLS[name](engine, models, {"zzz": 1})
    words = str(refusal.value)
    assert "zzz" in words
    assert "it takes " in words or "which takes " in words
    assert "_get_relevant_documents" not in words
    assert len(words.split(", ")) >= 2
    assert "did you mean" not in words


def test_a_second_query_is_a_keyword_that_does_not_exist(engine):
    with pytest.raises(
        TypeError, match=r"invoke\(\) got an unexpected keyword argument 'query': it takes k, filter"
    ):
        UECRetriever(engine=engine).invoke("flow", query="heat")


@pytest.mark.parametrize(
    ("call", "given", "meant"),
    [
        ("invoke", "top_k", "k"),
        ("invoke", "where", "filter"),
        ("invoke", "score_treshold", "score_threshold"),
        ("UECRetriever", "path", "index"),
        ("UECRetriever", "candidate", "candidates"),
        ("from_texts", "metadata_s", "metadatas"),
        ("UECVectorStore", "persist_directory", "index"),
        ("UECVectorStore", "embedding_function", "embedding"),
        ("similarity_search", "n_results", "k"),
    ],
)
def test_the_one_that_is_meant_is_named(call, given, meant, engine, models):
    with pytest.raises((TypeError, InvalidInputError), match=rf"did you mean '{meant}'\?"):
        CALLS[call](engine, models, {given: 1})
