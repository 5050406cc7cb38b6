"""Any LangChain `Embeddings` is an expert: OpenAI's client against a local server, and the framework's own fakes."""

import asyncio
import pickle
import threading

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_small import pairs, sentences

from langchain_uec import UECRescorer, UECRetriever, UECVectorStore
from tests.embeddings_server import EmbeddingServer
from uec_retriever import Recipe
from uec_retriever.errors import InvalidInputError, ModelMismatchError, ModelNotFoundError

TEXTS = sentences(60, 3)
DOCUMENTS = [Document(text, id=f"t{i}") for i, text in enumerate(TEXTS)]
RECIPE = Recipe(pairs())


@pytest.fixture
def client():
    """OpenAI's embeddings through a server of ours."""
    openai = pytest.importorskip("langchain_openai")
    with EmbeddingServer(key="sk-local-1234567890") as server:
        yield openai.OpenAIEmbeddings(
            model="tiny", base_url=server.url, api_key="sk-local-1234567890", check_embedding_ctx_length=False
        )


async def test_a_client_beside_a_model_and_a_fake(client, models, tmp_path):
    experts = [client, models[0], DeterministicFakeEmbedding(size=32)]
    retriever = UECRetriever.from_documents(DOCUMENTS, experts, tmp_path, RECIPE, k=3)
    assert retriever.invoke(TEXTS[4])[0].id == "t4"
    assert (await retriever.ainvoke(TEXTS[5]))[0].id == "t5"
    await client.async_client._client.close()  # nobody else does
    labels = [e.label for e in retriever.engine.experts]
    assert labels == ["tiny", "first", "DeterministicFakeEmbedding"]
    with pytest.raises(
        ModelNotFoundError, match=r"OpenAIEmbeddings/tiny is an object.*experts=\{'tiny': ...\}"
    ):
        UECRetriever(index=tmp_path)
    given = {"tiny": client, "DeterministicFakeEmbedding": DeterministicFakeEmbedding(size=32)}
    again = UECRetriever(index=tmp_path, experts=given, k=3)
    assert again.invoke(TEXTS[4])[0].id == "t4"
    assert "sk-local" not in repr(again) + again.model_dump_json()
    assert UECRetriever.from_documents(DOCUMENTS, experts, tmp_path).engine.count() == 60


async def test_queries_are_embedded_asynchronously_where_the_object_can(tmp_path):
    asked = []

    class Asynchronous(DeterministicFakeEmbedding):
        async def aembed_query(self, text):
            asked.append((text, threading.current_thread()))
            return self.embed_documents([text])[0]

        def embed_query(self, text):
            if text in asked_here:
                raise AssertionError("not in a thread")
            return super().embed_query(text)

    asked_here = TEXTS[:8]
    embedding = Asynchronous(size=32)
    retriever = UECRetriever.from_documents(DOCUMENTS, [embedding], tmp_path, RECIPE, k=1)
    found = await asyncio.gather(*(retriever.ainvoke(text) for text in asked_here))
    assert [documents[0].id for documents in found] == [f"t{i}" for i in range(8)]
    assert dict(asked) == dict.fromkeys(asked_here, threading.current_thread())  # in whatever order
    assert len(asked) == len(asked_here)


def test_another_client_is_refused(tmp_path):
    UECRetriever.from_documents(DOCUMENTS, [DeterministicFakeEmbedding(size=32)], tmp_path, RECIPE)

    class Other(DeterministicFakeEmbedding):
        def embed_documents(self, texts):
            return [vector[::-1] for vector in super().embed_documents(texts)]

    with pytest.raises(ModelMismatchError, match="DeterministicFakeEmbedding"):
        UECRetriever(index=tmp_path, experts={"DeterministicFakeEmbedding": Other(size=32)})


def test_store_and_rescorer(client):
    store = UECVectorStore.from_documents(DOCUMENTS, client, recipe=RECIPE)
    assert store.similarity_search(TEXTS[7], k=2)[0].id == "t7"
    rescorer = UECRescorer.from_experts([client], recipe=RECIPE)
    assert rescorer.compress_documents(DOCUMENTS, TEXTS[8])[0].id == "t8"


def test_a_server_by_name_is_pickled_without_its_key(tmp_path, monkeypatch):
    key = "sk-local-1234567890"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with EmbeddingServer(key=key) as server:
        expert = f"openai:tiny@{server.url}"
        retriever = UECRetriever.from_documents(DOCUMENTS, [expert], tmp_path, RECIPE, k=1)
        packed = pickle.dumps(retriever)
        assert key.encode() not in packed
        assert pickle.loads(packed).invoke(TEXTS[9])[0].id == "t9"


def test_an_object_that_unpickling_could_not_load_is_refused_when_it_is_pickled(tmp_path):
    fake = DeterministicFakeEmbedding(size=32)
    retriever = UECRetriever.from_documents(DOCUMENTS, [fake], tmp_path, RECIPE, k=1)
    with pytest.raises(
        InvalidInputError, match="expert 'DeterministicFakeEmbedding' was made of .* in memory"
    ):
        pickle.dumps(retriever)
    given = UECRetriever(index=tmp_path, experts={"DeterministicFakeEmbedding": fake}, k=1)
    assert pickle.loads(pickle.dumps(given)).invoke(TEXTS[9])[0].id == "t9"
