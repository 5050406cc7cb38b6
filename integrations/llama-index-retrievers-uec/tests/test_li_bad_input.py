"""What cannot be used is refused before anything is made, with the core's own errors."""

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.retrievers.uec import UECRetriever

from uec_retriever.errors import InvalidInputError, NotAnIndexError


def test_arguments_that_cannot_be_used(engine, tmp_path, experts):
    filters = MetadataFilters(filters=[MetadataFilter(key="a", value="b", operator="text_match")])
    for options, says in [
        ({}, "one of them"),
        ({"index": tmp_path, "engine": engine}, "one of them"),
        ({"engine": "index"}, "engine is a str"),
        ({"engine": engine, "device": "cpu"}, "leave out device"),
        ({"engine": engine, "filters": filters}, "'text_match'"),
        ({"engine": engine, "filters": {"a": 1}}, "MetadataFilters"),
        ({"engine": engine, "include": "score"}, r"\['score'\]"),
        ({"engine": engine, "include": ["variance"]}, "'variance'"),
        ({"engine": engine, "similarity_cutoff": 1.5}, r"\[0, 1\]"),
    ]:
        with pytest.raises(InvalidInputError, match=says):
            UECRetriever(**options)
    with pytest.raises(TypeError, match="top_k"):
        UECRetriever(engine=engine, top_k=3)
    with pytest.raises(NotAnIndexError):
        UECRetriever(tmp_path / "nowhere")
    for bad, error in [
        ({"colour": 1}, TypeError),
        ({"url": "http://localhost"}, TypeError),
        ({"similarity_cutoff": -1.0}, InvalidInputError),
        ({"filters": filters}, InvalidInputError),
        ({"include": ["x"]}, InvalidInputError),
    ]:
        with pytest.raises(error):
            UECRetriever.from_nodes([TextNode(text="the wing")], experts, tmp_path / "none", **bad)
    with pytest.raises(InvalidInputError, match="text 0 is empty"):
        UECRetriever.from_nodes([TextNode(text="")], experts, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    for options, says in [({"similarity_top_k": 0}, "k must be"), ({"candidates": 1}, "candidates must be")]:
        with pytest.raises(InvalidInputError, match=says):
            UECRetriever(engine=engine, **options)


async def test_errors_reach_the_user_as_they_are(engine):
    with pytest.raises(InvalidInputError, match="query 0 is empty"):
        await UECRetriever(engine=engine).aretrieve("")
