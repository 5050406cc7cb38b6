"""LangChain's own suites, none of their tests overridden or expected to fail."""

import shutil

import pytest
from langchain_small import pairs
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)

from langchain_uec import UAEEmbedding, UECRetriever, UECVectorStore
from uec_retriever import Recipe


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, minilm, wordllama):
    """An empty store, made without texts or pairs: calibrated on general ones."""
    folder = tmp_path_factory.mktemp("fitted") / "index"
    return UECVectorStore(folder, [minilm, wordllama], device="cpu")


@pytest.fixture(scope="module")
def cities(tmp_path_factory, fitted, minilm, wordllama):
    """Calibrated on general ones, too: it finds their fits in its folder, as those of an interrupted build."""
    folder = tmp_path_factory.mktemp("cities") / "index"
    shutil.copytree(fitted.engine._folder.path / "posteriors", folder / "posteriors")
    texts = ["Berlin is in Germany.", "Rome is in Italy.", "Cats sleep a lot.", "Dogs bark."]
    UECRetriever.from_texts(texts, [minilm, wordllama], folder, device="cpu")
    return folder


class TestUECRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _index(self, index):
        self.index = index

    @property
    def retriever_constructor(self):
        return UECRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.index, "device": "cpu"}

    @property
    def retriever_query_example(self):
        return "what flow has the large wing"


class TestUAEEmbedding(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _model(self, models):
        self.folder = models[0]

    @property
    def embeddings_class(self):
        return UAEEmbedding

    @property
    def embedding_model_params(self):
        return {"model": self.folder, "device": "cpu"}


class TestUECVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path, models):
        store = UECVectorStore(tmp_path / "index", models, recipe=Recipe(pairs()), device="cpu")
        yield store
        store.engine.close()


class TestUECVectorStoreOneExpertSumLayout(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, models):
        embedding = UAEEmbedding(model_name=models[0], device="cpu")
        store = UECVectorStore(embedding=embedding, recipe=Recipe(pairs(), structure="diag", layout="sum"))
        yield store
        store.engine.close()


@pytest.mark.models
class TestUECVectorStoreRealModels(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, fitted):
        yield fitted
        fitted.delete([record.id for record in fitted.engine.get()])


@pytest.mark.models
class TestUECRetrieverRealModels(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _index(self, cities):
        self.index = cities

    @property
    def retriever_constructor(self):
        return UECRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.index, "device": "cpu"}

    @property
    def retriever_query_example(self):
        return "capital cities"


@pytest.mark.models
class TestUAEEmbeddingRealModel(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _model(self, minilm):
        self.folder = minilm

    @property
    def embeddings_class(self):
        return UAEEmbedding

    @property
    def embedding_model_params(self):
        return {"model_name": self.folder, "device": "cpu", "encode_kwargs": {"batch_size": 8}}
