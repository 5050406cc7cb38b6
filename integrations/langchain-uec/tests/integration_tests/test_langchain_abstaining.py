"""What comes back where the confidence is too low: a flag, nothing, an error, another retriever, or a sentence."""

import pickle
import re
import shutil
from pathlib import Path

import pytest
from langchain_classic.retrievers import EnsembleRetriever
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_core.tools import create_retriever_tool
from langchain_small import pairs, sentences, telling

import langchain_uec
from langchain_uec import NO_EVIDENCE_ID, UECRetriever
from uec_retriever import Engine, Recipe
from uec_retriever.errors import InvalidInputError, LowConfidenceError

TEXTS = telling(200)
QUERIES = sentences(12, 2)
NOTHING = "Nothing in the documents answers this: say so."


@pytest.fixture(scope="module")
def folder(tmp_path_factory, models):
    """Of an index that knows how sure it is."""
    folder = tmp_path_factory.mktemp("sure") / "idx"
    metadatas = [{"n": n} for n in range(len(TEXTS))]
    Engine.from_texts(TEXTS, models[:1], folder, Recipe(pairs()), metadatas=metadatas, device="cpu")
    Engine.open(folder, device="cpu").calibrate_confidence(k=4, limit=100)
    return folder


@pytest.fixture(scope="module")
def sure(folder):
    return Engine.open(folder, device="cpu")


@pytest.fixture(scope="module")
def ordered(sure):
    """Queries, the least sure first."""
    return sorted(QUERIES, key=lambda query: sure.search(query, 4).confidence)


@pytest.fixture(scope="module")
def least(sure, ordered):
    """A confidence that only half of the queries reach."""
    low, high = (sure.search(ordered[i], 4).confidence for i in (5, 6))
    assert low < high
    return (low + high) / 2


async def ask(retriever, query, **options):
    """What comes back, by both ways."""
    found = retriever.invoke(query, **options)
    assert await retriever.ainvoke(query, **options) == found
    return found


async def test_flagged_documents_stay(sure, ordered, least):
    retriever = UECRetriever(engine=sure, min_confidence=least, include=["abstained"])
    plain = UECRetriever(engine=sure)
    for i, query in enumerate(ordered):
        found = await ask(retriever, query)
        assert [d.metadata["uec_abstained"] for d in found] == [i < 6] * 4
        assert [d.id for d in found] == [d.id for d in plain.invoke(query)]


async def test_empty_and_raised(sure, ordered, least):
    unsure, confident = ordered[0], ordered[-1]
    for retriever, options in [
        (UECRetriever(engine=sure, min_confidence=least, abstain="empty"), {}),
        (UECRetriever(engine=sure), {"min_confidence": least, "abstain": "empty"}),
        (UECRetriever(engine=sure, min_confidence=least), {"abstain": "empty"}),
        (UECRetriever(engine=sure, abstain="empty"), {"min_confidence": least}),
    ]:
        assert await ask(retriever, unsure, **options) == []
        assert len(await ask(retriever, confident, **options)) == 4
        assert len(await ask(retriever, unsure, **{**options, "min_confidence": 0})) == 4
        with pytest.raises(LowConfidenceError) as raised:
            retriever.invoke(unsure, **{"min_confidence": least, "abstain": "raise"})
        assert len(raised.value.result.hits) == 4
        with pytest.raises(LowConfidenceError):
            await retriever.ainvoke(unsure, min_confidence=least, abstain="raise")


async def test_without_a_confidence_it_is_refused_and_not_passed_over(engine, sure):
    for retriever, options, says in [
        (UECRetriever(engine=engine, min_confidence=0.5), {}, "not calibrated.*calibrate_confidence"),
        (UECRetriever(engine=sure, min_confidence=0.5), {"filter": {"n": {"$gte": 0}}}, "without a filter"),
    ]:
        with pytest.raises(InvalidInputError, match=says):
            retriever.invoke("cat dog", **options)
        with pytest.raises(InvalidInputError, match=says):
            await retriever.ainvoke("cat dog", **options)
        assert len(await ask(retriever, "cat dog", min_confidence=0, **options)) == 4


async def test_another_retriever_takes_over(sure, engine, ordered, least):
    ours = UECRetriever(engine=sure, min_confidence=least, abstain="raise")
    other = UECRetriever(engine=engine, k=2)
    retriever = ours.with_fallbacks([other], exceptions_to_handle=(LowConfidenceError,))
    for query in (ordered[0], ordered[-1]):
        chosen = other if query == ordered[0] else ours
        assert await ask(retriever, query) == chosen.invoke(query)
    assert retriever.batch(ordered) == [
        (other if i < 6 else ours).invoke(query) for i, query in enumerate(ordered)
    ]
    with pytest.raises(InvalidInputError, match="empty"):
        retriever.invoke(" ")
    sentence = RunnableLambda(lambda query: [Document(f"No idea: {query}")])
    tool = create_retriever_tool(
        ours.with_fallbacks([sentence], exceptions_to_handle=(LowConfidenceError,)), "find", "Finds"
    )
    assert tool.invoke({"query": ordered[0]}) == f"No idea: {ordered[0]}"


@pytest.fixture
def told(sure, least):
    return UECRetriever(engine=sure, min_confidence=least, abstain="empty", no_evidence=NOTHING)


async def test_a_tool_says_the_sentence(told, ordered):
    tool = create_retriever_tool(told, "find", "Finds documents")
    for give in (lambda query: {"query": query}, lambda query: query):
        assert tool.invoke(give(ordered[0])) == await tool.ainvoke(give(ordered[0])) == NOTHING
        assert tool.invoke(give(ordered[-1])) == "\n\n".join(d.page_content for d in told.invoke(ordered[-1]))
    call = {"name": "find", "args": {"query": ordered[0]}, "id": "1", "type": "tool_call"}
    assert tool.invoke(call).content == NOTHING
    both = create_retriever_tool(told, "find", "Finds", response_format="content_and_artifact")
    assert [d.id for d in both.invoke(call).artifact] == [NO_EVIDENCE_ID]


@pytest.mark.filterwarnings("ignore:This API is in beta")
async def test_a_retriever_as_tool_says_it(told, ordered):
    tool = told.as_tool(name="find", description="Finds documents")
    call = {"name": "find", "args": {"__arg1": ordered[0]}, "id": "1", "type": "tool_call"}
    assert NOTHING in tool.invoke(call).content
    assert NOTHING in (await tool.ainvoke(call)).content
    assert [d.page_content for d in tool.invoke(ordered[0])] == [NOTHING]


async def test_the_sentence_is_a_document_of_its_own(sure, engine, told, ordered):
    include = list(langchain_uec.METADATA_KEYS)
    full = UECRetriever(engine=sure, include=include, **sentence_of(told))
    [document], [other, *_] = await ask(full, ordered[0]), await ask(full, ordered[-1])
    assert document.id == NO_EVIDENCE_ID
    assert document.metadata.keys() | {"n"} == other.metadata.keys()
    assert document.metadata["uec_abstained"] is True
    assert document.metadata["uec_score"] == 0
    assert document.metadata["uec_confidence"] == sure.search(ordered[0], 4).confidence
    assert told.invoke(ordered[0]) == [Document(id=NO_EVIDENCE_ID, page_content=NOTHING)]
    plain = UECRetriever(engine=engine)
    for options in ({"score_threshold": 1.0}, {"filter": {"n": -1}}):
        assert [d.id for d in plain.invoke("cat", no_evidence="None.", **options)] == [NO_EVIDENCE_ID]
    assert len(plain.invoke("cat", no_evidence="None.")) == 4


def sentence_of(retriever):
    return {name: getattr(retriever, name) for name in ("min_confidence", "abstain", "no_evidence")}


def test_one_call_may_see_what_the_sentence_stands_for(told, ordered):
    assert len(told.invoke(ordered[0], abstain="flag")) == 4
    with pytest.raises(LowConfidenceError):
        told.invoke(ordered[0], abstain="raise")


def test_it_is_configured_pickled_and_combined(folder, least, ordered):
    options = {"min_confidence": least, "abstain": "empty", "no_evidence": NOTHING}
    retriever = UECRetriever(index=folder, device="cpu", **options)
    again = pickle.loads(pickle.dumps(retriever))
    assert sentence_of(again) == options
    assert again.invoke(ordered[0])[0].page_content == NOTHING
    lifted = retriever.configurable_fields(min_confidence=ConfigurableField("least"))
    assert len(lifted.invoke(ordered[0], {"configurable": {"least": None}})) == 4
    several = EnsembleRetriever(retrievers=[UECRetriever(engine=again.engine), again])
    assert NOTHING in [d.page_content for d in several.invoke(ordered[0])]


def test_the_readmes_code_runs(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "idx")
    monkeypatch.chdir(tmp_path)
    readme = Path(langchain_uec.__file__).parents[1] / "README.md"
    section = readme.read_text().split("## Abstaining\n")[1].split("\n## ")[0]
    tool_code, fallback_code = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names = {"UECRetriever": UECRetriever, "other_retriever": RunnableLambda(lambda _: [Document("other")])}
    exec(tool_code, names)
    search = names["retriever"].engine.search
    surest = max(TEXTS, key=lambda text: search(text).confidence)
    assert names["tool"].invoke({"query": "zzz qqq"}) == names["sentence"]
    assert names["tool"].invoke({"query": surest}) != names["sentence"]
    exec(fallback_code, names)
    assert names["retriever"].invoke("zzz qqq") == [Document("other")]
    assert len(names["retriever"].invoke(surest)) == 4
