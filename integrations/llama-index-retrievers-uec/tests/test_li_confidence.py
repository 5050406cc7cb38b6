"""The confidence of a calibrated index reaches the nodes."""

from llama_index.core.schema import MetadataMode, TextNode

from tests.engine.small import telling


def test_nodes_carry_the_confidence_of_the_search_and_prompts_do_not(retriever):
    nodes = [TextNode(id_=f"id{i}", text=text) for i, text in enumerate(telling(200))]
    made = retriever(nodes, include=["confidence"])
    assert made.retrieve("cat dog bird")[0].metadata == {"uec_confidence": None}
    made.engine.calibrate_confidence(k=5, limit=100)
    found = made.retrieve("cat dog bird")
    expected = made.engine.search("cat dog bird", 2).confidence
    assert 0 <= expected <= 1
    for node in found:
        assert node.metadata == {"uec_confidence": expected}
        assert "confidence" not in node.node.get_content(metadata_mode=MetadataMode.LLM)
