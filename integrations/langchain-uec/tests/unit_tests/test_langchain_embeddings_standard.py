"""LangChain's own suites for embeddings, on a tiny model without and with a posterior."""

import pytest
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_uec import UAEEmbedding


class TestUAEEmbeddingUnit(EmbeddingsUnitTests):
    @pytest.fixture(autouse=True)
    def _model(self, models):
        self.folder = models[0]

    @property
    def embeddings_class(self):
        return UAEEmbedding

    @property
    def embedding_model_params(self):
        return {"model": self.folder, "device": "cpu"}
