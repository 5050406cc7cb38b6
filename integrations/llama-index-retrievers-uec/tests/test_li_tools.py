"""An index of tools in one call, and bars for what takes long."""

import re
from pathlib import Path

import pytest
import tqdm.auto
from llama_index.core import Document
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.objects import SimpleToolNodeMapping
from llama_index.core.schema import TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import FunctionTool
from llama_index.postprocessor import uec as ours
from llama_index.postprocessor.uec import UECRescorer
from llama_index.retrievers.uec import ToolRetriever, UECRetriever
from llama_index.vector_stores.uec import UECVectorStore

from tests.engine.small import sentences
from uec_retriever import Location
from uec_retriever.errors import InvalidInputError

TEXTS = sentences(12, seed=3, words=10)
README = (Path(ours.__file__).parents[3] / "README.md").read_text()


def tools(texts=TEXTS):
    """Anew, with other ids of their nodes."""
    return [
        FunctionTool.from_defaults(lambda x: x, name=f"tool_{i}", description=t) for i, t in enumerate(texts)
    ]


def names(found):
    return [tool.metadata.name for tool in found]


async def test_one_call_makes_it_and_the_next_adds_what_is_new(experts, recipe, tmp_path):
    making = {
        "experts": experts,
        "location": Location(tmp_path / "i"),
        "recipe": recipe,
        "similarity_top_k": 3,
    }
    with ToolRetriever.from_tools(tools(TEXTS[:10]), **making) as retriever:
        assert "tool_4" in names(retriever.retrieve(TEXTS[4]))
        assert len(await retriever.aretrieve(TEXTS[4])) == 3
        assert retriever.add_tools().unchanged == 10
    with ToolRetriever.from_tools(tools(), **making) as retriever:
        assert retriever.add_tools().unchanged == 12
        assert names(retriever.retrieve(TEXTS[11]))[0] == "tool_11"


@pytest.mark.parametrize("again", ["from_tools", "add_tools"])
def test_a_tool_that_is_described_otherwise_takes_the_place_of_the_old_one(experts, recipe, tmp_path, again):
    ToolRetriever.from_tools(tools(TEXTS[:3]), experts, tmp_path / "i", recipe).close()
    changed = tools([TEXTS[0], TEXTS[7], TEXTS[2]])
    if again == "from_tools":
        retriever = ToolRetriever.from_tools(changed, location=tmp_path / "i", similarity_top_k=3)
    else:
        retriever = ToolRetriever(UECRetriever(tmp_path / "i", similarity_top_k=3), changed)
        report = retriever.add_tools()
        assert (report.updated, report.unchanged, report.added) == (1, 2, 0)
    with retriever:
        assert sorted(names(retriever.retrieve(TEXTS[7]))) == ["tool_0", "tool_1", "tool_2"]
        assert names(retriever.retrieve(TEXTS[7]))[0] == "tool_1"
    with UECRetriever(tmp_path / "i") as index:
        assert sorted(index.engine.ids()) == ["tool_0", "tool_1", "tool_2"]


@pytest.mark.parametrize("again", ["from_tools", "add_tools"])
def test_what_older_versions_stored_of_a_tool_goes_and_nothing_else(experts, recipe, tmp_path, again):
    older = SimpleToolNodeMapping(tools(TEXTS[:3])).to_nodes(tools(TEXTS[:3]))
    person = TextNode(id_="person", text="the word", metadata={"name": "tool_0"})
    with UECRetriever.from_nodes(older, experts, tmp_path / "i", recipe, content_ids=True) as index:
        index.add_nodes([person])
        of_another = index.engine.ids({"name": "tool_2"})
    if again == "from_tools":
        ToolRetriever.from_tools(tools(TEXTS[:2]), location=tmp_path / "i").close()
    else:
        with ToolRetriever(UECRetriever(tmp_path / "i"), tools(TEXTS[:2])) as retriever:
            assert retriever.add_tools().deleted == 2
    with UECRetriever(tmp_path / "i") as index:
        assert sorted(index.engine.ids()) == sorted(["person", "tool_0", "tool_1", *of_another])


def test_two_of_one_name_are_refused_before_anything_is_made(engine, experts, tmp_path):
    with pytest.raises(InvalidInputError, match="two tools are called 'tool_0'"):
        ToolRetriever(UECRetriever(engine=engine), [*tools(), tools()[0]])
    with pytest.raises(InvalidInputError, match="two tools are called 'tool_0'"):
        ToolRetriever.from_tools([*tools(), tools()[0]], experts, tmp_path / "i")
    assert not (tmp_path / "i").exists()


def code_of(section):
    return re.findall(r"```python\n(.*?)```", README.split(f"## {section}\n")[1].split("\n## ")[0], re.DOTALL)


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # by workflows
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")
@pytest.mark.filterwarnings("ignore:ServiceManager is deprecated:DeprecationWarning")
def test_the_readmes_code_runs(experts, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ToolRetriever.from_tools(tools(), experts, "tools", recipe).close()
    known = {"FunctionAgent": FunctionAgent, "llm": MockLLM(), "tools": tools(), "experts": experts}
    [code] = code_of("Tools for agents")
    exec(code, known)
    with known["tool_retriever"] as retriever:
        assert len(retriever.retrieve("the word")) == 5
    UECVectorStore("idx", experts, recipe=recipe).close()
    documents = [Document(id_=f"doc {i}", text=text) for i, text in enumerate(TEXTS)]
    known = {"experts": experts, "documents": documents, "docstore": SimpleDocumentStore()}
    [code] = code_of("Vector store")
    exec(code, known)
    assert known["store"].engine.count() == 12
    assert known["index"].as_retriever(similarity_top_k=1).retrieve(TEXTS[7])[0].node.ref_doc_id == "doc 7"
    known["store"].close()


def test_a_bar_is_shown_if_asked_for(experts, recipe, tmp_path, monkeypatch):
    said, real = [], tqdm.auto.tqdm
    monkeypatch.setattr(tqdm.auto, "tqdm", lambda **options: said.append(options["desc"]) or real(**options))
    fitting, adding = "Fitting experts", "Embedding texts"
    documents = [Document(id_="a", text="the word")]
    splitting = {"transformations": [SentenceSplitter()]}
    UECRetriever.from_documents(documents, experts, tmp_path / "quiet", recipe, **splitting).close()
    assert said == []
    bars = {"show_progress": True}
    UECRetriever.from_documents(documents, experts, tmp_path / "a", recipe, **splitting, **bars).close()
    ToolRetriever.from_tools(tools(), experts, tmp_path / "b", recipe, **bars).close()
    with UECVectorStore(tmp_path / "c", experts, recipe=recipe, **bars) as store:
        store.add(documents)
        UECRetriever(engine=store.engine).add_documents(documents, **splitting, **bars)
    assert said == [fitting, adding] * 3 + [adding]
    UECRescorer.from_experts(experts, recipe=recipe, **bars).close()
    assert said[7:] == [fitting]
