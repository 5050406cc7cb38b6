"""Shared fixtures. Everything runs offline; real models and collections are skipped with a reason if absent."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest

from devtools.models import MINILM, MPNET, WORDLLAMA, real_model


def _model(name):
    try:
        return str(real_model(name))
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def minilm():
    return _model(MINILM)


@pytest.fixture(scope="session")
def wordllama():
    return _model(WORDLLAMA)


@pytest.fixture(scope="session")
def mpnet():
    return _model(MPNET)


@pytest.fixture(scope="session")
def collections():
    """Folder of the test collections (BEIR layout)."""
    default = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get("UEC_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test collections at {folder}: set UEC_DATA")
    return folder


@pytest.fixture
def sockets_are_closed(monkeypatch):
    """Chroma's clients never close the connections to their server, not even in `close()`."""
    from chromadb.api.fastapi import FastAPI

    clients, real = [], FastAPI.__init__

    def init(self, *args):
        clients.append(self)
        real(self, *args)

    monkeypatch.setattr(FastAPI, "__init__", init)
    yield
    for client in clients:
        client._session.close()
