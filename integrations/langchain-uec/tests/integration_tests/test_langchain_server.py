"""Through a Chroma server, by address and by a client of one's own."""

import chromadb
import pytest
from chromadb.config import Settings
from langchain_small import documents, pairs, shown

from langchain_uec import UECRescorer, UECRetriever, UECVectorStore
from uec_retriever.errors import InvalidInputError

QUERY = "what flow has the large wing"


@pytest.fixture
def client(server):
    host, port = server
    return chromadb.HttpClient(host=host, port=port, settings=Settings(anonymized_telemetry=False))


async def test_a_client_of_ones_own(client, models, tmp_path):
    folder = tmp_path / "index"
    retriever = UECRetriever.from_documents(
        documents(), models, folder, pairs=pairs(), client=client, collection="own-client"
    )
    found = retriever.invoke(QUERY)
    assert "own-client" in {c.name for c in client.list_collections()}
    assert not (folder / "chroma" / "chroma.sqlite3").exists()
    again = UECRetriever(index=folder, client=client, collection="own-client", device="cpu")
    assert again.invoke(QUERY) == found == await again.ainvoke(QUERY)
    store = UECVectorStore(folder, client=client, collection="own-client")
    assert store.similarity_search(QUERY) == found
    rescorer = UECRescorer(index=folder, client=client, collection="own-client", device="cpu")
    assert shown(rescorer.compress_documents(found, QUERY)) == shown(found)


def test_by_address_with_headers(server, models, tmp_path):
    url = "http://{}:{}".format(*server)
    options = {"url": url, "headers": {"X-Chroma-Token": "s3cret"}, "collection": "by-address"}
    store = UECVectorStore.from_documents(documents(), models, index=tmp_path / "i", pairs=pairs(), **options)
    retriever = UECRetriever(index=tmp_path / "i", device="cpu", **options)
    assert retriever.invoke(QUERY) == store.similarity_search(QUERY)
    assert "s3cret" not in repr(retriever)


def test_a_server_needs_a_folder_for_posteriors(client, models):
    with pytest.raises(InvalidInputError, match="path="):
        UECVectorStore(embedding=models, pairs=pairs(), client=client)


async def test_an_asynchronous_client_is_refused(server, models, tmp_path):
    host, port = server
    client = await chromadb.AsyncHttpClient(host=host, port=port)
    with pytest.raises(InvalidInputError, match="HttpClient"):
        UECVectorStore(tmp_path, models, pairs=pairs(), client=client)
