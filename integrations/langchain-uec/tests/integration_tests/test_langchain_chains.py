"""LangChain's own retrievers and chains on top of ours; threads; the event loop."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import chromadb
import pytest
from langchain_chroma import Chroma
from langchain_classic.retrievers import EnsembleRetriever, MultiQueryRetriever, ParentDocumentRetriever
from langchain_classic.storage import InMemoryStore
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import create_retriever_tool
from langchain_small import documents, pairs, sentences, shown
from langchain_text_splitters import CharacterTextSplitter

from langchain_uec import UAEEmbedding, UECRetriever, UECVectorStore
from uec_retriever import Recipe
from uec_retriever.engine.ensemble import Ensemble

QUERY = "what flow has the large wing"
QUERIES = sentences(64, seed=7)


@pytest.fixture
def retriever(engine):
    return UECRetriever(engine=engine)


async def test_ensemble_retriever(retriever, models):
    store = Chroma("ensemble", UAEEmbedding(model=models[1], device="cpu"), client=chromadb.EphemeralClient())
    store.add_documents(documents())
    other = store.as_retriever()
    ensemble = EnsembleRetriever(retrievers=[retriever, other], weights=[0.7, 0.3])
    found = ensemble.invoke(QUERY)
    ids = {d.id for d in found}
    assert ids == {d.id for d in retriever.invoke(QUERY)} | {d.id for d in other.invoke(QUERY)}
    assert [d.id for d in await ensemble.ainvoke(QUERY)] == [d.id for d in found]
    assert ensemble.batch(QUERIES[:8]) == [ensemble.invoke(q) for q in QUERIES[:8]]
    only_ours = EnsembleRetriever(retrievers=[retriever], weights=[1.0])
    assert shown(only_ours.invoke(QUERY)) == shown(retriever.invoke(QUERY))
    store.delete_collection()


async def test_multi_query_retriever(retriever):
    lines = ["the large wing", "flow of heat"]
    multi = MultiQueryRetriever.from_llm(retriever, FakeListChatModel(responses=["\n".join(lines)]))
    expected = {d.id for line in lines for d in retriever.invoke(line)}
    assert {d.id for d in multi.invoke(QUERY)} == expected
    assert {d.id for d in await multi.ainvoke(QUERY)} == expected


def test_parent_document_retriever(models):
    parents = [Document(page_content="\n\n".join(sentences(6, seed=s)), metadata={"s": s}) for s in range(5)]
    splitter = CharacterTextSplitter(chunk_size=60, chunk_overlap=0)
    retriever = ParentDocumentRetriever(
        vectorstore=UECVectorStore(embedding=models, recipe=Recipe(pairs())),
        docstore=InMemoryStore(),
        child_splitter=splitter,
        search_kwargs={"k": 1},
    )
    retriever.add_documents(parents)
    for parent in parents:
        part = splitter.split_text(parent.page_content)[2]
        assert retriever.invoke(part) == [parent]


def chain_over(retriever):
    def answer(prompt):
        return prompt.to_string().upper()

    prompt = ChatPromptTemplate.from_template("{context} Question: {question}")
    context = retriever | (lambda found: " ".join(f"[{d.id}] {d.page_content}" for d in found))
    return {"context": context, "question": RunnablePassthrough()} | prompt | RunnableLambda(answer)


@pytest.mark.parametrize("kind", ["retriever", "store"])
async def test_a_chain_in_eight_threads_answers_as_one_by_one(retriever, engine, kind):
    source = retriever if kind == "retriever" else UECVectorStore(engine=engine).as_retriever()
    chain = chain_over(source)
    one_by_one = [chain.invoke(query) for query in QUERIES]
    assert len(set(one_by_one)) == 64
    assert chain.batch(QUERIES, {"max_concurrency": 8}) == one_by_one
    assert await chain.abatch(QUERIES, {"max_concurrency": 8}) == one_by_one


def test_adding_while_searching(models, tmp_path):
    retriever = UECRetriever.from_documents(documents(20), models, tmp_path / "index", Recipe(pairs()), k=20)
    more = documents(60)[20:]
    with ThreadPoolExecutor(8) as threads:
        searches = [threads.submit(retriever.invoke, q) for q in QUERIES]
        for start in range(0, 40, 10):
            retriever.add_documents(more[start : start + 10])
    known = {d.id: d for d in documents(60)}
    for search in searches:
        assert len(search.result()) == 20
        assert search.result() == [known[d.id] for d in search.result()]
    assert retriever.engine.count() == 60


def test_as_a_tool(retriever):
    tool = create_retriever_tool(retriever, "find", "Finds documents")
    assert retriever.invoke(QUERY)[0].page_content in tool.invoke({"query": QUERY})


async def test_queries_at_once_leave_the_event_loop_running(retriever, monkeypatch):
    one_by_one = [retriever.invoke(query) for query in QUERIES[:8]]
    encoding, go, real = threading.Event(), threading.Event(), Ensemble.encode_queries

    def hold(*arguments, **options):
        encoding.set()
        if not go.wait(30):
            go.set()
            pytest.fail("the event loop stands still")
        return real(*arguments, **options)

    monkeypatch.setattr(Ensemble, "encode_queries", hold)
    found = asyncio.gather(*map(retriever.ainvoke, QUERIES[:8]))
    while not encoding.is_set():
        await asyncio.sleep(0.001)
    go.set()
    assert await found == one_by_one


@pytest.mark.models
def test_real_experts_in_eight_threads(tmp_path, minilm, wordllama):
    found = documents()
    retriever = UECRetriever.from_documents(
        found, [minilm, wordllama], tmp_path / "i", Recipe(pairs()), device="cpu"
    )
    one_by_one = [shown(retriever.invoke(query)) for query in QUERIES]
    assert [shown(f) for f in retriever.batch(QUERIES, {"max_concurrency": 8})] == one_by_one
