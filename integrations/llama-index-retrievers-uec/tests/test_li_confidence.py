"""The confidence of a calibrated index reaches the nodes."""

import pytest
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from tests.engine.small import telling


def test_nodes_carry_the_confidence_of_the_search_and_prompts_do_not(retriever):
    nodes = [TextNode(id_=f"id{i}", text=text, metadata={"n": i}) for i, text in enumerate(telling(200))]
    made = retriever(nodes, include=["confidence"])
    assert made.retrieve("cat dog bird")[0].metadata["uec_confidence"] is None
    made.engine.calibrate_confidence(k=5, limit=100)
    found = made.retrieve("cat dog bird")
    expected = made.engine.search("cat dog bird", 2).confidence
    assert 0 <= expected <= 1
    assert [node.metadata["uec_confidence"] for node in found] == [pytest.approx(expected, abs=1e-6)] * 2
    assert "confidence" not in found[0].node.get_content(metadata_mode=MetadataMode.LLM)
    only = MetadataFilters(filters=[MetadataFilter(key="n", value=0, operator=">=")])
    reasoned = made.with_options(filters=only, include=["confidence", "confidence_reason"])
    metadata = reasoned.retrieve("cat dog bird")[0].metadata
    assert metadata["uec_confidence"] is None
    assert "without a filter" in metadata["uec_confidence_reason"]
