"""What of Chroma is private and used all the same: these fail when it is gone."""

import pytest
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import System

from uec_retriever.errors import CorruptFileError
from uec_retriever.store.connection import connect, forget


def test_chroma_keeps_a_system_for_every_folder_and_forget_drops_it(tmp_path):
    path = str(tmp_path / "chroma")
    connect(tmp_path / "chroma")
    assert isinstance(SharedSystemClient._identifier_to_system[path], System)
    forget(path)
    assert path not in SharedSystemClient._identifier_to_system


def test_a_folder_that_could_not_be_opened_opens_once_it_is_mended(tmp_path):
    database = tmp_path / "chroma" / "chroma.sqlite3"
    database.parent.mkdir()
    database.write_bytes(b"no database" * 1000)
    with pytest.raises(CorruptFileError, match="chroma is damaged"):
        connect(tmp_path / "chroma")
    database.unlink()
    assert connect(tmp_path / "chroma").list_collections() == []


def test_the_systems_of_all_clients_can_be_dropped(tmp_path):
    """The engine's tests do so to read an index anew."""
    connect(tmp_path / "chroma")
    SharedSystemClient.clear_system_cache()
    assert not SharedSystemClient._identifier_to_system
