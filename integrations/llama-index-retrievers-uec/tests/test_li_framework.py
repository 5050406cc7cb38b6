"""LlamaIndex's own engines, retrievers and agents on top of the retriever."""

import logging
from dataclasses import replace

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import (
    HierarchicalNodeParser,
    SentenceWindowNodeParser,
    TokenTextSplitter,
    get_leaf_nodes,
)
from llama_index.core.objects import ObjectRetriever, SimpleToolNodeMapping
from llama_index.core.postprocessor import MetadataReplacementPostProcessor, SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import AutoMergingRetriever, QueryFusionRetriever
from llama_index.core.schema import Document, IndexNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.uae import UAEEmbedding
from llama_index.retrievers.uec import ToolRetriever, UECRetriever

from examples.scripted_llama_index_llm import ScriptedLLM
from tests.engine.small import sentences

TEXTS = list(dict.fromkeys(sentences(30, seed=3, words=14)))
QUERY = sentences(1, seed=9)[0]


@pytest.fixture
def nodes():
    return [TextNode(id_=f"node {i}", text=text, metadata={"n": i}) for i, text in enumerate(TEXTS)]


@pytest.mark.parametrize("use_async", [False, True])
async def test_query_engine(retriever, nodes, use_async):
    made = retriever(nodes, similarity_top_k=3, include=["score", "deviation"])
    engine = RetrieverQueryEngine.from_args(
        made, llm=MockLLM(), node_postprocessors=[SimilarityPostprocessor(similarity_cutoff=0.01)]
    )
    response = await engine.aquery(QUERY) if use_async else engine.query(QUERY)
    assert response.source_nodes == made.retrieve(QUERY)
    prompt = str(response)  # the mock repeats its prompt
    for node in response.source_nodes:
        assert node.text in prompt
    assert "n: " in prompt
    assert "uec_" not in prompt


@pytest.mark.parametrize("mode", ["reciprocal_rerank", "relative_score", "dist_based_score", "simple"])
def test_fusion_with_a_vector_index_that_shares_the_bundle(retriever, nodes, mode, li_models, caplog):
    ours = retriever(nodes, similarity_top_k=5)
    other = VectorStoreIndex(nodes, embed_model=UAEEmbedding(li_models["static"], device="cpu"))
    fused = QueryFusionRetriever(
        [other.as_retriever(similarity_top_k=5), ours],  # the first puts its embedding into the bundle
        llm=MockLLM(),
        mode=mode,
        num_queries=1,
        similarity_top_k=30,
        use_async=False,
    )
    with caplog.at_level(logging.WARNING, "llama_index.retrievers.uec"):
        found = {n.node_id for n in fused.retrieve(QUERY)}
    expected = {n.node_id for n in ours.retrieve(QUERY)} | {
        n.node_id for n in other.as_retriever(similarity_top_k=5).retrieve(QUERY)
    }
    assert found == expected
    assert len([r for r in caplog.records if "experts" in r.message]) <= 1


def test_auto_merging(retriever):
    document = Document(id_="doc", text=" ".join(f"{text}." for text in TEXTS))
    splitters = {str(size): TokenTextSplitter(chunk_size=size, chunk_overlap=0) for size in (256, 64)}
    parser = HierarchicalNodeParser.from_defaults(node_parser_ids=["256", "64"], node_parser_map=splitters)
    parsed = parser.get_nodes_from_documents([document])
    leaves = get_leaf_nodes(parsed)
    store = SimpleDocumentStore()
    store.add_documents(parsed)
    base = retriever(leaves, similarity_top_k=len(leaves))
    merging = AutoMergingRetriever(base, StorageContext.from_defaults(docstore=store))
    found = merging.retrieve(QUERY)
    parents = {n.node_id for n in parsed} - {n.node_id for n in leaves}
    assert parents
    assert {n.node_id for n in found} <= parents
    assert found
    assert all(0 < n.score <= 1 for n in found)


def test_sentence_windows(retriever):
    parser = SentenceWindowNodeParser.from_defaults(
        window_size=1, sentence_splitter=lambda text: [f"{s.strip()}." for s in text.split(".") if s.strip()]
    )
    document = Document(id_="doc", text=" ".join(f"{text.capitalize()}." for text in TEXTS[:10]))
    made = retriever(parser.get_nodes_from_documents([document]), similarity_top_k=3)
    found = made.retrieve(TEXTS[4])
    assert found[0].text.strip().lower() == f"{TEXTS[4]}."
    windows = MetadataReplacementPostProcessor(target_metadata_key="window").postprocess_nodes(found)
    assert all(text.capitalize() in windows[0].text for text in TEXTS[3:6])


def test_index_nodes_lead_on(retriever, nodes):
    table = retriever(nodes, similarity_top_k=3)
    target, other = TextNode(id_="target", text="red bird"), TextNode(id_="other", text="cat")
    index_nodes = [
        IndexNode(id_="to node", text="the wing probe", index_id="a"),
        IndexNode(id_="to retriever", text="seven green cats", index_id="b"),
    ]
    base = UECRetriever(engine=table.engine, similarity_top_k=1, object_map={"a": target, "b": table})
    base.add_nodes(index_nodes)
    assert base.retrieve("the wing probe")[0].node == target
    assert [n.node_id for n in base.retrieve("seven green cats")] == [
        n.node_id for n in table.retrieve("seven green cats")
    ]
    base.add_nodes([IndexNode(id_="held", text="hello world", index_id="c", obj=other)])
    assert base.retrieve("hello world")[0].node == other
    reopened = UECRetriever(engine=table.engine, similarity_top_k=1)
    assert reopened.retrieve("hello world")[0].node.index_id == "c"


@pytest.mark.parametrize("use_async", [False, True])
async def test_the_score_0_of_an_index_node_stays_so(retriever, monkeypatch, use_async):
    target = TextNode(id_="target", text="red bird")
    base = retriever([IndexNode(id_="i", text="the wing", index_id="a")], object_map={"a": target})
    result = base.engine.search("the wing", 1)
    worst = replace(result, hits=[replace(result.hits[0], score=0.0, raw_score=-1.0)])
    monkeypatch.setattr(base.engine, "search_together", lambda *args, **options: worst)
    [found] = await base.aretrieve("the wing") if use_async else base.retrieve("the wing")
    assert found.node == target
    assert found.score == pytest.approx(0)


def tools():
    def make(i, text):
        return FunctionTool.from_defaults(
            lambda request: f"tool {i} got {request}", name=f"tool_{i}", description=text
        )

    return [make(i, text) for i, text in enumerate(TEXTS)]


# by workflows, which looks at every attribute of an agent; the last by its first version
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")
@pytest.mark.filterwarnings("ignore:ServiceManager is deprecated:DeprecationWarning")
async def test_an_agent_gets_the_tools_that_the_retriever_picks(retriever):
    mapping = SimpleToolNodeMapping.from_objects(tools())
    base = retriever(similarity_top_k=3)
    assert base.add_nodes(mapping.to_nodes(tools()), content_ids=True).added == len(TEXTS)
    other_process = [n.model_copy(update={"id_": f"{i}"}) for i, n in enumerate(mapping.to_nodes(tools()))]
    assert base.add_nodes(other_process, content_ids=True).unchanged == len(TEXTS)
    llm = ScriptedLLM()
    found = ObjectRetriever(base, mapping).retrieve(TEXTS[4])
    assert [tool.metadata.name for tool in found] == [n.metadata["name"] for n in base.retrieve(TEXTS[4])]
    retriever = ToolRetriever(base, tools())
    report = retriever.add_tools()  # by name, in place of what stood under ids of the content
    assert (report.added, report.deleted) == (len(TEXTS), len(TEXTS))
    assert retriever.add_tools().unchanged == len(TEXTS)
    agent = FunctionAgent(tool_retriever=retriever, llm=llm)
    query = f"Tool description: {TEXTS[4]}"
    response = await agent.run(query)
    picked = [n.metadata["name"] for n in base.retrieve(query)]
    assert llm.offered[0] == picked
    assert "tool_4" in picked
    assert str(response) == f"tool {picked[0].split('_')[1]} got {query}"


async def test_tools_are_found_by_name_and_those_that_are_gone_are_passed_over(retriever):
    base = retriever(similarity_top_k=len(TEXTS))
    ToolRetriever(base, tools()).add_tools()
    few = ToolRetriever(base, tools()[:3], [SimilarityPostprocessor(similarity_cutoff=0.0)])
    assert [t.metadata.name for t in few.retrieve("tool_2")] == ["tool_2"]
    assert {t.metadata.name for t in await few.aretrieve(QUERY)} == {"tool_0", "tool_1", "tool_2"}


def test_relationships_survive(retriever):
    source = RelatedNodeInfo(node_id="doc", metadata={"title": "x"}, hash="abc")
    node = TextNode(id_="a", text="the wing", relationships={NodeRelationship.SOURCE: source})
    [found] = retriever([node]).retrieve("the wing")
    assert found.node.source_node == source
    assert found.node.ref_doc_id == "doc"
