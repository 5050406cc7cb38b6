"""What is open is closed, by hand or by itself; cut texts are told of; a notebook cell runs twice."""

import logging
import os

import chromadb
import pytest
from langchain_core.documents import Document
from langchain_small import pairs, sentences

from devtools.handles import handles
from langchain_uec import UECRescorer, UECRetriever, UECVectorStore
from tests.engine.small import bert_model
from uec_retriever import Engine, Location, Recipe
from uec_retriever.errors import StorageError

LONG = "the wing flow heat " * 30


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return bert_model(folder / "bert", folder / "workspace")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts handles in /proc")
def test_dropped_objects_leave_no_handles(models, tmp_path):
    UECRetriever.from_texts(["the wing"], models, tmp_path / "warm", Recipe(pairs()), device="cpu")
    before = handles()
    for i in range(4):
        UECRetriever.from_texts(["the wing"], models, tmp_path / f"r{i}", Recipe(pairs())).invoke("wing")
        UECVectorStore(None, models, recipe=Recipe(pairs())).as_retriever().invoke("wing")
        UECRescorer(index=tmp_path / f"r{i}").compress_documents([Document("wing")], "wing")
    files, threads = handles()
    assert files <= before[0] + 1 and threads <= before[1] + 1


def test_what_it_opened_it_closes(index, models, tmp_path):
    rescored = [Document("wing")]
    for make, use in (
        (lambda: UECRetriever(index=index, device="cpu"), lambda r: r.invoke("wing")),
        (lambda: UECVectorStore(index, device="cpu"), lambda s: s.similarity_search("wing")),
        (
            lambda: UECRetriever.from_texts(["wing"], models, tmp_path / "i", Recipe(pairs())),
            lambda r: r.invoke("wing"),
        ),
        (
            lambda: UECRetriever.from_texts(["wing"], models, recipe=Recipe(pairs())),
            lambda r: r.invoke("wing"),
        ),
    ):
        with make() as thing:
            assert use(thing)
        thing.close()
        with pytest.raises(StorageError, match="closed"):
            use(thing)
    with UECRescorer(index=index, device="cpu") as rescorer:
        assert rescorer.compress_documents(rescored, "wing")
    with pytest.raises(StorageError, match="closed"):
        rescorer.engine.count()


def test_a_given_engine_stays_open(index, engine):
    for thing in (UECRetriever(engine=engine), UECVectorStore(engine=engine), UECRescorer(engine=engine)):
        thing.close()
    assert engine.count()
    shared = UECRetriever(index=index, device="cpu")
    UECRetriever(engine=shared.engine).close()
    assert shared.invoke("wing")


def said(caplog):
    messages = [r.getMessage() for r in caplog.records if r.name == "uec_retriever.data.truncation"]
    caplog.clear()
    return messages


def test_cut_texts_are_told_of_once_a_call(bert, tmp_path, caplog):
    long = [Document(LONG + word, id=word) for word in ("cat", "dog")]
    with caplog.at_level(logging.WARNING, "uec_retriever.data.truncation"):
        retriever = UECRetriever.from_documents(long, [bert], tmp_path / "i", Recipe(pairs()), device="cpu")
        [message] = said(caplog)
        assert "bert cut 2 texts" in message and "'cat', 'dog'" in message
        store = UECVectorStore(engine=retriever.engine)
        for call in (
            lambda: retriever.add_documents([Document(LONG, id="x")]),
            lambda: store.add_texts([LONG + "bird"], ids=["x"]),
            lambda: UECVectorStore.from_texts([LONG + "red"], ids=["x"], engine=retriever.engine),
            lambda: UECRescorer(engine=retriever.engine).compress_documents([Document(LONG, id="x")], "w"),
        ):
            call()
            [message] = said(caplog)
            assert "cut 1 text " in message and "'x'" in message
        for call in (retriever.invoke, store.similarity_search):
            call(LONG)
            [message] = said(caplog)
            assert "bert cut the query" in message
        retriever.add_documents([Document(LONG + "red", id="x")])  # nothing is embedded
        retriever.invoke("wing")
        assert said(caplog) == []


def test_a_cell_with_a_client_in_memory_runs_twice(models):
    for _ in range(2):
        place = Location(client=chromadb.EphemeralClient(), collection="cell")
        texts = sentences(8)
        store = UECVectorStore.from_texts(texts, models, index=place, recipe=Recipe(pairs()))
        retriever = UECRetriever.from_texts(texts, models, place)
        assert store.engine.count() == retriever.engine.count() == 8
        assert len(retriever.invoke("wing")) == 4
        assert Engine.open(place).count() == 8
