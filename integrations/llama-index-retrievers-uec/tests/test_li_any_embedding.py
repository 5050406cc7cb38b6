"""Any LlamaIndex `BaseEmbedding` is an expert: the OpenAI-like client against a local server, and a fake."""

import asyncio
from typing import Any

import numpy as np
import pytest
from llama_index.core import MockEmbedding
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode
from llama_index.postprocessor.uec import UECRescorer
from llama_index.retrievers.uec import UECRetriever

from tests.embeddings_server import EmbeddingServer, bag_of_words
from tests.engine.small import pairs, sentences
from uec_retriever import Engine, Recipe
from uec_retriever.errors import InvalidInputError, ModelNotFoundError

TEXTS = sentences(60, 3)
NODES = [TextNode(text=text, id_=f"t{i}") for i, text in enumerate(TEXTS)]
RECIPE = Recipe(pairs())


class Bag(BaseEmbedding):
    """Counts which methods are asked."""

    asked: dict[str, int] = {"query": 0, "text": 0, "asynchronously": 0}

    def _get_query_embedding(self, query: str) -> Any:
        self.asked["query"] += 1
        return np.asarray(bag_of_words([query])[0]).tolist()

    async def _aget_query_embedding(self, query: str) -> Any:
        self.asked["asynchronously"] += 1
        return np.asarray(bag_of_words([query])[0]).tolist()

    def _get_text_embedding(self, text: str) -> Any:
        self.asked["text"] += 1
        return np.asarray(bag_of_words([text])[0]).tolist()


@pytest.fixture
def client():
    like = pytest.importorskip("llama_index.embeddings.openai_like")
    with EmbeddingServer(key="sk-local-1234567890") as server:
        yield like.OpenAILikeEmbedding(model_name="tiny", api_base=server.url, api_key="sk-local-1234567890")


async def test_a_client_beside_a_model(client, li_models, tmp_path):
    experts = [client, next(iter(li_models.values()))]
    retriever = UECRetriever.from_nodes(NODES, experts, tmp_path, RECIPE)
    assert retriever.retrieve(TEXTS[4])[0].node.node_id == "t4"
    assert (await retriever.aretrieve(TEXTS[5]))[0].node.node_id == "t5"
    await client._get_aclient().close()  # nobody else does
    with pytest.raises(
        ModelNotFoundError, match=r"OpenAILikeEmbedding/tiny is an object.*experts=\{'tiny': ...\}"
    ):
        UECRetriever(tmp_path)
    again = UECRetriever(engine=Engine.open(tmp_path, experts={"tiny": client}))
    assert again.retrieve(TEXTS[4])[0].node.node_id == "t4"


def test_queries_and_texts_by_their_own_methods(tmp_path):
    bag = Bag(model_name="bag")
    retriever = UECRetriever.from_nodes(NODES, [bag], tmp_path, RECIPE)
    before = dict(bag.asked)
    assert retriever.retrieve(TEXTS[4])[0].node.node_id == "t4"
    assert bag.asked == {**before, "query": before["query"] + 1}


async def test_asynchronously(tmp_path):
    bag = Bag(model_name="bag")
    retriever = UECRetriever.from_nodes(NODES, [bag], tmp_path, RECIPE)
    before = dict(bag.asked)
    found = await asyncio.gather(*(retriever.aretrieve(text) for text in TEXTS[:8]))
    assert [nodes[0].node.node_id for nodes in found] == [f"t{i}" for i in range(8)]
    assert bag.asked == {**before, "asynchronously": before["asynchronously"] + 8}


def test_rescorer():
    rescorer = UECRescorer.from_experts([Bag(model_name="bag")], recipe=RECIPE)
    from llama_index.core.schema import NodeWithScore

    found = rescorer.postprocess_nodes([NodeWithScore(node=n) for n in NODES], query_str=TEXTS[8])
    assert found[0].node.node_id == "t8"


def test_a_mock_tells_no_texts_apart():
    with pytest.raises(InvalidInputError, match="gives different texts the same embedding, as a mock does"):
        UECRetriever.from_nodes(NODES, [MockEmbedding(embed_dim=8)], recipe=RECIPE)
