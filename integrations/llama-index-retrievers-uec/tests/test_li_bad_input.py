"""What cannot be used is refused before anything is made, with the core's own errors."""

import numpy as np
import pytest
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.postprocessor.uec import UECRescorer
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


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"include": None}, "include is a list"),
        ({"include": [["score"]]}, "include can hold"),
        ({"similarity_cutoff": "3"}, r"lowest score must be a number in \[0, 1\]"),
        ({"similarity_cutoff": float("nan")}, "lowest score must be a number"),
        ({"similarity_top_k": "2"}, "k must be a whole number"),
        ({"similarity_top_k": None}, "k must be a whole number of at least 1"),
        ({"candidates": 1}, "candidates must be at least"),
        ({"temperature": "x"}, "temperature"),
        ({"min_confidence": 1.5}, r"min_confidence must be a number in \[0, 1\]"),
        ({"min_confidence": "high"}, "min_confidence must be a number"),
        ({"abstain": "silently"}, "abstain is one of flag, empty, raise"),
        ({"no_evidence": " "}, "no_evidence is a sentence"),
        ({"min_confidence": 0.5, "no_evidence": "Nothing."}, "give abstain='empty' too"),
    ],
)
def test_options_are_refused_at_construction_and_before_anything_is_made(
    engine, experts, tmp_path, options, says
):
    with pytest.raises(InvalidInputError, match=says):
        UECRetriever(engine=engine, **options)
    for make in (UECRetriever.from_nodes, UECRetriever.from_documents):
        with pytest.raises(InvalidInputError, match=says):
            make([Document(text="the wing")], experts, tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"include": None}, "include is a list"),
        ({"include": ["confidence"]}, "include can hold"),
        ({"similarity_cutoff": "3"}, "lowest score"),
        ({"top_n": 0}, "top_n must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"top_n": "2"}, "top_n must be"),
        ({"top_k": 3}, "top_k is no option of it, which takes .*top_n"),
    ],
)
def test_a_rescorer_is_refused_before_it_fits(engine, experts, tmp_path, fields, says):
    with pytest.raises(InvalidInputError, match=says):
        UECRescorer(engine=engine, **fields)
    with pytest.raises(InvalidInputError, match=says):
        UECRescorer.from_experts(experts, tmp_path / "none", **fields)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ([Document(text="a \ud800 b")], r"document 0 .*lone surrogate.*repair it"),
        ([Document(text="wing", metadata={"title": "\ud800"})], "lone surrogate"),
        ([Document(text="wing", metadata={"long": "word " * 2000})], "excluded_embed_metadata_keys"),
        ([Document(text="wing", metadata={"n": np.arange(3)})], r"cannot be stored.*ndarray"),
        (Document(text="wing"), "put it into a list"),
        ("wing", "put it into a list"),
        (None, "expected a list of documents"),
        (["wing"], r"document 0 is str.*Document\(text="),
    ],
)
@pytest.mark.parametrize("content_ids", [True, False])
def test_documents_that_cannot_be_split(engine, documents, says, content_ids):
    splitter = [SentenceSplitter(chunk_size=200)]
    with pytest.raises(InvalidInputError, match=says):
        UECRetriever(engine=engine).add_documents(
            documents, transformations=splitter, content_ids=content_ids
        )
    assert engine.count() == 0


def test_the_users_own_transformation_fails_in_its_own_words(engine):
    def fail(nodes, **options):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="^mine$"):
        UECRetriever(engine=engine).add_documents([Document(text="wing")], transformations=[fail])


@pytest.mark.parametrize("content_ids", [True, False])
def test_what_is_no_node(engine, content_ids):
    for nodes, says in (
        ([3], r"node 0 is int.*TextNode\(text="),
        (TextNode(text="x"), "into a list"),
        (None, "list of"),
    ):
        with pytest.raises(InvalidInputError, match=says):
            UECRetriever(engine=engine).add_nodes(nodes, content_ids=content_ids)
    assert UECRetriever(engine=engine).add_nodes(TextNode(text=t) for t in ("the wing",)).added == 1
