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
