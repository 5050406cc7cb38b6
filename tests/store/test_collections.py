"""Collections: made, opened, and what their metadata says of them."""

from dataclasses import replace

import pytest

from tests.store.small import MANIFEST, put, records
from uec_retriever.errors import (
    FormatVersionError,
    IndexBusyError,
    NotAnIndexError,
    StorageError,
)
from uec_retriever.store.chroma import ChromaStore
from uec_retriever.store.manifest import Manifest


def test_manifest_is_scalar_collection_metadata_and_survives(client, store):
    metadata = client.get_collection("uec", embedding_function=None).metadata
    assert {type(v) for v in metadata.values()} <= {str, int, float, bool}
    assert ChromaStore.open(client, "uec")[1] == MANIFEST


def test_a_saved_manifest_replaces_the_old_one(client, store, tmp_path):
    put(store, records(3))
    changed = Manifest(MANIFEST.experts, "block", 2.5, "other")
    saved = store.save_manifest(changed, replacing=MANIFEST)
    assert saved == store.read_manifest() == changed
    assert (saved.generation, store.read_manifest().generation) == (1, 1)
    reopened, manifest = ChromaStore.open(client, "uec")
    assert manifest == changed
    assert reopened.count() == 3


def test_a_manifest_is_not_saved_over_one_that_was_not_seen(client, store):
    other, _ = ChromaStore.open(client, "uec")
    theirs = other.save_manifest(replace(MANIFEST, temperature=2.5), replacing=MANIFEST)
    with pytest.raises(IndexBusyError, match="nothing was changed"):
        store.save_manifest(replace(MANIFEST, temperature=9.0), replacing=MANIFEST)
    assert store.read_manifest() == theirs
    assert store.save_manifest(replace(theirs, temperature=9.0), replacing=theirs).generation == 2


def test_collections_that_are_not_ours(client):
    foreign = client.create_collection("things", embedding_function=None, metadata={"a": 1})
    client.create_collection("bare", embedding_function=None)
    for name in ("things", "bare"):
        assert ChromaStore.exists(client, name)
        with pytest.raises(NotAnIndexError, match=f"{name!r} was not made by uec-retriever"):
            ChromaStore.open(client, name)
        with pytest.raises(StorageError):
            ChromaStore.create(client, name, MANIFEST)
    assert foreign.metadata == {"a": 1}


def test_absent_collection(client):
    assert not ChromaStore.exists(client, "uec")
    with pytest.raises(NotAnIndexError, match="no collection 'uec'"):
        ChromaStore.open(client, "uec")


def test_another_format_version(client):
    client.create_collection(
        "old", embedding_function=None, metadata={**MANIFEST.to_metadata(), "uec:format": 99}
    )
    with pytest.raises(FormatVersionError, match="format 99"):
        ChromaStore.open(client, "old")


def test_a_bad_collection_name(client):
    with pytest.raises(StorageError, match="create the collection"):
        ChromaStore.create(client, "?", MANIFEST)


def test_several_collections_in_one_database(client):
    stores = [ChromaStore.create(client, f"uec{i}", MANIFEST) for i in range(2)]
    put(stores[0], records(3))
    assert [s.count() for s in stores] == [3, 0]
