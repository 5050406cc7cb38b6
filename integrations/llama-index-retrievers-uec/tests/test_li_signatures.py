"""Few parameters beside the framework's own, and each is documented where it is."""

import inspect

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.postprocessor.uec import UECRescorer
from llama_index.retrievers.uec import UECRetriever
from llama_index.retrievers.uec.retriever_options import RetrieverOptions, SearchFields

FRAMEWORKS = {
    "self",
    *inspect.signature(BaseRetriever.__init__).parameters,
    *BaseNodePostprocessor.model_fields,
}
CALLABLES = [
    UECRetriever,
    UECRetriever.from_nodes,
    UECRetriever.from_documents,
    UECRetriever.add_nodes,
    UECRetriever.add_documents,
    UECRescorer,
    UECRescorer.from_experts,
]


@pytest.mark.parametrize("function", CALLABLES, ids=lambda f: f.__qualname__)
def test_at_most_ten_parameters_each_documented(function):
    parameters = set(inspect.signature(function).parameters) - FRAMEWORKS - {"options"}
    assert 0 < len(parameters) <= 10
    words = inspect.getdoc(function)
    assert [name for name in parameters if f"{name}: " not in words] == []


def test_options_are_documented_once_at_the_retriever():
    parameters = inspect.signature(UECRetriever).parameters
    assert parameters["options"].annotation == "Unpack[RetrieverOptions]"
    words = inspect.getdoc(UECRetriever)
    assert [name for name in RetrieverOptions.__annotations__ if f"\n    {name}: " not in words] == []


def test_options_are_those_of_the_search_and_of_the_framework():
    frameworks = set(inspect.signature(BaseRetriever.__init__).parameters) - {"self"}
    assert set(RetrieverOptions.__annotations__) == frameworks | set(SearchFields.__annotations__)
    assert all(hasattr(SearchFields, name) for name in SearchFields.__annotations__)  # its default
