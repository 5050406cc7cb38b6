"""Shared fixtures. Everything runs offline; real models and collections are skipped with a reason if absent."""

import contextlib
import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest
from hypothesis import settings

from devtools.generated import SAME
from devtools.models import MINILM, MPNET, WORDLLAMA, real_model

# other work on the machine is no fault of an example
settings.register_profile("unhurried", deadline=None, derandomize=SAME)
settings.load_profile("unhurried")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """What needs real models takes longest: first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("models") is None)


def pytest_collection_finish():
    """Each search for garbage looks at all that the libraries have made when imported: pass over that."""
    gc.freeze()


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


@contextlib.contextmanager
def closing_sockets():
    """Chroma's clients never close the connections to their server, not even in `close()`: those made meanwhile."""
    from chromadb.api.fastapi import FastAPI

    clients, real = [], FastAPI.__init__

    def init(self, *args):
        clients.append(self)
        real(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastAPI, "__init__", init)
        yield
    for client in clients:
        client._session.close()


@pytest.fixture
def sockets_are_closed():
    """What a test opens to a server."""
    with closing_sockets():
        yield
