"""An index of tools in one call."""

import re
from pathlib import Path

import pytest
import tqdm.auto
from langchain_core.documents import Document
from langchain_core.tools import tool
from langchain_small import pairs
from pydantic import BaseModel, Field

import langchain_uec
from langchain_uec import UECRescorer, UECRetriever, UECVectorStore
from uec_retriever import Recipe
from uec_retriever.errors import InvalidInputError


@tool
def red_bird(request: str) -> str:
    """Large red bird with one wing."""
    return request


@tool
def blue_fish(request: str) -> str:
    """Query document text."""
    return request


def green_dog(request: str) -> str:
    """Small green dog hello world.

    Args:
        request: of the user.
    """
    return request


class BlueCat(BaseModel):
    """Blue cat with foo bar baz."""

    request: str = Field(description="of the user")


PLAIN = {
    "type": "function",
    "function": {"name": "heat", "description": "flow heat pressure", "parameters": {}},
}
TOOLS = [red_bird, green_dog, BlueCat, PLAIN]


def test_whatever_is_a_tool_is_found_by_its_description(models, tmp_path):
    making = {"location": tmp_path / "i", "recipe": Recipe(pairs()), "device": "cpu", "k": 1}
    requests = {
        "red_bird": "large red bird",
        "green_dog": "small green dog",
        "BlueCat": "blue cat foo",
        "heat": "pressure",
    }
    with UECRetriever.from_tools(TOOLS, models, **making) as retriever:
        assert {name: retriever.invoke(text)[0].id for name, text in requests.items()} == {
            n: n for n in requests
        }
    with UECRetriever.from_tools(TOOLS, models, **making) as again:  # in the same place
        assert again.engine.count() == len(TOOLS)


def test_a_tool_described_otherwise_replaces(models, tmp_path):
    making = {"location": tmp_path / "i", "recipe": Recipe(pairs()), "device": "cpu"}
    with UECRetriever.from_tools(TOOLS, models, **making) as retriever:
        retriever.engine.close()
    other = {"name": "heat", "description": "six birds"}
    with UECRetriever.from_tools([other], models, **making) as retriever:
        assert {r.id: r.text for r in retriever.engine.get()}["heat"] == "heat: six birds"
        assert retriever.engine.count() == len(TOOLS)


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([red_bird, red_bird], "two tools are called 'red_bird'"),
        ([red_bird, 5], "tool 1 is 5, which LangChain cannot take for a tool"),
        (["red_bird"], "tool 0 is 'red_bird'"),
    ],
)
def test_what_is_no_tool_is_refused_before_anything_is_made(tools, words, models, tmp_path):
    with pytest.raises(InvalidInputError, match=words):
        UECRetriever.from_tools(tools, models, tmp_path / "i")
    assert not (tmp_path / "i").exists()


def test_the_readmes_code_runs(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = (
        (Path(langchain_uec.__file__).parents[1] / "README.md").read_text().split("## Tools for agents\n")[1]
    )
    [code] = re.findall(r"```python\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    names = {"UECRetriever": UECRetriever, "tools": [red_bird, blue_fish, tool(green_dog)], "experts": models}
    exec(code, names)
    with names["retriever"] as retriever:
        assert red_bird in names["found"]
        assert (len(names["found"]), retriever.engine.count()) == (2, 3)


async def test_a_bar_is_shown_if_asked_for(models, tmp_path, monkeypatch):
    said, real = [], tqdm.auto.tqdm
    monkeypatch.setattr(tqdm.auto, "tqdm", lambda **options: said.append(options["desc"]) or real(**options))
    making = {"recipe": Recipe(pairs()), "device": "cpu"}
    bars = ["Fitting experts", "Embedding texts"]
    UECRetriever.from_tools(TOOLS, models, tmp_path / "quiet", **making).close()
    assert said == []
    UECRetriever.from_tools(TOOLS, models, tmp_path / "a", show_progress=True, **making).close()
    UECVectorStore.from_texts(["word"], models, index=tmp_path / "b", show_progress=True, **making).close()
    assert said == [*bars, *bars]
    with UECVectorStore(tmp_path / "b", show_progress=True) as store:
        store.add_texts(["hello"], show_progress=True)
        UECRetriever(engine=store.engine).add_documents([Document("cat")], show_progress=True)
        await UECRetriever(engine=store.engine).aadd_documents([Document("dog")], show_progress=True)
    UECRescorer.from_experts(models, recipe=Recipe(pairs()), show_progress=True).close()
    assert said[4:] == [*["Embedding texts"] * 3, "Fitting experts"]
