"""The examples run, small, on the real models; with 32 texts or more, fewer would be calibrated on many general ones."""

import os
import re
import sys

import pytest

from devtools.models import MINILM, SMOLLM2, WORDLLAMA, real_model
from examples import llama_index_abstain, llama_index_query_engine, llama_index_tools, two_frameworks
from uec_retriever import Engine

pytestmark = [
    pytest.mark.models,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),  # by workflows
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:ServiceManager is deprecated:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def real_models():
    for name in (MINILM, WORDLLAMA):
        _make(name)


def _make(name):
    try:
        real_model(name)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def test_query_engine(tmp_path, capsys):
    _make(SMOLLM2)
    llama_index_query_engine.main(tmp_path / "index", limit=40)
    shown = capsys.readouterr().out
    assert shown.count("SmolLM2: ") == 2
    assert shown.count("deviation") == 6


async def test_tools(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("UEC_DATA", raising=False)
    for _ in range(2):  # the second time the tools are there already, under the same ids
        await llama_index_tools.main(tmp_path / "index", limit=40)
        assert capsys.readouterr().out.count("has dealt with") == 2
        with Engine.open(tmp_path / "index", device="cpu") as engine:
            assert engine.count() == 40


def test_abstaining_is_right_more_often_than_always_answering(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("UEC_DATA", raising=False)
    shares = llama_index_abstain.main(tmp_path, questions=40)
    assert shares["abstaining"] > shares["always answering"]
    abstained = re.search(r"abstaining: right .* abstained for (\d+) of the 20 ", capsys.readouterr().out)
    assert int(abstained[1]) >= 10


def test_two_frameworks(tmp_path, capsys, monkeypatch):
    pytest.importorskip("langchain_uec")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    two_frameworks.main(tmp_path / "index", limit=40)
    assert "both give the same answer: True" in capsys.readouterr().out
