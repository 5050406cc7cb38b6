"""UAEEmbedding: LangChain's Chroma with it, variances, options, bad input."""

import chromadb
import numpy as np
import pytest
from langchain_chroma import Chroma
from langchain_small import documents, shown

from langchain_uec import UAEEmbedding
from uec_retriever import Embedder
from uec_retriever.errors import InvalidInputError, ModelMismatchError, ModelNotFoundError

TEXTS = ["the large wing", "cat dog"]


@pytest.fixture(scope="module")
def embedding(models, posterior):
    return UAEEmbedding(model_name=models[0], posterior=posterior, device="cpu")


async def test_embeddings_are_the_models(embedding, models):
    expected = Embedder.load(models[0], device="cpu").embed(TEXTS)
    np.testing.assert_array_equal(np.float32(embedding.embed_documents(TEXTS)), expected)
    np.testing.assert_array_equal(np.float32(embedding.embed_query(TEXTS[0])), expected[0])
    assert await embedding.aembed_documents(TEXTS) == embedding.embed_documents(TEXTS)
    assert await embedding.aembed_query(TEXTS[0]) == embedding.embed_query(TEXTS[0])
    assert embedding.embed_documents([]) == []
    assert type(embedding.embed_query("wing")[0]) is float


def test_variances(embedding):
    means, variances = embedding.embed_documents_with_variance(TEXTS)
    np.testing.assert_allclose(means, embedding.embed_documents(TEXTS), atol=1e-6)
    assert np.shape(variances) == np.shape(means) == (2, 24)
    assert np.all(np.array(variances) > 0)
    mean, variance = embedding.embed_query_with_variance(TEXTS[0])
    assert (mean, variance) == (means[0], pytest.approx(variances[0]))
    assert type(variance[0]) is float


def test_variances_need_a_posterior(models):
    with pytest.raises(InvalidInputError, match="uec fit"):
        UAEEmbedding(model=models[0], device="cpu").embed_query_with_variance("wing")


def test_as_the_embedding_of_langchains_chroma(embedding):
    store = Chroma("any", embedding, client=chromadb.EphemeralClient())
    store.add_documents(documents(20))
    found = store.similarity_search(documents(20)[7].page_content, k=1)
    assert shown(found) == shown([documents(20)[7]])
    store.delete_collection()


def test_prompts_for_queries_and_documents(models):
    prompts = {"query": "what ", "document": "the "}
    prompted = UAEEmbedding(model=models[0], device="cpu", model_kwargs={"prompts": prompts})
    plain = UAEEmbedding(model=models[0], model_kwargs={"device": "cpu"})
    assert prompted.embed_query("wing") == plain.embed_query("what wing")
    assert prompted.embed_documents(["wing"]) == plain.embed_documents(["the wing"])


def test_encoding_options(models):
    options = {"normalize_embeddings": False, "batch_size": 1}
    raw = UAEEmbedding(model=models[0], device="cpu", encode_kwargs=options)
    other = UAEEmbedding(
        model=models[0], device="cpu", encode_kwargs=options, query_encode_kwargs={"truncate_dim": 8}
    )
    assert np.linalg.norm(raw.embed_query("wing")) == pytest.approx(
        np.linalg.norm(raw.embed_documents(["wing"]))
    )
    assert np.linalg.norm(raw.embed_query("wing")) != pytest.approx(1)
    assert len(other.embed_query("wing")) == 8
    assert np.linalg.norm(other.embed_query("wing")) == pytest.approx(1)


def test_bad_input(embedding, models, posterior, tmp_path):
    with pytest.raises(InvalidInputError, match="text 1 is empty"):
        embedding.embed_documents(["wing", ""])
    with pytest.raises(InvalidInputError, match="query 0"):
        embedding.embed_query(None)
    with pytest.raises(ModelNotFoundError, match="hub id or a folder"):
        UAEEmbedding(model_name=str(tmp_path))
    with pytest.raises(ModelMismatchError):
        UAEEmbedding(model_name=models[1], posterior=posterior, device="cpu")
    with pytest.raises(InvalidInputError, match="multi_process"):
        UAEEmbedding(model_name=models[0], multi_process=True)
    with pytest.raises(InvalidInputError, match="model_name"):
        UAEEmbedding()
