import pytest

from tests.store.small import MANIFEST
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect


@pytest.fixture
def client(tmp_path):
    return connect(tmp_path)


@pytest.fixture
def store(client, monkeypatch):
    made = ChromaStore.create(client, "uec", MANIFEST)
    monkeypatch.setattr(made, "_batch", 3)
    return made
