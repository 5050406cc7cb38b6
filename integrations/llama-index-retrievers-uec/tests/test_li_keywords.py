"""A keyword that does not exist is refused with the names of those that do."""

import inspect

import pytest
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.embeddings.uae import UAEEmbedding
from llama_index.postprocessor.uec import UECRescorer
from llama_index.retrievers.uec import ToolRetriever, UECRetriever
from llama_index.vector_stores.uec import UECVectorStore

from uec_retriever.errors import InvalidInputError

CALLS = {
    "UECRetriever": lambda e, m, o: UECRetriever(engine=e, **o),
    "with_options": lambda e, m, o: UECRetriever(engine=e).with_options(**o),
    "from_nodes": lambda e, m, o: UECRetriever.from_nodes([], m, **o),
    "from_documents": lambda e, m, o: UECRetriever.from_documents([], m, **o),
    "from_tools": lambda e, m, o: ToolRetriever.from_tools([], m, **o),
    "UECRescorer": lambda e, m, o: UECRescorer(engine=e, **o),
    "from_experts": lambda e, m, o: UECRescorer.from_experts(m, **o),
    "UECVectorStore": lambda e, m, o: UECVectorStore(engine=e, **o),
    "UAEEmbedding": lambda e, m, o: UAEEmbedding(m[0], **o),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_valid_ones_are_named(name, filled, li_models):
    with pytest.raises((TypeError, InvalidInputError)) as refusal:
        CALLS[name](filled, list(li_models.values()), {"zzz": 1})
    words = str(refusal.value)
    assert "zzz" in words
    assert "it takes " in words or "which takes " in words
    assert len(words.split(", ")) >= 4
    assert "did you mean" not in words


@pytest.mark.parametrize(
    ("call", "given", "meant"),
    [
        ("UECRetriever", "k", "similarity_top_k"),
        ("UECRetriever", "filter", "filters"),
        ("UECRetriever", "score_threshold", "similarity_cutoff"),
        ("with_options", "candidate", "candidates"),
        ("from_nodes", "progress", "show_progress"),
        ("from_nodes", "embed_model", "experts"),
        ("from_tools", "node_postprocessor", "node_postprocessors"),
    ],
)
def test_the_one_that_is_meant_is_named(call, given, meant, filled, li_models):
    with pytest.raises(TypeError, match=rf"did you mean '{meant}'\?"):
        CALLS[call](filled, list(li_models.values()), {given: 1})


OF_A_STORE = {
    "add": [[]],
    "async_add": [[]],
    "delete": ["doc"],
    "adelete": ["doc"],
    "delete_nodes": [["a"]],
    "adelete_nodes": [["a"]],
    "query": [VectorStoreQuery(query_str="flow")],
    "aquery": [VectorStoreQuery(query_str="flow")],
}


@pytest.mark.parametrize("name", OF_A_STORE)
async def test_methods_of_the_store_pass_over_none(name, filled):
    store = UECVectorStore(engine=filled)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'zzz': it takes "):
        await getattr(store, name)(*OF_A_STORE[name], zzz=1)


def test_all_methods_that_take_any_keyword_are_among_these():
    own = [n for n, f in vars(UECVectorStore).items() if inspect.isfunction(f) and not n.startswith("_")]
    kinds = {
        n: {p.kind for p in inspect.signature(getattr(UECVectorStore, n)).parameters.values()} for n in own
    }
    assert {n for n in own if inspect.Parameter.VAR_KEYWORD in kinds[n]} == set(OF_A_STORE)
