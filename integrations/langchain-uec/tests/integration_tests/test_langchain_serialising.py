"""Serialising, showing, copying and pickling: nothing crashes, no secret comes out."""

import copy
import json
import pickle

import chromadb
import pytest
import torch
from langchain_core.load import dumpd, dumps
from langchain_small import documents, pairs, shown
from pydantic import SecretStr

from langchain_uec import UAEEmbedding, UECRescorer, UECRetriever, UECVectorStore
from uec_retriever import Embedder, Expert, Location, Recipe
from uec_retriever.errors import InvalidInputError, StorageError

QUERY = "what flow has the large wing"
SECRET = "hunter2-is-my-password"
HEADERS = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture(params=["retriever", "rescorer", "store", "embedding"])
def thing(request, index, models, engine):
    if request.param == "store":
        return UECVectorStore(Location(index, headers=HEADERS), models, device="cpu")
    if request.param == "embedding":
        nested = {"dtype": torch.float32, "token": SECRET}
        return UAEEmbedding(
            model_name=models[0], device="cpu", model_kwargs={"token": SECRET, "processor_kwargs": nested}
        )
    cls = UECRetriever if request.param == "retriever" else UECRescorer
    return cls(index=Location(index, headers=HEADERS), device="cpu", experts={"first": models[0]})


def test_no_secret_comes_out(thing):
    written = [dumps(thing), json.dumps(dumpd(thing)), repr(thing), str(thing), repr(vars(thing))]
    if hasattr(thing, "model_dump"):
        written += [
            str(thing.model_dump()),
            thing.model_dump_json(),
            json.dumps(thing.model_dump(mode="json")),
        ]
    for text in written:
        assert SECRET not in text


@pytest.mark.parametrize("token", [SECRET, SecretStr(SECRET)])
def test_the_secret_reaches_chroma(index, monkeypatch, token):
    seen = []

    def connect(path, url, headers, parts):
        seen.append((url, headers))
        raise StorageError("no server")

    monkeypatch.setattr("uec_retriever.engine.folder.connect", connect)
    with pytest.raises(StorageError, match="no server"):
        UECRetriever(index=Location(index, "http://127.0.0.1:9", {"X-Chroma-Token": token}))
    assert seen == [("http://127.0.0.1:9", {"X-Chroma-Token": SECRET})]


def test_the_token_is_used(models, monkeypatch):
    seen = []
    real = Embedder.load.__func__

    def spy(cls, name, **options):
        seen.append(options)
        return real(cls, name, **options)

    monkeypatch.setattr(Embedder, "load", classmethod(spy))
    options = {"token": SECRET, "processor_kwargs": {"token": SECRET}}
    UAEEmbedding(model_name=models[0], device="cpu", model_kwargs=options)
    assert {name: seen[0][name] for name in options} == options


def test_engine_and_client_are_not_serialised(index, models, tmp_path):
    client = chromadb.PersistentClient(str(tmp_path / "chroma"))
    retriever = UECRetriever.from_texts(
        ["the wing"], models, Location(tmp_path / "i", client=client), Recipe(pairs())
    )
    for text in (dumps(retriever), repr(retriever), str(retriever.model_dump()), retriever.model_dump_json()):
        assert "Client" not in text
        assert "Engine" not in text


def test_loaded_experts_are_serialised_by_name(index, models):
    experts = {"first": Expert.load(models[0], device="cpu")}
    retriever = UECRetriever(index=index, experts=experts, device="cpu")
    assert retriever.model_dump()["experts"] == {"first": models[0]}
    assert json.loads(retriever.model_dump_json())["experts"] == {"first": models[0]}


def test_no_secret_in_errors(index, tmp_path):
    with pytest.raises(InvalidInputError) as wrong:
        Location(index, headers=f"Authorization: {SECRET}")
    with pytest.raises(InvalidInputError, match="headers=") as in_url:
        Location(index, f"http://me:{SECRET}@localhost:8000")
    with pytest.raises(InvalidInputError, match="url is no option") as old:
        UECRetriever(index=index, url=f"http://me:{SECRET}@localhost:8000")
    with pytest.raises(StorageError) as unreachable:
        UECRetriever(index=Location(index, "http://127.0.0.1:9", HEADERS))
    for error in (wrong, in_url, old, unreachable):
        assert SECRET not in str(error.value)


def test_copies_share_the_engine(index, models):
    place = Location(index, headers=HEADERS)
    retriever = UECRetriever(index=place, device="cpu", experts={"first": models[0]}, filter={"even": True})
    for copied in (copy.copy(retriever), copy.deepcopy(retriever), retriever.model_copy(update={"k": 2})):
        assert copied.engine is retriever.engine
        assert shown(copied.invoke(QUERY)) == shown(retriever.invoke(QUERY))[: copied.k]
    deep = copy.deepcopy(retriever)
    deep.filter["even"] = False
    assert retriever.filter == {"even": True}


def test_pickling_opens_the_index_again(index):
    retriever = UECRetriever(index=Location(index, headers=HEADERS), device="cpu", k=3)
    pickled = pickle.dumps(retriever)
    assert SECRET.encode() not in pickled
    restored = pickle.loads(pickled)
    assert restored.engine is not retriever.engine
    assert restored.index == Location(index) and restored.index.headers_left_behind
    assert restored == retriever.model_copy(update={"engine": restored.engine, "index": restored.index})
    assert shown(restored.invoke(QUERY)) == shown(retriever.invoke(QUERY))
    rescorer = pickle.loads(pickle.dumps(UECRescorer(index=index, device="cpu", top_n=3)))
    assert len(rescorer.compress_documents(documents(), QUERY)) == 3


def test_json_opens_the_index_again(index):
    place = Location(index, headers=HEADERS)
    for given in (index, str(index), place):
        retriever = UECRetriever(index=given, device="cpu", k=3, filter={"even": True})
        written = json.loads(retriever.model_dump_json())
        restored = UECRetriever(**written)
        assert UECRetriever.model_validate(written).index == restored.index
        assert shown(restored.invoke(QUERY)) == shown(retriever.invoke(QUERY))
    assert written["index"] == {"path": str(index), "url": None, "collection": "uec"}
    with pytest.raises(InvalidInputError, match="headers"):
        UECRetriever(index={"path": str(index), "headers": {}})


def test_what_cannot_be_pickled_says_so(engine, models, tmp_path):
    passing = UECRetriever.from_texts(["the wing"], models, recipe=Recipe(pairs()))
    place = Location(tmp_path, client=chromadb.EphemeralClient(), collection="no-pickle")
    of_client = UECRetriever.from_texts(["the wing"], models, place, Recipe(pairs()))
    for thing, says in ((passing, "folder of your own"), (of_client, "client of your own")):
        with pytest.raises(InvalidInputError, match=says):
            pickle.dumps(thing)


def test_whatever_has_an_engine_is_pickled_and_copied(engine, index, models):
    store = UECVectorStore(engine=engine)
    for thing in (
        UECRetriever(engine=engine, k=4),
        store.as_retriever(search_kwargs={"k": 4}),
        UECVectorStore(Location(index, headers=HEADERS), device="cpu").as_retriever(),
        UECVectorStore(index, models, device="cpu").as_retriever(),
    ):
        pickled = pickle.dumps(thing)
        assert SECRET.encode() not in pickled
        for other in (pickle.loads(pickled), copy.deepcopy(thing), copy.copy(thing)):
            assert shown(other.invoke(QUERY)) == shown(thing.invoke(QUERY))
    rescorer = pickle.loads(pickle.dumps(UECRescorer(engine=engine, top_n=3)))
    assert len(rescorer.compress_documents(documents(), QUERY)) == 3
    assert shown(pickle.loads(pickle.dumps(store)).similarity_search(QUERY)) == shown(
        store.similarity_search(QUERY)
    )


def test_a_server_that_wants_the_headers_says_that_they_were_left_behind(index, monkeypatch):
    pickled = pickle.dumps(UECRetriever(index=Location(index, headers=HEADERS), device="cpu"))

    def refuse(path):
        raise StorageError("401")

    monkeypatch.setattr("uec_retriever.store.home.connect", refuse)
    with pytest.raises(StorageError, match="401.*not pickled: give them again"):
        pickle.loads(pickled)


def test_a_pickled_embedding_holds_no_token(models):
    options = {"token": SECRET, "processor_kwargs": {"token": SECRET}}
    embedding = UAEEmbedding(model=models[0], device="cpu", model_kwargs=options)
    pickled = pickle.dumps(embedding)
    assert SECRET.encode() not in pickled
    assert pickle.loads(pickled).embed_query("wing") == embedding.embed_query("wing")


def test_an_embedding_is_copied_and_pickled(models, posterior):
    embedding = UAEEmbedding(model=models[0], device="cpu", posterior=posterior)
    for other in (copy.copy(embedding), copy.deepcopy(embedding), pickle.loads(pickle.dumps(embedding))):
        assert other.embed_query_with_variance("wing") == embedding.embed_query_with_variance("wing")
