"""As many nodes as it takes, and those alone that are probably right."""

import pytest
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.retrievers.uec import ToolRetriever, UECRetriever

from tests.engine.small import pairs, telling
from uec_retriever import Recipe
from uec_retriever.errors import InvalidInputError

TEXTS = telling(200)
LABELLED = {" ".join(text.split()[:2]): [f"id{i}"] for i, text in enumerate(TEXTS)}


@pytest.fixture(scope="module")
def sure(tmp_path_factory, li_models):
    nodes = [TextNode(id_=f"id{i}", text=text) for i, text in enumerate(TEXTS)]
    folder = tmp_path_factory.mktemp("covered") / "idx"
    with UECRetriever.from_nodes(nodes, [li_models["static"]], folder, Recipe(pairs()), device="cpu") as made:
        made.engine.calibrate_coverage(LABELLED)
        made.engine.calibrate_confidence(k=2, limit=100)
        yield made.engine


async def test_as_many_nodes_as_it_takes(sure):
    retriever = UECRetriever(engine=sure, similarity_top_k=1, coverage=0.9, include=["promise"])
    several = set()
    for query in list(LABELLED)[:20]:
        found = retriever.retrieve(query)
        assert [n.node.node_id for n in found] == [h.id for h in sure.search(query, coverage=0.9)]
        assert [n.node.node_id for n in await retriever.aretrieve(query)] == [n.node.node_id for n in found]
        promise = found[0].node.metadata["uec_promise"]
        assert (promise["needed"], promise["holds"]) == (len(found), True)
        several.add(len(found))
    assert len(several) > 1
    few = retriever.with_options(coverage=0.95, max_k=1).retrieve(next(iter(LABELLED)))
    assert len(few) == 1 and "max_k is 1" in few[0].node.metadata["uec_promise"]["reason"]


def test_more_candidates_than_nodes_are_not_needed_where_coverage_says_how_many(sure):
    query = next(iter(LABELLED))
    found = UECRetriever(engine=sure, similarity_top_k=40, candidates=30, coverage=0.9).retrieve(query)
    assert [n.node.node_id for n in found] == [h.id for h in sure.search(query, coverage=0.9, candidates=30)]


def test_nodes_that_are_probably_not_right_are_left_out(sure):
    plain = UECRetriever(engine=sure, similarity_top_k=10, include=["relevance"])
    query = next(iter(LABELLED))
    told = [n.node.metadata["uec_relevance"] for n in plain.retrieve(query)]
    assert told == sorted(told, reverse=True) and 0 <= told[-1] < told[0] <= 1
    strict = plain.with_options(min_relevance=told[4])
    assert [n.node.metadata["uec_relevance"] for n in strict.retrieve(query)] == told[:5]


def test_an_embedding_has_neither(sure):
    bundle = QueryBundle("", embedding=sure.embed_queries(["cat"])[0].tolist())
    for options in ({"coverage": 0.8}, {"min_relevance": 0.5}):
        retriever = UECRetriever(engine=sure, **options)
        with pytest.raises(InvalidInputError, match="calibrated for searches with a text"):
            retriever.retrieve(bundle)
    with pytest.raises(InvalidInputError, match="similarity_cutoff would leave out"):
        UECRetriever(engine=sure, coverage=0.8, similarity_cutoff=0.5)
    for bad in ({"coverage": 1.5}, {"max_k": 3}, {"min_relevance": 2}):
        with pytest.raises(InvalidInputError, match=next(iter(bad))):
            UECRetriever(engine=sure, **bad)


def test_an_agent_sees_more_tools_when_the_ranking_is_unsure(tmp_path, li_models):
    tools = [
        FunctionTool.from_defaults(lambda: "", name=f"tool_{i}", description=text)
        for i, text in enumerate(TEXTS[:60])
    ]
    with UECRetriever.from_nodes(
        [TextNode(text="seed")], [li_models["static"]], tmp_path / "idx", Recipe(pairs()), device="cpu"
    ) as retriever:
        found = ToolRetriever(retriever, tools)
        found.add_tools()
        ids = {r.text: r.id for page in retriever.engine.pages() for r in page}
        labelled = {
            " ".join(text.split()[:3]): [i for shown, i in ids.items() if text in shown]
            for text in TEXTS[:60]
        }
        retriever.engine.calibrate_coverage(labelled)
        wide = ToolRetriever(retriever.with_options(coverage=0.9, max_k=40), tools)
        sizes = {len(wide.retrieve(query)) for query in labelled}
        assert len(sizes) > 1 and max(sizes) <= 40
