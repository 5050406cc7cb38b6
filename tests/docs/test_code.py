"""The Python on the pages runs, and prints what they say it prints."""

import ast
import contextlib
import importlib
import io
import re
import shutil

import pytest

from devtools.numbered import static_model
from tests.docs.pages import README, TOPICS, blocks, name
from tests.engine.small import telling

CODE = [page for page in TOPICS if any(b.language == "python" for b in blocks(page.read_text()))]
HUB = ("sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5")


def run(page, places, names):
    """Run a page's blocks one after the other.

    Args:
        page: its path.
        places: hub id -> folder that takes its place.
        names: what the page's code can use.

    Returns:
        For each block followed by its output, what it printed and what the page says.
    """
    printed, compared = "", []
    for block in blocks(page.read_text()):
        if block.language == "output":
            compared.append((printed, block.text))
        if block.language != "python":
            continue
        text = block.text
        for hub, folder in places.items():
            text = text.replace(hub, folder)
        code = compile(text, f"{page.name}: {text.splitlines()[0]}", "exec")
        if block.not_run:
            check_imports(text)
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, names)
        printed = out.getvalue()
    return compared


def check_imports(text):
    """Names of ours that code which is not run imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and re.match(
            "uec_retriever|langchain_uec|llama_index.*uec", node.module
        ):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Hub id -> folder of a tiny model of that name."""
    folder = tmp_path_factory.mktemp("models")
    return {hub: static_model(folder / hub.rpartition("/")[2], seed) for seed, hub in enumerate(HUB)}


@pytest.fixture(scope="module")
def index(tmp_path_factory, models):
    """Folder of an index that pages go on from; nobody may change it."""
    from uec_retriever import Engine

    folder = tmp_path_factory.mktemp("index") / "idx"
    texts = telling(120)
    metadatas = [{"year": 2000 + i % 25, "lang": "en"} for i in range(120)]
    ids = [f"id{i}" for i in range(120)]
    Engine.from_texts(
        texts, list(models.values()), folder, ids=ids, metadatas=metadatas, device="cpu"
    ).close()
    return folder


@pytest.mark.parametrize("page", CODE, ids=name)
def test_code_of_a_page_runs(page, index, models, tmp_path, monkeypatch):
    from uec_retriever import Engine

    shutil.copytree(index, tmp_path / "idx")
    monkeypatch.chdir(tmp_path)
    texts = telling(120)
    names = {
        "Engine": Engine,
        "engine": Engine.open("idx", device="cpu"),
        "texts": texts,
        "ids": [f"id{i}" for i in range(120)],
        "metadatas": [{"year": 2000 + i % 25} for i in range(120)],
        "experts": list(models.values()),
        "labelled": {text.partition(".")[0]: [f"id{i}"] for i, text in enumerate(texts)},
    }
    if page.name == "frameworks.md":
        pytest.importorskip("langchain_uec")
        names["llm"] = pytest.importorskip("llama_index.core.llms").MockLLM()
    assert all(printed == told for printed, told in run(page, models, names))


@pytest.mark.models
def test_the_readmes_code_prints_what_it_says(minilm, tmp_path, monkeypatch):
    pytest.importorskip("langchain_uec")
    pytest.importorskip("llama_index.retrievers.uec")
    monkeypatch.chdir(tmp_path)
    [(printed, told)] = run(README, {HUB[0]: minilm}, {})
    assert printed == told
    [example, *_] = [b for b in blocks(README.read_text()) if b.language == "python"]
    assert len(example.text.splitlines()) <= 13


def test_what_is_not_run_says_why_and_imports_what_is_there():
    reasons = [b.not_run for page in TOPICS for b in blocks(page.read_text()) if b.not_run]
    assert len(reasons) < sum(len(blocks(page.read_text())) for page in TOPICS) / 4
    with pytest.raises(AssertionError, match="Gone"):
        check_imports("from uec_retriever.engine.ray_encoder import Gone")
