"""An index of tools in one call."""

import pytest
from langchain_core.tools import tool
from langchain_small import pairs
from pydantic import BaseModel, Field

from langchain_uec import UECRetriever
from uec_retriever import Recipe
from uec_retriever.errors import InvalidInputError


@tool
def red_bird(request: str) -> str:
    """Large red bird with one wing."""
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
