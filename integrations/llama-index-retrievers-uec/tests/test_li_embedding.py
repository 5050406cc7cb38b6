"""UAEEmbedding: LlamaIndex's interface over the core's Embedder."""

import asyncio
import copy
import pickle
import threading

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import Document, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.uae import UAEEmbedding

from tests.engine.small import sentences
from uec_retriever import Embedder
from uec_retriever.errors import InvalidInputError, ModelMismatchError, ModelNotFoundError

TEXTS = sentences(25, seed=5)


@pytest.fixture(scope="module")
def embedding(li_models):
    return UAEEmbedding(li_models["bert"], device="cpu", embed_batch_size=4)


@pytest.fixture(scope="module")
def embedder(li_models):
    return Embedder.load(li_models["bert"], device="cpu")


def test_embeddings_are_those_of_the_model(embedding, embedder):
    documents, query = embedder.embed(TEXTS), embedder.embed(TEXTS[:1], "query")
    np.testing.assert_allclose(embedding.get_text_embedding_batch(TEXTS), documents, atol=1e-5)
    np.testing.assert_allclose(embedding.get_text_embedding(TEXTS[3]), documents[3], atol=1e-5)
    np.testing.assert_allclose(embedding.get_query_embedding(TEXTS[0]), query[0], atol=1e-5)
    assert type(embedding.get_query_embedding(TEXTS[0])[0]) is float
    assert type(embedding.get_text_embedding_batch(TEXTS[:1])[0][0]) is float
    assert embedding.dimension == documents.shape[1]


@pytest.mark.parametrize("workers", [None, 3])
async def test_async_gives_the_same_in_another_thread(li_models, embedder, workers, monkeypatch):
    made = UAEEmbedding(li_models["bert"], device="cpu", embed_batch_size=4, num_workers=workers)
    threads, real = set(), made._get_text_embeddings

    def watched(texts):
        threads.add(threading.get_ident())
        return real(texts)

    monkeypatch.setattr(UAEEmbedding, "_get_text_embeddings", lambda self, texts: watched(texts))
    vectors = await made.aget_text_embedding_batch(TEXTS)
    queries = await asyncio.gather(*(made.aget_query_embedding(t) for t in TEXTS[:4]))
    np.testing.assert_allclose(vectors, embedder.embed(TEXTS), atol=1e-5)
    np.testing.assert_allclose(queries, embedder.embed(TEXTS[:4], "query"), atol=1e-5)
    assert threads
    assert threading.get_ident() not in threads


def test_prompts_for_queries_and_documents(li_models):
    made = UAEEmbedding(
        li_models["bert"],
        device="cpu",
        text_options={"prompt": "document "},
        query_options={"prompt": "query "},
    )
    plain = UAEEmbedding(li_models["bert"], device="cpu")
    np.testing.assert_allclose(
        made.get_query_embedding("the wing"), plain.get_query_embedding("query the wing"), atol=1e-5
    )
    np.testing.assert_allclose(
        made.get_text_embedding("the wing"), plain.get_text_embedding("document the wing"), atol=1e-5
    )


def test_variances_with_a_posterior_and_not_without(li_models, li_fitted, embedding):
    posterior = str(li_fitted[0]["bert"])
    made = UAEEmbedding(li_models["bert"], device="cpu", posterior=posterior)
    gaussian = made.get_text_embeddings_with_variance(TEXTS[:3])
    np.testing.assert_allclose(gaussian.mean, made.get_text_embedding_batch(TEXTS[:3]), atol=1e-4)
    assert gaussian.variance.shape == gaussian.mean.shape
    assert (gaussian.variance > 0).all()
    assert made.get_query_embedding_with_variance("the wing").mean.shape == (1, made.dimension)
    with pytest.raises(InvalidInputError, match="no posterior"):
        embedding.get_text_embeddings_with_variance(TEXTS)
    with pytest.raises(ModelMismatchError):
        UAEEmbedding(li_models["static"], device="cpu", posterior=posterior)


def test_it_serves_a_vector_index(embedding):
    index = VectorStoreIndex.from_documents(
        [Document(text=t) for t in dict.fromkeys(TEXTS)], embed_model=embedding
    )
    assert index.as_retriever(similarity_top_k=1).retrieve(TEXTS[2])[0].text == TEXTS[2]
    [node] = embedding([TextNode(text="the wing")])
    assert node.embedding == embedding.get_text_embedding("the wing")


def test_serialisation(embedding, li_models):
    state = embedding.to_dict()
    assert state["class_name"] == "UAEEmbedding"
    assert state["model_name"] == li_models["bert"]
    back = UAEEmbedding.from_dict(state)
    pickled, copied = pickle.loads(pickle.dumps(embedding)), copy.deepcopy(embedding)
    assert pickled._loading._embedder is None  # loaded when it is needed
    expected = embedding.get_query_embedding("the wing")
    for other in (back, pickled, copied, UAEEmbedding.from_json(embedding.to_json())):
        assert other.to_dict() == state
        np.testing.assert_allclose(other.get_query_embedding("the wing"), expected, atol=1e-6)


def test_bad_arguments(li_models, embedding, tmp_path):
    cache = SimpleKVStore()
    with pytest.raises(InvalidInputError, match="embeddings_cache"):
        UAEEmbedding(li_models["bert"], embeddings_cache=cache)
    with pytest.raises(InvalidInputError, match="embeddings_cache"):
        embedding.embeddings_cache = cache
    with pytest.raises(InvalidInputError, match="HF_TOKEN"):
        UAEEmbedding(li_models["bert"], model_options={"token": "hush"})
    with pytest.raises(InvalidInputError, match="colour"):
        UAEEmbedding(li_models["bert"], colour="red")
    with pytest.raises(ModelNotFoundError):
        UAEEmbedding(str(tmp_path / "nowhere"))
    with pytest.raises(InvalidInputError, match="query 0 is empty"):
        embedding.get_query_embedding(" ")
    with pytest.raises(InvalidInputError, match="text 1 is empty"):
        embedding.get_text_embedding_batch(["the wing", ""])
