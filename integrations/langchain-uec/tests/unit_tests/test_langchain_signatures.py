"""Few parameters beside the framework's own, and each is documented where it is."""

import inspect

import pytest
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.retrievers import BaseRetriever

import langchain_uec
from langchain_uec import UAEEmbedding, UECRescorer, UECRetriever, UECVectorStore
from langchain_uec.search_fields import SearchFields

FRAMEWORKS = {*BaseRetriever.model_fields, *BaseDocumentCompressor.model_fields}
OF_A_CALL = set(SearchFields.model_fields)
CALLABLES = [
    UECRetriever,
    UECRetriever.from_texts,
    UECRetriever.from_documents,
    UECRetriever.from_tools,
    UECRetriever.add_documents,
    UECRescorer,
    UECRescorer.from_experts,
    UECVectorStore,
    UECVectorStore.from_texts,
    UECVectorStore.add_texts,
    UAEEmbedding,
]


@pytest.mark.parametrize("function", CALLABLES, ids=lambda f: f.__qualname__)
def test_at_most_ten_parameters_beside_those_of_a_call_each_documented(function):
    parameters = set(inspect.signature(function).parameters) - {"self", "unknown", "options"} - FRAMEWORKS
    assert 0 < len(parameters - OF_A_CALL) <= 10
    words = inspect.getdoc(function)
    assert [name for name in parameters if f"{name}: " not in words] == []


def test_the_frameworks_own_are_few_and_known():
    assert {"name", "tags", "metadata"} == FRAMEWORKS


def test_what_a_call_can_give_is_documented():
    assert OF_A_CALL <= set(inspect.signature(UECRetriever).parameters)


def test_what_is_asynchronous_takes_what_its_twin_takes():
    twins = [
        (getattr(owner, name), getattr(owner, name[1:]))
        for owner in map(langchain_uec.__dict__.get, langchain_uec.__all__)
        for name in dir(owner)
        if name.startswith("a") and callable(getattr(owner, name[1:], None))
    ]
    assert len(twins) > 20
    for asynchronous, twin in twins:
        parameters = inspect.signature(asynchronous).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            assert list(parameters) == list(inspect.signature(twin).parameters), asynchronous.__qualname__
