"""Fixtures of langchain-uec's tests: real Chroma and real, tiny models."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["LANGSMITH_TRACING"] = "false"

from pathlib import Path

import pytest
import torch
from chromadb.api.fastapi import FastAPI
from langchain_small import documents, pairs, static_model

from devtools.chroma import running_chroma
from devtools.models import MINILM, SMOLLM2, WORDLLAMA, real_llm, real_model
from uec_retriever import Engine, Expert, Recipe, fit_posterior
from uec_retriever.laplace.files import save_posterior


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny matrices gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Two model folders, of different dimension."""
    folder = tmp_path_factory.mktemp("models")
    return [static_model(folder / "first", 0), static_model(folder / "second", 1, 16)]


@pytest.fixture(scope="session")
def index(tmp_path_factory, models):
    """Folder of an index of `documents()`; nobody may change it."""
    folder = tmp_path_factory.mktemp("shared") / "index"
    found = documents()
    texts, ids = [d.page_content for d in found], [d.id for d in found]
    metadatas = [d.metadata for d in found]
    Engine.from_texts(texts, models, folder, Recipe(pairs()), ids=ids, metadatas=metadatas, device="cpu")
    return folder


@pytest.fixture(scope="session")
def engine(index):
    return Engine.open(index, device="cpu")


@pytest.fixture(scope="session")
def posterior(models, tmp_path_factory):
    """Posterior file of the first model."""
    path = tmp_path_factory.mktemp("posterior") / "first"
    expert = Expert.load(models[0], device="cpu")
    fit = fit_posterior(expert, pairs())
    save_posterior(path, fit.posterior, fit.header)
    return path


def _locate(locate, name):
    try:
        return str(locate(name))
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def minilm():
    return _locate(real_model, MINILM)


@pytest.fixture(scope="session")
def wordllama():
    return _locate(real_model, WORDLLAMA)


@pytest.fixture(scope="session")
def smollm2():
    return _locate(real_llm, SMOLLM2)


@pytest.fixture(autouse=True)
def sockets_are_closed(monkeypatch):
    """Chroma's client never closes the connections to its server, not even in `close()`."""
    made, real = [], FastAPI.__init__

    def remembered(self, system):
        real(self, system)
        made.append(self)

    monkeypatch.setattr(FastAPI, "__init__", remembered)
    yield
    for server in made:
        server._session.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Address of a real `chroma run`: use your own collection name."""
    with running_chroma(tmp_path_factory.mktemp("server") / "chroma") as running:
        yield running.url


@pytest.fixture(scope="session")
def collections():
    """Folder of the test collections (BEIR layout)."""
    default = Path(__file__).resolve().parents[4] / "shared" / "data"
    folder = Path(os.environ.get("UEC_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test collections at {folder}: set UEC_DATA")
    return folder
