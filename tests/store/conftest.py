import pytest

from tests.store.small import MANIFEST
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.connection import connect
from uec_retriever.store.lexical import LexicalIndex


@pytest.fixture
def client(tmp_path):
    return connect(tmp_path)


@pytest.fixture
def store(client, monkeypatch):
    made = ChromaStore.create(client, "uec", MANIFEST)
    monkeypatch.setattr(made, "_batch", 3)
    return made


@pytest.fixture
def words_path(tmp_path):
    return tmp_path / "words.sqlite3"


@pytest.fixture
def words(words_path):
    with LexicalIndex.open(words_path, {}) as made:
        yield made
