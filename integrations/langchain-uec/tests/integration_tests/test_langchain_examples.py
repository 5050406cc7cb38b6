"""The LangChain examples, on real models at a small size."""

import warnings

import pytest
from langchain_core.language_models import FakeListChatModel

from examples import langchain_abstain, langchain_rag
from langchain_uec import METADATA_KEYS, UECRetriever

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def langgraph_tools():
    with warnings.catch_warnings():  # LangGraph 1.0 warns of an import of its own
        warnings.filterwarnings("ignore", "AgentState.* has been moved")
        from examples import langgraph_tools
    return langgraph_tools


def test_answers_with_sources(tmp_path, minilm, wordllama, smollm2, capsys):
    question = "Which function compares two files?"
    results = langchain_rag.main([question], tmp_path, "f*.py", max_new_tokens=4)
    assert "filecmp.cmp" in [d.id for d in results[0]["documents"]]
    assert results[0]["answer"]
    assert "confidence: not calibrated" in capsys.readouterr().out  # so few texts say nothing of it
    assert results[0]["documents"][0].metadata["uec_confidence"] is None


def test_declines_when_it_has_found_nothing(engine):
    nothing = UECRetriever(engine=engine, score_threshold=1.0, include=["confidence"])
    chain = langchain_rag.make_chain(nothing, FakeListChatModel(responses=["a made-up answer"]))
    result = chain.invoke("what flow")
    assert result["answer"] == "I have found nothing that I would rely on."
    langchain_rag.show(result)


def test_the_language_model_reads_no_scores(engine):
    include = list(METADATA_KEYS)
    found = UECRetriever(engine=engine, include=include).invoke("what flow has the large wing")
    text = langchain_rag.context(found)
    assert found[0].page_content in text
    assert str(found[0].metadata["uec_score"])[:6] not in text


@pytest.mark.parametrize("data", [True, False])
def test_the_agents_model_sees_five_tools(
    langgraph_tools, tmp_path, minilm, wordllama, monkeypatch, data, request
):
    if data:
        monkeypatch.setenv("UEC_DATA", str(request.getfixturevalue("collections")))
    else:
        monkeypatch.delenv("UEC_DATA", raising=False)
    wanted = "airqualityforeast" if data else "bz2-compress"
    question = "What is the air quality forecast?" if data else "Compress data with bz2."
    (bound, called), again = langgraph_tools.main([question, question], tmp_path, limit=60)
    assert (bound, called) == again
    assert len(bound) == 5
    assert wanted in bound
    assert called == bound[0]


async def test_the_agent_works_asynchronously(langgraph_tools, tmp_path, minilm, wordllama, monkeypatch):
    monkeypatch.delenv("UEC_DATA", raising=False)
    tools = langgraph_tools.load_tools(40)[1]
    picker = langgraph_tools.PickTools(langgraph_tools.make_retriever(tools, tmp_path, k=2))
    agent = langgraph_tools.create_agent(langgraph_tools.FirstToolModel(), tools, middleware=[picker])
    state = await agent.ainvoke({"messages": [("user", "Decode base64.")]})
    assert "base64" in state["messages"][-1].text


@pytest.mark.parametrize("data", [True, False])
def test_abstaining_is_right_more_often_than_always_answering(
    tmp_path, wordllama, monkeypatch, capsys, data, request
):
    if data:
        monkeypatch.setenv("UEC_DATA", str(request.getfixturevalue("collections")))
    else:
        monkeypatch.delenv("UEC_DATA", raising=False)
    shares = langchain_abstain.main(tmp_path, questions=40)
    assert shares["abstaining"] > max(shares["always answering"], 0.85 if data else 0)
    assert capsys.readouterr().out.count("95 % interval") == 2


def test_the_tool_set_grows_when_unsure(tmp_path, minilm, wordllama, monkeypatch, capsys):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "AgentState.* has been moved")
        from examples import langgraph_coverage
    monkeypatch.delenv("UEC_DATA", raising=False)
    outcomes = langgraph_coverage.main(tmp_path, requests=40)
    few, many, fixed = outcomes.values()
    assert few.tools < many.tools and few.covered <= many.covered
    assert few.covered > 0.6 and few.tools < fixed.tools == 5
    assert capsys.readouterr().out.count("tools bound") == 3


def test_the_smallest_fixed_number_of_tools():
    from examples.langgraph_coverage import as_good

    places = [1, 1, 3, 7, 11]
    assert [as_good(places, share) for share in (0.4, 0.5, 0.6, 0.8, 1.0)] == [1, 3, 3, 7, 11]
