"""The retriever by itself: what it finds, changes, refuses."""

import asyncio
import logging
import threading
from urllib.parse import urlparse

import chromadb
import pytest
from chromadb.api.models.Collection import Collection
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.schema import Document, MetadataMode, QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.retrievers.uec import UECRetriever
from pydantic import SecretStr

from tests.engine.small import sentences
from uec_retriever import Engine, Location, Recipe
from uec_retriever.engine.ensemble import Ensemble
from uec_retriever.engine.results import EXTRAS
from uec_retriever.errors import IdConflictError, InvalidInputError

TEXTS = list(dict.fromkeys(sentences(40, seed=3, words=14)))
QUERY = sentences(1, seed=9)[0]


def text_nodes(texts=TEXTS, **fields):
    return [TextNode(id_=f"node {i}", text=text, metadata={"n": i}, **fields) for i, text in enumerate(texts)]


def test_class():
    names = [cls.__name__ for cls in UECRetriever.__mro__]
    assert BaseRetriever.__name__ in names
    assert UECRetriever.class_name() == "UECRetriever"


def test_it_finds_what_the_engine_finds(retriever, engine):
    found = retriever(text_nodes(), similarity_top_k=5).retrieve(QUERY)
    hits = engine.search(QUERY, 5).hits
    assert [(n.node_id, n.score, n.text) for n in found] == [(h.id, h.score, h.text) for h in hits]
    assert len(found) == 5
    assert 0 <= found[-1].score <= found[0].score <= 1
    assert found[0].metadata == {"n": int(found[0].node_id.split()[1])}
    assert retriever(similarity_top_k=5, similarity_cutoff=hits[2].score).retrieve(QUERY) == found[:3]
    assert len(retriever().retrieve(QUERY)) == 2


def test_filters_and_other_options_for_one_request(retriever):
    base = retriever(text_nodes(), similarity_top_k=50)
    filters = MetadataFilters(filters=[MetadataFilter(key="n", value=5, operator="<")])
    few = base.with_options(filters=filters, include=["score"])
    assert {n.metadata["n"] for n in few.retrieve(QUERY)} == set(range(5))
    assert "uec_score" in few.retrieve(QUERY)[0].metadata
    assert len(base.retrieve(QUERY)) == len(TEXTS)
    assert len(few.with_options(filters=None).retrieve(QUERY)) == len(TEXTS)
    assert base.with_options(temperature=0.05, include=["coefficients"]).retrieve(QUERY)[0].metadata[
        "uec_coefficients"
    ] != pytest.approx(
        base.with_options(include=["coefficients"]).retrieve(QUERY)[0].metadata["uec_coefficients"]
    )
    with pytest.raises(TypeError, match="index"):
        base.with_options(index="elsewhere")
    with pytest.raises(TypeError, match="device"):
        base.with_options(device="cpu")


def test_extras_stay_out_of_prompts_and_embedded_texts(retriever, engine):
    nodes = text_nodes(excluded_llm_metadata_keys=["n"])
    plain = retriever(nodes, similarity_top_k=3).retrieve(QUERY)
    names = list(EXTRAS)
    rich = retriever(similarity_top_k=3, include=names).retrieve(QUERY)
    for a, b in zip(plain, rich, strict=True):
        assert not any(key.startswith("uec") for key in a.metadata)
        assert set(b.metadata) == {"n", *(f"uec_{name}" for name in names)}
        assert b.metadata["uec_score"] == b.score
        assert sum(b.metadata["uec_coefficients"].values()) == pytest.approx(1)
        assert b.metadata["uec_deviation"] > 0
        for mode in (MetadataMode.LLM, MetadataMode.EMBED, MetadataMode.NONE):
            assert b.node.get_content(metadata_mode=mode) == a.node.get_content(metadata_mode=mode)
    original = {n.node_id: n for n in nodes}
    assert [a.node for a in plain] == [original[a.node_id] for a in plain]
    assert [r.metadata for r in engine.get()] == [{"n": n} for n in range(len(TEXTS))]


def test_a_key_of_that_name_is_refused_where_it_is_asked_for(retriever):
    made = retriever([TextNode(id_="a", text="the wing", metadata={"uec_score": "mine"})], include=["score"])
    with pytest.raises(InvalidInputError, match="'a'.*'uec_score'"):
        made.retrieve("the wing")
    assert made.with_options(include=["deviation"]).retrieve("the wing")[0].metadata["uec_score"] == "mine"


def test_adding_again_changes_nothing_and_changed_nodes_take_the_place_of_old_ones(retriever):
    made = retriever(text_nodes())
    assert made.add_nodes(text_nodes()).unchanged == len(TEXTS)
    changed = text_nodes()[:1]
    changed[0].text = "another wing"
    with pytest.raises(IdConflictError, match="existing='replace'"):
        made.add_nodes(changed, existing="refuse")
    assert made.add_nodes(changed, existing="skip").skipped == 1
    assert made.get_nodes(["node 0"]) == text_nodes()[:1]
    assert made.add_nodes(changed).updated == 1
    assert made.get_nodes(["node 0"]) == changed
    assert made.delete(["node 0", "unknown"]) == 1
    assert made.get_nodes(["node 0"]) == []


def documents(ids=("one", "two")):
    return [Document(id_=i, text=". ".join(TEXTS[n::2]), metadata={"part": n}) for n, i in enumerate(ids)]


def test_documents_go_through_the_node_parser_and_again_change_nothing(tmp_path, experts, recipe):
    splitter = [TokenTextSplitter(chunk_size=40, chunk_overlap=0)]
    made = UECRetriever.from_documents(
        documents(), experts, tmp_path / "new", Recipe(posteriors=recipe.posteriors), transformations=splitter
    )
    count = made.engine.count()
    assert count > 4
    node = made.retrieve(TEXTS[0])[0].node
    assert node.ref_doc_id in ("one", "two")
    assert made.get_nodes([node.next_node.node_id])[0].prev_node.node_id == node.node_id
    again = UECRetriever.from_documents(documents(), location=tmp_path / "new", transformations=splitter)
    assert again.engine.count() == count
    parts = MetadataFilters(filters=[MetadataFilter(key="part", value=1)])
    assert made.delete_ref_doc("two") == count - len(made.get_nodes()) > 0
    assert made.get_nodes(filters=parts) == []
    assert made.delete_ref_doc("two") == 0


def test_random_document_ids_are_replaced_and_changes_leave_nothing_stale(retriever):
    made, splitter = retriever(), [TokenTextSplitter(chunk_size=40, chunk_overlap=0)]
    load = lambda: [Document(text=d.text) for d in documents()]  # noqa: E731
    added = made.add_documents(load(), transformations=splitter).added
    assert made.add_documents(load(), transformations=splitter).unchanged == added
    own = made.add_documents(documents(["one"]), transformations=splitter).added
    shorter = [Document(id_="one", text=TEXTS[1])]
    made.add_documents(shorter, transformations=splitter)
    assert made.engine.count() == added + 1
    assert own > 1
    assert made.add_documents([Document(id_="plain", text="the wing")]).added == 1  # Settings' node parser


@pytest.fixture
def chroma_calls(monkeypatch):
    """Names of the calls to Chroma."""
    calls = []

    def watch(name):
        real = getattr(Collection, name)

        def call(*arguments, **options):
            calls.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(Collection, name, call)

    for name in ("get", "delete", "upsert", "count"):
        watch(name)
    return calls


def test_finding_what_is_stale_costs_the_same_however_large_the_index(retriever, engine, chroma_calls):
    made, splitter = retriever(), [TokenTextSplitter(chunk_size=40, chunk_overlap=0)]
    made.add_documents(documents(), transformations=splitter)
    kept = [Document(id_="one", text=TEXTS[1])]
    counts = []
    for more in (0, 1100):  # more than Chroma is asked for at a time
        engine.add([f"{TEXTS[0]} {n}" for n in range(more)] or ["the wing"])
        made.add_documents(documents(["one"]), transformations=splitter)
        del chroma_calls[:]
        made.add_documents(kept, transformations=splitter)
        counts.append(chroma_calls.copy())
        assert [n.ref_doc_id for n in made.get_nodes()].count("one") == 1
    assert "delete" in counts[0]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("custom", [None, sentences(3, seed=4)])
def test_texts_of_a_bundle(retriever, engine, custom, caplog):
    made = retriever(text_nodes(), similarity_top_k=5)
    bundle = QueryBundle(QUERY, custom_embedding_strs=custom)
    texts = custom or [QUERY]
    assert [n.node_id for n in made.retrieve(bundle)] == [h.id for h in engine.search_together(texts, 5)]
    bundle.embedding = engine.embed_queries(texts).mean(axis=0).tolist()
    with caplog.at_level(logging.WARNING):
        assert [n.node_id for n in made.retrieve(bundle)] == [h.id for h in engine.search_together(texts, 5)]
    assert not caplog.records


@pytest.mark.parametrize("size", [None, 3])
def test_a_foreign_embedding_is_not_searched_with_unless_told_to(
    retriever, engine, caplog, encoded_queries, size
):
    made = retriever(text_nodes(), similarity_top_k=3)
    stored = engine.vectors_by_id(["node 7"])["node 7"].tolist()
    bundle = QueryBundle(QUERY, embedding=stored[:size])
    with caplog.at_level(logging.WARNING):
        found = [made.retrieve(bundle) for _ in range(2)]
    assert encoded_queries == [[QUERY]] * 2  # once each
    assert found == [made.retrieve(QUERY)] * 2
    assert len(caplog.records) == 1
    assert "trust_query_embedding" in caplog.text
    trusting = made.with_options(trust_query_embedding=True)
    top = trusting.retrieve(bundle)[0].node_id
    assert top == ("node 7" if size is None else found[0][0].node_id)


@pytest.fixture
def encoded_queries(monkeypatch):
    """The texts that each call encodes."""
    calls, real = [], Ensemble.encode_queries

    def encode(self, texts, **options):
        calls.append(list(texts))
        return real(self, texts, **options)

    monkeypatch.setattr(Ensemble, "encode_queries", encode)
    return calls


def test_an_embedding_without_text(retriever, engine):
    made = retriever(text_nodes())
    assert (
        made.retrieve(QueryBundle("", embedding=engine.vectors_by_id(["node 3"])["node 3"].tolist()))[
            0
        ].node_id
        == "node 3"
    )
    with pytest.raises(InvalidInputError, match="shape"):
        made.retrieve(QueryBundle(" ", embedding=[0.1, 0.2]))
    for empty in (QueryBundle(""), QueryBundle(" "), QueryBundle("", custom_embedding_strs=[])):
        with pytest.raises(InvalidInputError, match="query 0 is empty"):
            made.retrieve(empty)


def test_the_same_index_read_and_added_to_by_the_engine(retriever, engine, tmp_path):
    made = retriever(text_nodes())
    engine.add(["of the plain engine"], ["plain"], [{"n": 100}])
    [node] = made.get_nodes(["plain"])
    assert node == TextNode(id_="plain", text="of the plain engine", metadata={"n": 100})
    [record] = engine.get(["node 3"])
    assert (record.text, record.metadata, record.embedded) == (TEXTS[3], {"n": 3}, f"n: 3\n\n{TEXTS[3]}")
    reopened = UECRetriever(tmp_path / "index", device="cpu")
    assert reopened.retrieve(QUERY) == made.retrieve(QUERY)
    assert Engine.open(tmp_path / "index", device="cpu").count() == len(TEXTS) + 1


def test_a_server_by_url_and_by_client(experts, recipe, tmp_path, server):
    secret = {"X-Chroma-Token": SecretStr("hush")}
    place = Location(tmp_path / "served", server, secret, collection="served")
    made = UECRetriever.from_nodes(text_nodes(), experts, place, recipe, similarity_top_k=3)
    assert "hush" not in repr(made)
    assert repr(made) == f"UECRetriever(engine={made.engine!r}, similarity_top_k=3)"
    assert server in repr(made) and repr(made.engine.experts[0].label) in repr(made)
    client = chromadb.HttpClient(host="127.0.0.1", port=urlparse(server).port)
    by_client = Location(tmp_path / "served", client=client, collection="served")
    other = UECRetriever(by_client, similarity_top_k=3)
    assert other.retrieve(QUERY) == made.retrieve(QUERY)
    other.add_nodes([TextNode(id_="more", text=QUERY)])
    assert made.retrieve(QUERY)[0].node_id == "more"


async def test_queries_at_once_leave_the_event_loop_running(retriever, monkeypatch):
    made = retriever(text_nodes())
    one_by_one = [made.retrieve(text) for text in TEXTS[:8]]
    encoding, go, real = threading.Event(), threading.Event(), Ensemble.encode_queries

    def hold(*arguments, **options):
        encoding.set()
        if not go.wait(30):
            go.set()
            pytest.fail("the event loop stands still")
        return real(*arguments, **options)

    monkeypatch.setattr(Ensemble, "encode_queries", hold)
    found = asyncio.gather(*map(made.aretrieve, TEXTS[:8]))
    while not encoding.is_set():
        await asyncio.sleep(0.001)
    go.set()
    assert await found == one_by_one


def test_callbacks_are_left_to_llama_index(retriever):
    handler = LlamaDebugHandler(print_trace_on_end=False)
    made = retriever(text_nodes(), callback_manager=CallbackManager([handler]))
    made.retrieve(QUERY)
    assert len(handler.get_event_pairs(CBEventType.RETRIEVE)) == 1


def test_payloads_stay_small(retriever, engine):
    retriever(text_nodes())
    sizes = [len(record.payload) for record in engine.get()]
    assert len(sizes) == len(TEXTS)
    assert max(sizes) < 120
