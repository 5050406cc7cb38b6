"""Generated input through LangChain's classes: an answer, or our error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_small import documents

from devtools.generated import ANYTHING, GENERATED, SCALARS, ours
from langchain_uec import UECRetriever, UECVectorStore
from uec_retriever import Engine

QUERY = "what flow has the large wing"
FIRST = documents()[0]
TEXTS = st.sampled_from([d.page_content for d in documents()])
METADATA = st.dictionaries(st.text(max_size=3) | st.sampled_from(("n", "even")), SCALARS, max_size=2)


@pytest.fixture
def store(engine):
    return UECVectorStore(engine=engine)


@pytest.fixture(scope="module")
def changing(index, tmp_path_factory):
    import shutil

    folder = shutil.copytree(index, tmp_path_factory.mktemp("changing") / "index")
    with Engine.open(folder, device="cpu") as engine:
        yield UECVectorStore(engine=engine), UECRetriever(engine=engine)


@GENERATED
@given(
    options=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("k", "fetch_k", "filter", "score_threshold", "temperature", "include", "tags"), ANYTHING
        ),
    )
)
def test_options_of_a_retriever(engine, options):
    retriever = ours(UECRetriever, engine=engine, **options)
    if retriever is not None:
        found = ours(retriever.invoke, QUERY)
        assert found is None or all(isinstance(d, Document) for d in found)


@GENERATED
@given(k=ANYTHING, fetch_k=ANYTHING, filter=st.none() | ANYTHING, threshold=ANYTHING, share=ANYTHING)
def test_options_of_a_search(store, k, fetch_k, filter, threshold, share):
    for call in (
        store.similarity_search,
        store.similarity_search_with_score,
        store.similarity_search_with_relevance_scores,
    ):
        ours(call, QUERY, k, filter=filter)
        ours(call, QUERY, 2, score_threshold=threshold)
    ours(store.max_marginal_relevance_search, QUERY, k, fetch_k, share, filter=filter)
    ours(store.max_marginal_relevance_search, QUERY, 2, 4, share)


@GENERATED
@given(query=ANYTHING)
def test_queries_and_ids(store, query):
    for call in (
        store.similarity_search,
        store.similarity_search_by_vector,
        store.max_marginal_relevance_search,
        store.max_marginal_relevance_search_by_vector,
        store.get_by_ids,
        store.embeddings.embed_query,
        store.embeddings.embed_documents,
    ):
        ours(call, query)


@GENERATED
@given(
    texts=st.lists(TEXTS | SCALARS, max_size=3) | ANYTHING,
    metadatas=st.none() | st.lists(METADATA, max_size=3) | ANYTHING,
    ids=st.none() | st.lists(SCALARS, max_size=3) | ANYTHING,
    filter=ANYTHING,
)
def test_adding_and_deleting(changing, texts, metadatas, ids, filter):
    store, retriever = changing
    named = ours(store.add_texts, texts, metadatas, ids=ids)
    if named:
        assert {d.id for d in store.get_by_ids(named)} == set(named)
        assert store.delete(list(dict.fromkeys(named)))
        assert not store.get_by_ids(named)
    for call in (store.delete, retriever.delete):
        ours(call, ids)
        ours(call, filter=filter)
    if FIRST.id is not None:
        store.add_documents(documents())
        assert store.get_by_ids([FIRST.id])
