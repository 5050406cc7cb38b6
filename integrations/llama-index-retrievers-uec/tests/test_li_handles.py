"""What is open is closed, copied and pickled; cut texts are told of; a notebook cell runs twice."""

import copy
import logging
import os
import pickle

import chromadb
import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import Document, NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.embeddings.uae import UAEEmbedding
from llama_index.postprocessor.uec import UECRescorer
from llama_index.retrievers.uec import ToolRetriever, UECRetriever
from llama_index.vector_stores.uec import UECVectorStore

from devtools.handles import handles
from tests.engine.small import pairs, sentences
from uec_retriever import Engine, Location, Recipe
from uec_retriever.errors import InvalidInputError, StorageError

LONG = "the wing flow heat " * 30
SECRET = "hunter2-is-my-password"


@pytest.fixture(scope="module")
def place(tmp_path_factory, li_models, recipe):
    """Folder of an index that is opened by nobody else."""
    folder = tmp_path_factory.mktemp("place") / "index"
    with Engine.open_or_create(folder, list(li_models.values()), Recipe(pairs()), device="cpu") as engine:
        engine.add(sentences(20))
    return folder


def shown(found):
    return [(n.node.get_content(), pytest.approx(n.score)) for n in found]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts handles in /proc")
def test_dropped_objects_leave_no_handles(tmp_path, experts, recipe):
    UECRetriever.from_nodes([TextNode(text="wing")], experts, tmp_path / "warm", recipe)
    before = handles()
    nodes = [TextNode(text="the wing")]
    for i in range(4):
        UECRetriever.from_nodes(nodes, experts, tmp_path / f"r{i}", recipe).retrieve("wing")
        found = UECRetriever(tmp_path / f"r{i}", device="cpu").retrieve("wing")
        UECRescorer(tmp_path / f"r{i}", device="cpu").postprocess_nodes(found, query_str="wing")
    files, threads = handles()
    assert files <= before[0] + 1 and threads <= before[1] + 1


def test_what_it_opened_it_closes(place, tmp_path, experts, recipe):
    nodes = [TextNode(text="the wing")]
    for make in (
        lambda: UECRetriever(place, device="cpu"),
        lambda: UECRetriever.from_nodes(nodes, experts, tmp_path / "i", recipe),
        lambda: ToolRetriever(UECRetriever(place, device="cpu"), [FunctionTool.from_defaults(sentences)]),
    ):
        with make() as thing:
            thing.retrieve("wing")
        thing.close()
        with pytest.raises(StorageError, match="closed"):
            thing.retrieve("wing")
    with UECRescorer(place, device="cpu") as rescorer:
        assert rescorer.postprocess_nodes([NodeWithScore(node=nodes[0])], query_str="wing")
    with pytest.raises(StorageError, match="closed"):
        rescorer._engine.count()
    with UECRescorer.from_experts(experts, tmp_path / "k", recipe) as kept:
        pass
    with pytest.raises(StorageError, match="closed"):
        kept._engine.count()


def test_a_given_engine_stays_open(filled, place):
    for thing in (UECRetriever(engine=filled), UECRescorer(engine=filled)):
        thing.close()
    filled.count()
    with UECRetriever(place, device="cpu") as retriever:
        retriever.with_options(similarity_top_k=3).close()
        assert retriever.retrieve("wing")


def test_copies_and_pickles(place):
    filters = MetadataFilters(filters=[MetadataFilter(key="n", value=3, operator="!=")])
    headed = Location(place, headers={"Authorization": SECRET})
    engine = Engine.open(place, device="cpu")
    query = "what flow has the large wing"
    for retriever in (
        UECRetriever(place, device="cpu", filters=filters, include=["score"]),
        UECRetriever(headed, device="cpu", similarity_top_k=3, callback_manager=CallbackManager([])),
        UECRetriever(engine=engine),
    ):
        pickled = pickle.dumps(retriever)
        assert SECRET.encode() not in pickled
        for other in (pickle.loads(pickled), copy.deepcopy(retriever), copy.copy(retriever)):
            assert shown(other.retrieve(query)) == shown(retriever.retrieve(query))
    found = UECRetriever(place, device="cpu", similarity_top_k=5).retrieve(query)
    for rescorer in (
        UECRescorer(place, top_n=2, device="cpu"),
        UECRescorer(headed, top_n=2, device="cpu"),
        UECRescorer(engine=engine, top_n=2, include=["score"], callback_manager=CallbackManager([])),
    ):
        pickled = pickle.dumps(rescorer)
        assert SECRET.encode() not in pickled
        for other in (pickle.loads(pickled), copy.deepcopy(rescorer), copy.copy(rescorer)):
            expected = rescorer.postprocess_nodes(found, query_str=query)
            assert shown(other.postprocess_nodes(found, query_str=query)) == shown(expected)


def test_what_cannot_be_pickled_says_so(li_models, recipe):
    location = Location(client=chromadb.EphemeralClient(), collection="li-pickle")
    retriever = UECRetriever.from_nodes(
        [TextNode(text="wing")], list(li_models.values()), location, Recipe(pairs())
    )
    with pytest.raises(InvalidInputError, match="client of your own cannot be pickled"):
        pickle.dumps(retriever)


def test_a_server_that_wants_the_headers_says_that_they_were_left_behind(place, monkeypatch):
    headed = Location(place, headers={"Authorization": SECRET})
    things = [UECRetriever(headed, device="cpu"), UECRescorer(headed, device="cpu")]
    pickled = [pickle.dumps(thing) for thing in things]

    def refuse(path):
        raise StorageError("401")

    monkeypatch.setattr("uec_retriever.store.home.connect", refuse)
    for each in pickled:
        with pytest.raises(StorageError, match="401.*not pickled: give them again"):
            pickle.loads(each)


def said(caplog):
    messages = [r.getMessage() for r in caplog.records if r.name == "uec_retriever.data.truncation"]
    caplog.clear()
    return messages


def test_cut_texts_are_told_of_once_a_call(li_models, tmp_path, caplog):
    bert = li_models["bert"]
    nodes = [TextNode(id_=f"n{i}", text=LONG + "cat " * i) for i in range(2)]
    with caplog.at_level(logging.WARNING, "uec_retriever.data.truncation"):
        retriever = UECRetriever.from_nodes(nodes, [bert], tmp_path / "i", Recipe(pairs()))
        [message] = said(caplog)
        assert "bert cut 2 texts" in message and "'n0', 'n1'" in message
        store = UECVectorStore(engine=retriever.engine)
        for call in (
            lambda: retriever.add_nodes([TextNode(text=LONG + "red")]),
            lambda: retriever.add_documents([Document(text=LONG + "blue")]),
            lambda: UECRetriever.from_documents([Document(text=LONG + "dog")], location=tmp_path / "i"),
            lambda: store.add([TextNode(text=LONG + "green")]),
            lambda: VectorStoreIndex(
                [TextNode(text=LONG + "pink")],
                storage_context=StorageContext.from_defaults(vector_store=store),
                embed_model=store.embed_model,
            ),
            lambda: UECRescorer(engine=retriever.engine).postprocess_nodes(
                [NodeWithScore(node=nodes[0])], query_str="wing"
            ),
            lambda: UAEEmbedding(bert, device="cpu").get_text_embedding_batch(["wing", LONG]),
        ):
            call()
            [message] = said(caplog)
            assert "bert cut 1 text " in message
        for ask in (
            lambda: retriever.retrieve(LONG),
            lambda: store.query(VectorStoreQuery(query_str=LONG, similarity_top_k=2)),
        ):
            ask()
            [message] = said(caplog)
            assert "bert cut the query" in message
        retriever.add_nodes(nodes)
        retriever.retrieve("wing")
        assert said(caplog) == []


def test_a_cell_with_a_client_in_memory_runs_twice(li_models):
    for _ in range(2):
        place = Location(client=chromadb.EphemeralClient(), collection="li-cell")
        nodes = [TextNode(id_=str(i), text=text) for i, text in enumerate(sentences(8))]
        retriever = UECRetriever.from_nodes(nodes, list(li_models.values()), place, Recipe(pairs()))
        assert retriever.engine.count() == 8
        assert len(retriever.retrieve("wing")) == 2
