"""Through a Chroma server, by address and by a client of one's own."""

from urllib.parse import urlparse

import chromadb
import pytest
from chromadb.config import Settings
from langchain_small import documents, pairs, shown

from langchain_uec import UECRescorer, UECRetriever, UECVectorStore
from uec_retriever import Location, Recipe
from uec_retriever.errors import InvalidInputError

QUERY = "what flow has the large wing"


@pytest.fixture
def client(server):
    settings = Settings(anonymized_telemetry=False)
    return chromadb.HttpClient(host="127.0.0.1", port=urlparse(server).port, settings=settings)


async def test_a_client_of_ones_own(client, models, tmp_path):
    place = Location(tmp_path / "index", client=client, collection="own-client")
    retriever = UECRetriever.from_documents(documents(), models, place, Recipe(pairs()))
    found = retriever.invoke(QUERY)
    assert "own-client" in {c.name for c in client.list_collections()}
    assert not (tmp_path / "index" / "chroma" / "chroma.sqlite3").exists()
    again = UECRetriever(index=place, device="cpu")
    assert again.invoke(QUERY) == found == await again.ainvoke(QUERY)
    assert UECVectorStore(place).similarity_search(QUERY) == found
    rescorer = UECRescorer(index=place, device="cpu")
    assert shown(rescorer.compress_documents(found, QUERY)) == shown(found)


def test_by_address_with_headers(server, models, tmp_path):
    place = Location(tmp_path / "i", server, {"X-Chroma-Token": "s3cret"}, collection="by-address")
    store = UECVectorStore.from_documents(documents(), models, index=place, recipe=Recipe(pairs()))
    retriever = UECRetriever(index=place, device="cpu")
    assert retriever.invoke(QUERY) == store.similarity_search(QUERY)
    assert "s3cret" not in repr(retriever)


def test_a_server_needs_a_folder_for_posteriors(client, models):
    with pytest.raises(InvalidInputError, match="path="):
        UECVectorStore(Location(client=client), models, recipe=Recipe(pairs()))


async def test_an_asynchronous_client_is_refused(server, models, tmp_path):
    client = await chromadb.AsyncHttpClient(host="127.0.0.1", port=urlparse(server).port)
    with pytest.raises(InvalidInputError, match="HttpClient"):
        UECVectorStore(Location(tmp_path, client=client), models, recipe=Recipe(pairs()))
