"""Few parameters beside the framework's own, and each is documented where it is."""

import inspect

import pytest
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.retrievers import BaseRetriever

from langchain_uec import UAEEmbedding, UECRescorer, UECRetriever, UECVectorStore

FRAMEWORKS = {*BaseRetriever.model_fields, *BaseDocumentCompressor.model_fields}
CALLABLES = [
    UECRetriever,
    UECRetriever.from_texts,
    UECRetriever.from_documents,
    UECRetriever.add_documents,
    UECRescorer,
    UECRescorer.from_experts,
    UECVectorStore,
    UECVectorStore.from_texts,
    UECVectorStore.add_texts,
    UAEEmbedding,
]


@pytest.mark.parametrize("function", CALLABLES, ids=lambda f: f.__qualname__)
def test_at_most_ten_parameters_each_documented(function):
    parameters = set(inspect.signature(function).parameters) - {"self"} - FRAMEWORKS
    assert 0 < len(parameters) <= 10
    words = inspect.getdoc(function)
    assert [name for name in parameters if f"{name}: " not in words] == []


def test_the_frameworks_own_are_few_and_known():
    assert {"name", "tags", "metadata"} == FRAMEWORKS
