"""What comes back where the confidence is too low: a flag, nothing, an error, another retriever, or a sentence."""

import pickle
import re
import shutil
from pathlib import Path

import llama_index.retrievers.uec as ours
import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.base_selector import BaseSelector, SelectorResult, SingleSelection
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever, RouterRetriever
from llama_index.core.schema import MetadataMode, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool, RetrieverTool
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.retrievers.uec import NO_EVIDENCE_ID, ToolRetriever, UECRetriever

from tests.engine.small import pairs, sentences, telling
from uec_retriever import Engine, Recipe
from uec_retriever.engine.results import EXTRAS
from uec_retriever.errors import InvalidInputError, LowConfidenceError

TEXTS = telling(200)
QUERIES = sentences(12, 2, 5)
NOTHING = "Nothing in the documents answers this: say so."


@pytest.fixture(scope="module")
def folder(tmp_path_factory, li_models):
    """Of an index that knows how sure it is."""
    folder = tmp_path_factory.mktemp("sure") / "idx"
    nodes = [TextNode(id_=f"id{i}", text=text, metadata={"n": i}) for i, text in enumerate(TEXTS)]
    with UECRetriever.from_nodes(nodes, [li_models["static"]], folder, Recipe(pairs()), device="cpu") as made:
        made.engine.calibrate_confidence(k=2, limit=100)
    return folder


@pytest.fixture(scope="module")
def sure(folder):
    return Engine.open(folder, device="cpu")


@pytest.fixture(scope="module")
def ordered(sure):
    """Queries, the least sure first."""
    return sorted(QUERIES, key=lambda query: sure.search(query, 2).confidence)


@pytest.fixture(scope="module")
def least(sure, ordered):
    """A confidence that only half of the queries reach."""
    low, high = (sure.search(ordered[i], 2).confidence for i in (5, 6))
    assert low < high
    return (low + high) / 2


@pytest.fixture
def told(sure, least):
    return UECRetriever(engine=sure, min_confidence=least, abstain="empty", no_evidence=NOTHING)


async def ask(retriever, query):
    """What comes back, by both ways."""
    found = retriever.retrieve(query)
    assert await retriever.aretrieve(query) == found
    return found


def ids(found):
    return [node.node_id for node in found]


async def test_flagged_nodes_stay(sure, ordered, least):
    retriever = UECRetriever(engine=sure, min_confidence=least, include=["abstained"])
    plain = UECRetriever(engine=sure)
    for i, query in enumerate(ordered):
        found = await ask(retriever, query)
        assert [node.metadata["uec_abstained"] for node in found] == [i < 6] * 2
        assert ids(found) == ids(plain.retrieve(query))
        assert "abstained" not in found[0].node.get_content(metadata_mode=MetadataMode.LLM)


async def test_empty_and_raised(sure, ordered, least):
    plain = UECRetriever(engine=sure)
    empty = plain.with_options(min_confidence=least, abstain="empty")
    raising = empty.with_options(abstain="raise")
    assert await ask(empty, ordered[0]) == []
    assert len(await ask(empty, ordered[-1])) == len(await ask(raising, ordered[-1])) == 2
    assert await ask(empty.with_options(min_confidence=None), ordered[0]) == plain.retrieve(ordered[0])
    with pytest.raises(LowConfidenceError) as raised:
        raising.retrieve(ordered[0])
    assert len(raised.value.result.hits) == 2
    with pytest.raises(LowConfidenceError):
        await raising.aretrieve(ordered[0])


async def test_without_a_confidence_it_is_refused_and_not_passed_over(sure, retriever):
    only = MetadataFilters(filters=[MetadataFilter(key="n", value=0, operator=">=")])
    unsure, confident = retriever([TextNode(text="cat")]), UECRetriever(engine=sure, min_confidence=0.5)
    vector = sure.vectors_by_id(["id3"])["id3"].tolist()
    trusting = confident.with_options(trust_query_embedding=True)
    for made, query, says in [
        (unsure.with_options(min_confidence=0.5), "cat", "not calibrated.*calibrate_confidence"),
        (confident.with_options(filters=only), "cat", "without a filter"),
        (confident, QueryBundle("cat", custom_embedding_strs=["cat", "dog"]), "with one text"),
        (confident, QueryBundle("", embedding=vector), "give the query's text beside it"),
        (trusting, QueryBundle("cat", embedding=vector), "leave out trust_query_embedding"),
    ]:
        with pytest.raises(InvalidInputError, match=says):
            made.retrieve(query)
        with pytest.raises(InvalidInputError, match=says):
            await made.aretrieve(query)
    lifted = trusting.with_options(min_confidence=None, abstain="empty")
    assert ids(await ask(lifted, QueryBundle("cat", embedding=vector)))[0] == "id3"


class Selector(BaseSelector):
    """The first retriever where it is sure enough, the second where it is not."""

    def __init__(self, engine, least):
        self.engine, self.least = engine, least

    def _select(self, choices, query):
        unsure = self.engine.search(query.query_str, 2, min_confidence=self.least).abstained
        return SelectorResult(selections=[SingleSelection(index=int(unsure), reason="confidence")])

    async def _aselect(self, choices, query):
        return self._select(choices, query)

    def _get_prompts(self):
        return {}

    def _update_prompts(self, prompts):
        pass


class OrElse(BaseRetriever):
    """The second retriever where the first has nothing."""

    def __init__(self, first, second):
        self.first, self.second = first, second
        super().__init__()

    def _retrieve(self, bundle):
        return self.first.retrieve(bundle) or self.second.retrieve(bundle)


async def test_another_retriever_takes_over(sure, retriever, ordered, least):
    first, second = UECRetriever(engine=sure), retriever([TextNode(id_="other", text="cat dog")])
    tools = [RetrieverTool.from_defaults(each) for each in (first, second)]
    router = RouterRetriever(Selector(sure, least), tools, llm=MockLLM())
    custom = OrElse(first.with_options(min_confidence=least, abstain="empty"), second)
    for made in (router, custom):
        for i, query in enumerate(ordered):
            assert ids(await ask(made, query)) == (["other"] if i < 6 else ids(first.retrieve(query)))
    engine = RetrieverQueryEngine.from_args(custom, llm=MockLLM())
    assert ids(engine.query(ordered[0]).source_nodes) == ["other"]


async def test_a_tool_says_the_sentence(told, ordered):
    tool = RetrieverTool.from_defaults(told, name="find", description="Finds documents")
    for query in (ordered[0], ordered[-1]):
        output, awaited = tool.call(query), await tool.acall(query)
        assert output.content == awaited.content
        assert (output.content.strip() == NOTHING) == (query == ordered[0])
    assert ids(tool.call(ordered[0]).raw_output) == [NO_EVIDENCE_ID]


async def test_a_query_engine_reads_the_sentence_or_does_not_ask_its_model(told, ordered):
    engine = RetrieverQueryEngine.from_args(told, llm=MockLLM())
    for response in (engine.query(ordered[0]), await engine.aquery(ordered[0])):
        assert NOTHING in str(response)  # the mock repeats its prompt
        assert ids(response.source_nodes) == [NO_EVIDENCE_ID]
    silent = RetrieverQueryEngine.from_args(told.with_options(no_evidence=None), llm=MockLLM())
    assert str(silent.query(ordered[0])) == "Empty Response"


async def test_the_sentence_is_a_node_of_its_own(sure, retriever, told, ordered):
    full = told.with_options(include=list(EXTRAS))
    [found], [other, *_] = await ask(full, ordered[0]), await ask(full, ordered[-1])
    assert (found.node_id, found.score, found.node.text) == (NO_EVIDENCE_ID, 0.0, NOTHING)
    assert found.metadata.keys() | {"n"} == other.metadata.keys()
    assert found.metadata["uec_abstained"] is True
    assert found.metadata["uec_confidence"] == pytest.approx(sure.search(ordered[0], 2).confidence)
    assert found.node.get_content(metadata_mode=MetadataMode.LLM) == NOTHING
    assert told.retrieve(ordered[0])[0].metadata == {}
    plain = retriever([TextNode(text="cat dog")], no_evidence="None.")
    assert plain.retrieve("cat")[0].text == "cat dog"
    only = MetadataFilters(filters=[MetadataFilter(key="n", value=-1)])
    for options in ({"similarity_cutoff": 1.0}, {"filters": only}):
        assert ids(await ask(plain.with_options(**options), "cat")) == [NO_EVIDENCE_ID]
    fused = QueryFusionRetriever([told, told], llm=MockLLM(), num_queries=1, use_async=False)
    assert ids(fused.retrieve(ordered[0])) == [NO_EVIDENCE_ID]


def test_options_are_kept_by_pickles(folder, least, ordered):
    options = {"min_confidence": least, "abstain": "empty", "no_evidence": NOTHING}
    again = pickle.loads(pickle.dumps(UECRetriever(folder, device="cpu", **options)))
    assert {name: getattr(again, name) for name in options} == options
    assert ids(again.retrieve(ordered[0])) == [NO_EVIDENCE_ID]


async def test_tools_that_are_not_sure_enough_are_not_offered(sure, retriever, least, ordered):
    def make(text):
        return FunctionTool.from_defaults(lambda: text, name=text.replace(" ", "_"), description=text)

    tools = [make(" ".join(text.split()[:6]).replace(".", "")) for text in TEXTS]
    base = retriever(similarity_top_k=3)
    ToolRetriever(base, tools).add_tools()
    base.engine.calibrate_confidence(k=3, limit=100)
    bar = sorted(base.engine.search(query, 3).confidence for query in ordered)[6]
    unsure = [query for query in ordered if base.engine.search(query, 3).confidence < bar]
    assert 0 < len(unsure) < len(ordered)
    for options in ({}, {"no_evidence": NOTHING}):
        sure_of = ToolRetriever(base.with_options(min_confidence=bar, abstain="empty", **options), tools)
        for query in ordered:
            found = sure_of.retrieve(query)
            assert await sure_of.aretrieve(query) == found
            assert len(found) == (0 if query in unsure else 3)
        assert sure_of.retrieve(tools[0].metadata.name) == [tools[0]]
    raising = ToolRetriever(base.with_options(min_confidence=bar, abstain="raise"), tools)
    with pytest.raises(LowConfidenceError):
        raising.retrieve(unsure[0])


def test_the_readmes_code_runs(folder, retriever, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "idx")
    monkeypatch.chdir(tmp_path)
    readme = Path(ours.__file__).parents[3] / "README.md"
    section = readme.read_text().split("## Abstaining\n")[1].split("\n## ")[0]
    tool_code, fallback_code = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    other = retriever([TextNode(id_="other", text="cat dog")])
    names = {"UECRetriever": UECRetriever, "llm": MockLLM(), "other_retriever": other}
    exec(tool_code, names)
    search = names["retriever"].engine.search
    surest = max(TEXTS, key=lambda text: search(text).confidence)
    assert names["tool"].call("zzz qqq").content.strip() == names["sentence"]
    assert names["tool"].call(surest).content.strip() != names["sentence"]
    exec(fallback_code, names)
    assert ids(names["retriever"].retrieve("zzz qqq")) == ["other"]
    assert len(names["retriever"].retrieve(surest)) == 2
