"""Indexes of two tiny real experts under LlamaIndex."""

import asyncio
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import sys
import warnings
from pathlib import Path

with warnings.catch_warnings():  # llama-index-core 0.13 under a newer pydantic
    warnings.filterwarnings("ignore", "The 'validate_default' attribute")
    import llama_index.core  # noqa: F401

import pytest
import torch
from chromadb.api.fastapi import FastAPI

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where this distribution is not installed
sys.path.append(str(Path(__file__).resolve().parents[3]))  # texts and tiny experts

from llama_index.retrievers.uec import UECRetriever

from devtools.chroma import running_chroma
from tests.engine.small import bert_model, load, pairs, static_model
from uec_retriever import Engine, Recipe, fit_posterior
from uec_retriever.laplace.files import save_posterior


@pytest.fixture(autouse=True)
def li_loops_are_closed(request):
    """LlamaIndex's synchronous calls make an event loop and never close it, unless there can be none."""
    if not asyncio.iscoroutinefunction(request.function):
        asyncio.set_event_loop(None)


@pytest.fixture(scope="session", autouse=True)
def li_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def li_models(tmp_path_factory):
    """Label -> model folder."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "static": static_model(folder / "static", 0),
        "bert": bert_model(folder / "bert", folder / "workspace"),
    }


@pytest.fixture(scope="session")
def li_fitted(li_models, tmp_path_factory):
    """Expert labels -> posterior files, and the experts."""
    folder, experts = tmp_path_factory.mktemp("posteriors"), load(li_models)
    for expert in experts:
        fit = fit_posterior(expert, pairs())
        save_posterior(folder / expert.label, fit.posterior, fit.header)
    return {expert.label: folder / expert.label for expert in experts}, experts


@pytest.fixture
def experts(li_fitted):
    return li_fitted[1]


@pytest.fixture(scope="session")
def recipe(li_fitted):
    """For an index that is quickly made."""
    return Recipe(pairs(), li_fitted[0])


@pytest.fixture
def engine(tmp_path, experts, recipe):
    """An empty index."""
    return Engine.create(tmp_path / "index", experts, recipe)


@pytest.fixture
def retriever(engine):
    """`retriever(nodes, **options)` over a fresh index."""

    def make(nodes=(), **options):
        result = UECRetriever(engine=engine, **options)
        result.add_nodes(list(nodes))
        return result

    return make


@pytest.fixture(scope="session")
def filled(li_fitted, recipe, tmp_path_factory):
    """An index for tests that only read and add nothing of their own."""
    return Engine.create(tmp_path_factory.mktemp("shared") / "index", li_fitted[1], recipe)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Address of a Chroma server."""
    with running_chroma(tmp_path_factory.mktemp("server") / "chroma") as running:
        yield running.url


@pytest.fixture(autouse=True)
def li_sockets_are_closed(monkeypatch):
    """Chroma's clients never close the connections to their server, not even in `close()`."""
    made, real = [], FastAPI.__init__

    def init(self, *args):
        made.append(self)
        real(self, *args)

    monkeypatch.setattr(FastAPI, "__init__", init)
    yield
    for client in made:
        client._session.close()
