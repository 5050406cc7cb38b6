"""UECRescorer: rescoring of what any retriever returned."""

import numpy as np
import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.uec import UECRescorer

from tests.engine.small import sentences
from uec_retriever import Location
from uec_retriever.errors import InvalidInputError, NotAnIndexError

TEXTS = list(dict.fromkeys(sentences(20, seed=3, words=14)))
QUERY = sentences(1, seed=9)[0]


@pytest.fixture
def found():
    nodes = [TextNode(id_=f"node {i}", text=text, metadata={"n": i}) for i, text in enumerate(TEXTS)]
    return [NodeWithScore(node=node, score=-5.0) for node in nodes]


async def test_scores_are_the_engines_whatever_the_order(filled, found):
    rescorer = UECRescorer(engine=filled)
    result = rescorer.postprocess_nodes(found, query_str=QUERY)
    texts = [n.node.get_content(metadata_mode=MetadataMode.EMBED) for n in found]
    expected = filled.rescore(QUERY, texts).scores
    assert [n.score for n in result] == sorted(expected.tolist(), reverse=True)
    best = int(np.argmax(expected))
    assert result[0].node == found[best].node
    assert {n.node_id for n in result} == {n.node_id for n in found}
    assert all(n.score == -5.0 for n in found)
    again = rescorer.postprocess_nodes(found[::-1], query_bundle=QueryBundle(QUERY))
    assert [n.node_id for n in again] == [n.node_id for n in result]
    assert await rescorer.apostprocess_nodes(found, query_str=QUERY) == result


def test_top_n_and_cutoff(filled, found):
    everything = UECRescorer(engine=filled).postprocess_nodes(found, query_str=QUERY)
    cutoff = everything[4].score
    assert UECRescorer(engine=filled, top_n=3).postprocess_nodes(found, query_str=QUERY) == everything[:3]
    some = UECRescorer(engine=filled, similarity_cutoff=cutoff).postprocess_nodes(found, query_str=QUERY)
    assert some == everything[:5]


def test_extras_in_copies_hidden_from_prompts(filled, found):
    before = [n.model_copy(deep=True) for n in found]
    names = ["score", "raw_score", "deviation", "coefficients"]
    result = UECRescorer(engine=filled, include=names).postprocess_nodes(found, query_str=QUERY)
    assert found == before
    plain = {n.node_id: n.node for n in found}
    for n in result:
        assert set(n.metadata) == {"n", *(f"uec_{name}" for name in names)}
        for mode in (MetadataMode.LLM, MetadataMode.EMBED):
            assert n.get_content(metadata_mode=mode) == plain[n.node_id].get_content(metadata_mode=mode)


def test_extras_of_the_retriever_are_replaced(engine, retriever, found):
    nodes = [n.node for n in found]
    first = retriever(nodes, similarity_top_k=5, include=["score", "confidence"]).retrieve(QUERY)
    result = UECRescorer(engine=engine, include=["score"]).postprocess_nodes(first[::-1], query_str=QUERY)
    assert [n.metadata["uec_score"] for n in result] == [n.score for n in result]
    assert [n.score for n in result] == pytest.approx([n.score for n in first], abs=1e-5)


def test_in_a_query_engine(filled, retriever, found):
    base = retriever([n.node for n in found], similarity_top_k=10)
    engine = RetrieverQueryEngine.from_args(
        base, llm=MockLLM(), node_postprocessors=[UECRescorer(engine=filled, top_n=2)]
    )
    assert len(engine.query(QUERY).source_nodes) == 2


def test_from_experts_needs_no_index_and_from_an_index_serialises(tmp_path, experts, recipe, found):
    made = UECRescorer.from_experts(experts, tmp_path / "kept", recipe, top_n=4)
    place = Location(tmp_path / "kept", headers={"token": "hush"})
    opened = UECRescorer(place, top_n=4, device="cpu")
    expected = made.postprocess_nodes(found, query_str=QUERY)
    assert len(expected) == 4
    state = opened.to_dict()
    assert "hush" not in str(state)
    assert "hush" not in repr(opened)
    assert state["index"] == place.to_dict()
    plain = UECRescorer(tmp_path / "kept", top_n=4, device="cpu")
    restored = [UECRescorer.from_dict(state), UECRescorer.from_json(opened.to_json())]
    for other in (opened, plain, *restored, UECRescorer.from_dict(plain.to_dict())):
        result = other.postprocess_nodes(found, query_str=QUERY)
        assert [n.node_id for n in result] == [n.node_id for n in expected]
        assert [n.score for n in result] == pytest.approx([n.score for n in expected])


def test_bad_arguments(filled, found, tmp_path):
    rescorer = UECRescorer(engine=filled)
    assert rescorer.postprocess_nodes([], query_str=QUERY) == []
    with pytest.raises(InvalidInputError, match="query_bundle"):
        rescorer.postprocess_nodes(found)
    with pytest.raises(InvalidInputError, match="query 0 is empty"):
        rescorer.postprocess_nodes(found, query_str=" ")
    with pytest.raises(InvalidInputError, match="text 0 is empty"):
        rescorer.postprocess_nodes([NodeWithScore(node=TextNode(text=""))], query_str=QUERY)
    with pytest.raises(InvalidInputError, match="one of them"):
        UECRescorer()
    with pytest.raises(InvalidInputError, match="confidence"):
        UECRescorer(engine=filled, include=["confidence"])
    with pytest.raises(InvalidInputError, match="engine is a str"):
        UECRescorer(engine="index")
    with pytest.raises(InvalidInputError, match=r"\[0, 1\]"):
        UECRescorer(engine=filled, similarity_cutoff=2)
    with pytest.raises(NotAnIndexError):
        UECRescorer(tmp_path / "nowhere")
    with pytest.raises(InvalidInputError, match="top_k"):
        UECRescorer(engine=filled, top_k=3)
    with pytest.raises(InvalidInputError, match="top_n"):
        UECRescorer(engine=filled, top_n=0)
